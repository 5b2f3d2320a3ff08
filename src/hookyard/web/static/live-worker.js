// One stream for all tabs. A tab says which topics it follows and up to where it has seen each; what comes is given to
// those who follow it. The stream is opened anew when the topics change, and closed when nobody follows any.
const tabs = new Map()
let silent = 45000 // three pings of the server, which says how often it pings
let source, opened = "", timer, wait = 300, silence

function topics() {
  const all = new Map()
  for (const list of tabs.values()) for (const { topic, after, url } of list) {
    const known = all.get(topic)
    all.set(topic, { url, after: known ? Math.min(known.after, after) : after })
  }
  return all
}

function open() {
  clearTimeout(timer)
  const all = topics(), names = [...all.keys()].sort().join(" ")
  if (names === opened && source?.readyState < 2) return
  source?.close()
  opened = names
  clearTimeout(silence)
  if (!all.size) return
  const query = [...all].map(([topic, { after }]) => `t=${encodeURIComponent(`${topic}@${after}`)}`).join("&")
  source = new EventSource(`${[...all.values()][0].url}?${query}`)
  alive()
  source.addEventListener("ping", event => { silent = 3 * Number(event.data) || silent; alive() })
  source.onopen = () => {
    alive()
    if (wait > 600) tell(false)
    wait = 300
  }
  source.onmessage = event => { alive(); give(JSON.parse(event.data)) }
  source.onerror = broken
}

function broken() {
  source.close()
  clearTimeout(silence)
  if (wait > 300) tell(true) // a stream that ends and begins again is nothing to speak of
  clearTimeout(timer)
  timer = setTimeout(() => { opened = ""; open() }, wait)
  wait = Math.min(wait * 2, 15000)
}

// A connection that was cut without a word gives no error: it is only silent.
function alive() {
  clearTimeout(silence)
  silence = setTimeout(broken, silent)
}

function tell(lost) {
  for (const [port, list] of tabs) for (const { topic } of list) port.postMessage({ topic, lost })
}

function give(data) {
  for (const [port, list] of tabs) for (const item of list) {
    // Items that a tab has seen are not sent to it again; that something has changed or ended is.
    if (item.topic !== data.topic || (data.items?.length && !data.over && data.seq <= item.after)) continue
    if (data.seq) item.after = data.seq
    port.postMessage(data)
  }
}

globalThis.onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    const before = tabs.get(port)?.map(one => one.topic) ?? []
    // Somebody who joins is told what it missed, so the stream begins again although it has the topic.
    if (data.topics.some(one => !before.includes(one.topic))) opened = ""
    if (data.topics.length) tabs.set(port, data.topics)
    else tabs.delete(port)
    clearTimeout(timer)
    timer = setTimeout(open, 20)
  }
}
