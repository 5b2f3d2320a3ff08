// Stands around our plugin as OpenCode 1.18.33 does, run by OpenCode's own runtime: calls its hooks one after the other
// and waits for each, except for events. Arguments: the plugin and the project; standard input: [name, input, output]…
const [plugin, directory] = process.argv.slice(2)
const [start] = Object.values(await import(plugin))
const hooks = await start({ client: {}, directory })
const steps = []
for (const [name, input, output] of JSON.parse(await Bun.stdin.text())) {
  const step = { output, error: null }
  if (name === "event") hooks.event?.({ event: input })
  else {
    try {
      await hooks[name]?.(input, output)
    } catch (error) {
      step.error = error.message
    }
  }
  steps.push(step)
}
console.log(JSON.stringify({ hooks: Object.keys(hooks), steps }))
