// Written by hookyard: `bridge install opencode` writes it anew, `bridge uninstall opencode` removes it.
//
// Hands OpenCode's hooks to the webhooks of hooks.toml. HOOKS says which: the command that asks about each (the event
// on its standard input), how long that may take, and whether the gate is closed: whatever goes wrong then refuses
// the step.
import { spawn } from "node:child_process"
import { isMainThread } from "node:worker_threads"

const HOOKS = {}

class Denied extends Error {}

/** Run the command of a hook with an event; gives what it says on its two outputs. */
function run({ command, timeoutSeconds }, event) {
  const text = JSON.stringify(event)
  return new Promise((resolve, reject) => {
    const child = spawn("/bin/sh", ["-c", command], { cwd: "/" })
    const out = [], err = []
    const timer = setTimeout(() => {
      child.kill("SIGKILL")
      reject(new Error("no answer in time"))
    }, timeoutSeconds * 1000)
    child.stdout.on("data", (chunk) => out.push(chunk))
    child.stderr.on("data", (chunk) => err.push(chunk))
    child.stdin.on("error", () => {}) // it has read enough to answer
    child.on("error", (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.on("close", (code) => {
      clearTimeout(timer)
      const said = Buffer.concat(out).toString(), warning = Buffer.concat(err).toString().trim()
      if (code === 2) reject(new Denied(warning || "the webhooks could not be asked"))
      else if (code !== 0) reject(new Error(warning || `the hook command ended with ${code}`))
      else resolve({ said, warning })
    })
    child.stdin.end(text)
  })
}

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value)

/** What a hook may take from an answer, and whether it fits. */
const FITS = { args: isObject, text: (value) => typeof value === "string" }

/** Read an answer: an object with `deny` or with what the hook takes, and nothing else. */
function read(said, takes) {
  const line = said.trim().split("\n").at(-1) // the shell may have printed before it
  const answer = line ? JSON.parse(line) : {}
  if (!isObject(answer)) throw new Error("the answer is no object")
  const strange = Object.keys(answer).find((key) => key !== "deny" && key !== takes)
  if (strange !== undefined) throw new Error(`the answer says ${strange}, which is unknown here`)
  if (answer.deny !== undefined) throw new Denied(String(answer.deny))
  const made = answer[takes]
  if (made !== undefined && !FITS[takes](made)) throw new Denied(`Not run: a webhook made ${takes} that do not fit.`)
  return made
}

/** What a part of a message is, without the contents of files. */
const brief = ({ type, text, synthetic, filename }) => ({ type, text, synthetic, filename })

const spoken = (part) => part.type === "text" && !part.synthetic

/** The text of a tool's result: OpenCode's own tools give `output`, those of MCP servers `content`. */
function resultOf(output) {
  if (!Array.isArray(output.content)) return output.output
  return output.content.filter(({ type }) => type === "text").map(({ text }) => text).join("\n")
}

/** OpenCode keeps the object that it gave: a new one in its place would be ignored, and the old arguments would run. */
function replace(object, made) {
  for (const key of Object.keys(object)) delete object[key]
  Object.assign(object, made)
}

export const Hookyard = async ({ client, directory }) => {
  const sessions = new Set() // seen by this process
  const settled = new Set() // calls that were refused, or whose failure was told
  const failed = new Map() // the last error of a session
  let events = Promise.resolve() // OpenCode waits for no event: they are told one after the other

  /** A line for the user. The terminal's own thread draws on it, so another thread must not write there. */
  function tell(line) {
    try {
      if (isMainThread) process.stderr.write(`${line}\n`)
      else client.tui.showToast({ body: { title: "hookyard", message: line, variant: "warning" } }).catch(() => {})
    } catch {
      // nobody listens, which changes nothing else
    }
  }

  /** Ask about an event; gives what takes the place of what `takes` names, if anything. Throws to refuse the step. */
  async function ask(name, input, output, takes) {
    const hook = HOOKS[name]
    try {
      const { said, warning } = await run(hook, { cwd: directory, input, output })
      const made = read(said, takes)
      if (warning) tell(warning)
      return made
    } catch (error) {
      if (error instanceof Denied) throw new Error(error.message)
      const why = `hookyard: the webhooks could not be asked: ${error?.message ?? error}`
      if (hook.closed) throw new Error(why)
      tell(why)
    }
  }

  /** What can refuse nothing: if it goes wrong, that is only told. */
  const quietly = (act) => async (...given) => {
    try {
      await act(...given)
    } catch (error) {
      tell(error.message)
    }
  }

  function later(name, input) {
    if (name in HOOKS) events = events.then(quietly(() => ask(name, input)))
  }

  const hooks = {
    event: quietly(async ({ event: { type, properties = {} } }) => {
      const { sessionID, part } = properties
      if (sessionID) sessions.add(sessionID)
      if (type === "session.created") later(type, properties)
      if (type === "session.error") {
        failed.set(sessionID, properties.error?.name ?? "error")
        later(type, properties)
      }
      if (type === "session.idle") {
        later(type, { sessionID, error: failed.get(sessionID) })
        failed.delete(sessionID)
      }
      if (type === "message.part.updated" && part?.type === "tool" && part.state.status === "error") {
        if (!settled.has(part.callID)) later(type, { sessionID, part })
        settled.add(part.callID)
      }
    }),

    async dispose() {
      for (const sessionID of sessions) later("dispose", { sessionID })
      await events
    },

    async "chat.message"(input, output) {
      await events
      try {
        const told = { parts: output.parts.map(brief) }
        const text = await ask("chat.message", { sessionID: input.sessionID }, told, "text")
        if (text === undefined) return
        const [first, ...others] = output.parts.filter(spoken)
        if (first === undefined) throw new Error("hookyard: a webhook gave new text to a message without any")
        first.text = text
        for (const part of others) part.text = ""
      } catch (error) {
        tell(error.message) // OpenCode itself says no more than that something went wrong
        throw error
      }
    },

    "experimental.chat.system.transform": quietly(async ({ sessionID }, { system }) => {
      await events
      const text = await ask("experimental.chat.system.transform", { sessionID }, { system }, "text")
      if (text === undefined) return
      system.push([...system.splice(-1), text].join("\n\n")) // to the last one: not every model takes several
    }),

    "experimental.text.complete": quietly(async (input, output) => {
      await events
      const text = await ask("experimental.text.complete", input, { text: output.text }, "text")
      if (text !== undefined) output.text = text
    }),

    async "tool.execute.before"(input, output) {
      await events
      try {
        const args = await ask("tool.execute.before", input, { args: output.args }, "args")
        if (args !== undefined) replace(output.args, args)
      } catch (error) {
        settled.add(input.callID)
        throw error
      }
    },

    "tool.execute.after": quietly(async (input, output) => {
      await events
      if (!output) return // of a subagent that failed
      const told = { output: resultOf(output), metadata: { exit: output.metadata?.exit } }
      const text = await ask("tool.execute.after", input, told, "text")
      if (text === undefined) return
      if (Array.isArray(output.content)) output.content = [{ type: "text", text }]
      else output.output = text
    }),
  }
  const needed = (name) => name in HOOKS || name === "event" || name === "dispose"
  return Object.fromEntries(Object.entries(hooks).filter(([name]) => needed(name)))
}
