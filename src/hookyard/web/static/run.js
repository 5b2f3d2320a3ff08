// The timeline of a run that goes on: items come as the server has rendered them; the page never scrolls by itself
// unless its reader is at the end.
import { follow, leave } from "./live.js"
import { patch, ready } from "./morph.js"
import { texts } from "./texts.js"
import { refresh } from "./app.js"

const list = document.querySelector("[data-follow]")

async function heads() { // facts, decisions and causes, when something that they show has changed
  const answer = await fetch(location.href, { headers: { "x-part": "main" } }).catch(() => null) // away: the stream says when it is back
  const text = answer?.ok && await answer.text().catch(() => "")
  if (!text) return
  const fresh = new DOMParser().parseFromString(text, "text/html")
  for (const part of document.querySelectorAll("[data-run]")) {
    const next = fresh.querySelector(`[data-run="${part.dataset.run}"]`)
    if (next) patch(part, next)
  }
}
let last = 0, later
function headsSoon() {
  clearTimeout(later)
  later = setTimeout(() => { last = Date.now(); heads() }, Math.max(0, last + 2000 - Date.now()))
}

if (list) {
  const topic = list.dataset.follow
  follow(topic, data => {
    const note = document.getElementById("live")
    if (data.lost && note) note.textContent = texts.lost
    if (data.lost !== undefined) { if (!data.lost) headsSoon(); return }
    const end = innerHeight + scrollY >= document.documentElement.scrollHeight - 60
    for (const [key, html] of data.items ?? []) {
      const old = document.getElementById(key), holder = document.createElement("template")
      holder.innerHTML = html
      const fresh = ready(holder.content).firstElementChild
      const own = fresh.matches(".is-prompt") && document.getElementById("prompt"), said = one => one.querySelector(".words").textContent
      if (own && said(own) === said(fresh)) continue // the page shows it already
      if (old ?? own) patch(old ?? own, fresh) // a prompt that a webhook has changed takes the place of the one that the page shows
      else { fresh.classList.add("come"); list.append(fresh) }
    }
    if (end) scrollTo(0, document.documentElement.scrollHeight)
    if (data.over) { clearTimeout(later); refresh().then(shown => { if (shown) leave(topic) }) }
    else headsSoon()
  }, Number(list.dataset.after))
}
