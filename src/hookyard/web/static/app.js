// What every page does beyond plain links and forms: dialogs, menus, copying, tips, keys, fresh times, endless lists.
// The server renders; nothing here makes content of its own. Each part is a small module.
import "./clock.js"
import "./keys.js"
import "./tips.js"
import { texts } from "./texts.js"
import { follow } from "./live.js"
import { patchInside, ready } from "./morph.js"

// The server shows exact times in the reader's zone once it knows it.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone
if (zone && !document.cookie.includes(`hookyard_zone=${zone}`)) document.cookie = `hookyard_zone=${zone};path=/;max-age=31536000;samesite=lax`

// A notice is said once and a dialog opened once: a reload must not repeat it.
const address = new URL(location)
if (["done", "open"].some(name => address.searchParams.has(name))) { address.searchParams.delete("done"); address.searchParams.delete("open"); history.replaceState(null, "", address) }

const openDialog = id => {
  const dialog = document.getElementById(id)
  if (dialog && !dialog.open) dialog.showModal()
}
for (const dialog of document.querySelectorAll("dialog[open]")) { dialog.close(); dialog.showModal() }
for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false
new MutationObserver(changes => {
  for (const { addedNodes } of changes) for (const node of addedNodes) node.querySelectorAll?.("[data-copy]").forEach(b => b.hidden = false)
}).observe(document.body, { childList: true, subtree: true })

function ask(question, run) {
  const dialog = document.createElement("dialog")
  dialog.className = "dialog"
  const box = document.createElement("div"), words = document.createElement("h2"), row = document.createElement("div")
  row.className = "buttons"
  words.textContent = question
  const button = (label, cls, act) => {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: label, className: `btn ${cls}` })
    made.addEventListener("click", () => { dialog.close(); act?.() })
    return made
  }
  row.append(button(texts.cancel, "ghost"), button(texts.go, "danger main", run))
  box.append(words, row)
  dialog.append(box)
  dialog.setAttribute("aria-label", question)
  dialog.addEventListener("close", () => dialog.remove())
  document.body.append(dialog)
  dialog.showModal()
  row.firstChild.focus()
}

document.addEventListener("click", async event => {
  const opener = event.target.closest("[data-dialog]")
  if (opener) { event.preventDefault(); openDialog(opener.dataset.dialog) }
  const closer = event.target.closest("dialog [data-close]")
  if (closer) { event.preventDefault(); closer.closest("dialog").close() }
  const copy = event.target.closest("[data-copy]")
  if (copy) {
    const text = copy.dataset.copy === "@here" ? location.href : copy.dataset.copy
    await navigator.clipboard?.writeText(text)
    copy.dataset.tip = texts.copied
    copy.dispatchEvent(new Event("pointerover", { bubbles: true }))
    setTimeout(() => delete copy.dataset.tip, 1200)
  }
})

document.addEventListener("submit", event => {
  const form = event.target, question = event.submitter?.dataset.confirm ?? form.dataset.confirm
  if (question && !form.dataset.sure) {
    event.preventDefault()
    ask(question, () => { form.dataset.sure = "yes"; form.requestSubmit(event.submitter) })
    return
  }
  setTimeout(() => { event.submitter?.setAttribute("disabled", ""); event.submitter?.setAttribute("data-sent", "") }, 0) // not before its value has been sent
})
addEventListener("pageshow", () => document.querySelectorAll("button[data-sent]").forEach(b => { b.removeAttribute("disabled"); b.removeAttribute("data-sent") }))

document.addEventListener("change", event => {
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit()
})

// Typing in a list's search narrows it; the address follows, the field keeps the caret.
let typing
document.addEventListener("input", event => {
  if (!event.target.matches("[data-search]")) return
  clearTimeout(typing)
  typing = setTimeout(() => {
    const query = new URLSearchParams(new FormData(event.target.form))
    for (const [name, value] of [...query]) if (!value) query.delete(name)
    const next = `${event.target.form.action}?${query}`
    history.replaceState(null, "", next)
    short()
    refresh(next)
  }, 250)
})

// Asks for the page again and patches it; true when it is true now or will be. What had to wait is asked for once more
// when the reader lets go of it, and what a busy server refused after a while.
const BUSY_MS = 5000
let asking, waiting = false, letGo
export async function refresh(where = location.href) {
  const page = document.getElementById("page")
  if (!page) return false
  if (composing) return waiting = true
  asking?.abort()
  asking = new AbortController()
  try {
    const answer = await fetch(where, { headers: { "x-part": "main" }, signal: asking.signal })
    if (answer.status === 429 || answer.status >= 500) { clearTimeout(letGo); letGo = setTimeout(refresh, BUSY_MS) }
    if (!answer.ok || answer.redirected) return false
    const text = await answer.text()
    if (composing) waiting = true // an input method composes a word: nothing on the page changes under it
    else waiting = !patchInside(page, new DOMParser().parseFromString(text, "text/html").body)
    return true
  } catch (error) { // the server is away: the stream says when it is back
    if (!["AbortError", "TypeError"].includes(error.name)) throw error
    return false
  }
}
let composing = false
document.addEventListener("compositionstart", () => { composing = true })
document.addEventListener("compositionend", () => { composing = false })
for (const kind of ["focusout", "selectionchange", "compositionend", "toggle", "close"]) document.addEventListener(kind, () => {
  if (!waiting) return
  clearTimeout(letGo)
  letGo = setTimeout(() => { if (waiting) refresh() }, 300)
}, true)

// The next page of a list joins this one.
document.addEventListener("click", async event => {
  const link = event.target.closest("[data-more] a")
  if (!link || event.ctrlKey || event.metaKey) return
  event.preventDefault()
  const answer = await fetch(link.href, { headers: { "x-part": "main" } })
  const rows = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-rows]")
  if (!rows) return
  ready(rows)
  link.closest("[data-rows]").dataset.grown = ""
  link.closest("[data-more]").replaceWith(...rows.childNodes)
})

document.addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("[data-submit-key]")) event.target.form.requestSubmit()
})

// A page that follows a topic looks again when something has happened there, and when its stream begins (again): what
// happened before that was not said to it. A list to which the reader called more rows stays; it says that there is news.
const topic = document.querySelector("[data-live]")?.dataset.live
function short() { for (const list of document.querySelectorAll("[data-grown]")) delete list.dataset.grown }
function changed() {
  if (document.hidden) return
  const grown = document.querySelector("[data-live] [data-grown]")
  if (grown && !document.querySelector("[data-live] [data-fresh]")) {
    const button = Object.assign(document.createElement("button"), { type: "button", className: "btn fresh", textContent: texts.fresh })
    button.dataset.fresh = button.dataset.keep = ""
    button.addEventListener("click", () => { button.remove(); short(); scrollTo(0, 0); refresh() })
    grown.before(button)
  }
  refresh()
}
if (topic) follow(topic, data => { if (data.lost === undefined) changed() })
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" })
