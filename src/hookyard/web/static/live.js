// Follows topics of the server. All tabs share one stream through a worker, because a browser opens only six to a host.
import { texts } from "./texts.js"

const handlers = new Map()
let port

function say(message) { port?.postMessage(message) }

function connect() {
  if (port || !texts.liveUrl) return
  if (globalThis.SharedWorker) {
    const worker = new SharedWorker(texts.worker, { name: "hookyard" })
    port = worker.port
  } else { // the same module in the page itself: a stream of its own
    const { port1, port2 } = new MessageChannel()
    port = port1
    import(texts.worker).then(() => globalThis.onconnect({ ports: [port2] }))
  }
  port.onmessage = ({ data }) => handlers.get(data.topic)?.(data)
}

const wanted = new Map()
function tell() {
  say({ topics: document.hidden ? [] : [...wanted].map(([topic, after]) => ({ topic, after, url: texts.liveUrl })) })
}

export function follow(topic, handler, after = 0) {
  connect()
  handlers.set(topic, data => { if (data.seq) wanted.set(topic, data.seq); handler(data) })
  wanted.set(topic, after)
  tell()
}
export function leave(topic) { wanted.delete(topic); handlers.delete(topic); tell() }

document.addEventListener("visibilitychange", tell)
addEventListener("pagehide", () => say({ topics: [] }))
addEventListener("pageshow", event => { if (event.persisted) tell() })
