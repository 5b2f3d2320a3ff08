// The callback editor: asks the server for problems and preview 250 ms after the last change, and keeps what it said
// until it says something else.
import "./code-editor.js"
import { patchHtml } from "./morph.js"
import { texts } from "./texts.js"

const form = document.getElementById("editor"), side = document.getElementById("preview")
const editor = name => form.elements[name].closest("code-editor")
const first = new URLSearchParams(new FormData(form)).toString()
let timer, asking, leaving = false

async function ask() {
  asking?.abort()
  asking = new AbortController()
  try {
    const answer = await fetch(form.dataset.previewUrl, { method: "POST", body: new URLSearchParams(new FormData(form)), signal: asking.signal })
    if (!answer.ok) throw new Error(answer.status)
    const said = await answer.json()
    patchHtml(side.querySelector("[data-panel]"), said.panel)
    patchHtml(form.querySelector("[data-picked]"), said.events.html)
    for (const name of ["prompt", "condition"]) {
      editor(name).names = said.variables
      editor(name).mark(said[name].marks)
      patchHtml(form.querySelector(`[data-messages-of="${name}"]`), said[name].html)
    }
    side.classList.remove("stale")
  } catch (error) { if (error.name !== "AbortError") side.classList.add("stale") }
}
const changed = () => new URLSearchParams(new FormData(form)).toString() !== first
function soon() {
  form.querySelector("[data-unsaved]").hidden = !changed()
  clearTimeout(timer)
  timer = setTimeout(ask, 250)
}
function choose(id) {
  form.elements.preview.value = form.elements.event.value = id
  for (const open of side.querySelectorAll("details.event-choice[open]")) open.open = false
  ask()
}
form.addEventListener("input", event => {
  if (event.target.name === "events") {
    const chosen = [...form.querySelectorAll('[name="events"]:checked')]
    form.querySelector("[data-chosen]").replaceChildren(...chosen.map(box => box.parentElement.querySelector(".chip").cloneNode(true)))
    form.elements.preview.value = form.elements.event.value = ""
  }
  soon()
})
form.addEventListener("click", event => {
  const insert = event.target.closest("[data-insert]"), other = event.target.closest("[data-preview]")
  if (insert) {
    const condition = document.activeElement === form.elements.condition || form.dataset.last === "condition"
    const at = editor(condition ? "condition" : "prompt")
    at.insert(condition ? `ctx.${insert.dataset.insert}` : `{{${insert.dataset.insert}}}`)
    at.close()
  }
  if (other) choose(other.dataset.preview)
})
for (const name of ["prompt", "condition"]) form.elements[name].addEventListener("focus", () => { form.dataset.last = name })
document.addEventListener("click", event => {
  for (const open of form.querySelectorAll("details.event-picker[open], details.event-choice[open]")) if (!open.contains(event.target)) open.open = false
})
form.addEventListener("keydown", event => {
  if (event.key === "Escape") for (const open of form.querySelectorAll("details.event-picker[open], details.event-choice[open]")) { open.open = false; event.preventDefault() }
  if (event.key === "Enter" && event.target.matches("input:not([type=checkbox], [type=radio])")) event.preventDefault()
})
// The events before and after the one that is shown, for [ and ].
for (const [key, step] of [["[", 1], ["]", -1]]) {
  const button = Object.assign(document.createElement("button"), { type: "button", hidden: true })
  button.dataset.key = key
  button.addEventListener("click", () => {
    const all = [...side.querySelectorAll("[data-preview]")], at = all.findIndex(one => one.hasAttribute("aria-current"))
    if (all[at + step]) choose(all[at + step].dataset.preview)
  })
  form.append(button)
}
form.addEventListener("submit", () => { leaving = true })
addEventListener("beforeunload", event => { if (!leaving && changed()) { event.preventDefault(); event.returnValue = texts.unsaved } })
ask()
