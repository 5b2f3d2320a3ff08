// The timeline of a run that goes on: items come as the server has rendered them; the page never scrolls by itself
// unless its reader is at the end.
import { follow, leave } from "./live.js"
import { texts } from "./texts.js"

const list = document.querySelector("[data-follow]"), note = document.getElementById("live")
const said = note?.innerHTML

async function heads() { // facts, decisions and causes, when something that they show has changed
  const answer = await fetch(location.href, { headers: { "x-part": "main" } })
  if (!answer.ok) return
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html")
  for (const part of document.querySelectorAll("[data-run]")) {
    const next = fresh.querySelector(`[data-run="${part.dataset.run}"]`)
    if (next) part.replaceWith(document.importNode(next, true))
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
    if (data.lost !== undefined) { if (data.lost) note.textContent = texts.lost; else note.innerHTML = said; return }
    note.innerHTML = said
    const end = innerHeight + scrollY >= document.documentElement.scrollHeight - 60
    for (const [key, html] of data.items ?? []) {
      const old = document.getElementById(key), holder = document.createElement("template")
      holder.innerHTML = html
      const fresh = holder.content.firstElementChild
      const own = fresh.matches(".is-prompt") && document.getElementById("prompt"), said = one => one.querySelector(".words").textContent
      if (own && said(own) === said(fresh)) continue // the page shows it already
      own?.remove?.() // the agent was told another one: a webhook has changed it
      if (old) old.replaceWith(fresh)
      else { fresh.classList.add("come"); list.append(fresh) }
    }
    if (end) scrollTo(0, document.documentElement.scrollHeight)
    if (data.over) { leave(topic); location.reload() }
    else headsSoon()
  }, Number(list.dataset.after))
}
