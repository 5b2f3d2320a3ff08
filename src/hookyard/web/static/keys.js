// The keyboard: Ctrl K, /, N, G and a letter, J and K, Enter, Esc, Ctrl S, Ctrl Enter, [ and ], ?. Letters are off while typing.
import { texts } from "./texts.js"
const GO = { t: "tasks", a: "automations", r: "runs", e: "events", w: "webhooks", d: "dashboard" }
const typing = element => element.isContentEditable || element.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=submit])")
const rows = () => [...document.querySelectorAll(".row .open, .ticket .open")].filter(link => link.offsetParent)
const press = key => { const found = document.querySelector(`[data-key="${key}"]`); found?.click(); return !!found }
let going = 0

function move(step) {
  const all = rows(), at = all.findIndex(link => link === document.activeElement)
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.max(0, Math.min(all.length - 1, at + step))]
  next?.focus()
  next?.scrollIntoView({ block: "nearest" })
}

function help() {
  let dialog = document.getElementById("keys")
  if (!dialog) {
    dialog = document.getElementById("texts").content.querySelector("dialog").cloneNode(true)
    dialog.id = "keys"
    document.body.append(dialog)
  }
  dialog.showModal()
}

// Ctrl K: the server finds, the arrows choose.
function jump() {
  let dialog = document.getElementById("jump")
  if (!dialog) {
    dialog = Object.assign(document.createElement("dialog"), { id: "jump", className: "dialog jump" })
    dialog.setAttribute("aria-label", texts.find)
    const box = document.createElement("div"), field = document.createElement("input"), results = document.createElement("div")
    Object.assign(field, { type: "search", placeholder: texts.find, autocomplete: "off", maxLength: 100 })
    for (const [name, value] of Object.entries({ role: "combobox", "aria-expanded": "true", "aria-controls": "jump-results", "aria-label": texts.find })) field.setAttribute(name, value)
    Object.assign(results, { id: "jump-results", className: "results" })
    results.setAttribute("role", "listbox")
    results.setAttribute("aria-label", texts.find)
    box.append(field, results)
    dialog.append(box)
    document.body.append(dialog)
    let at = 0, timer
    const choose = i => {
      const all = [...results.children]
      at = all.length ? (i + all.length) % all.length : 0
      all.forEach((item, n) => item.setAttribute("aria-selected", n === at))
      all[at]?.scrollIntoView({ block: "nearest" })
      field.setAttribute("aria-activedescendant", all[at]?.id ?? "")
    }
    const look = async () => {
      const answer = await fetch(`${texts.findUrl}?q=${encodeURIComponent(field.value)}`, { headers: { "x-part": "main" } })
      if (!answer.ok) return
      const found = new DOMParser().parseFromString(await answer.text(), "text/html").querySelectorAll(".item")
      results.replaceChildren(...[...found].map((item, n) => Object.assign(document.importNode(item, true), { id: `jump-${n}`, role: "option" })))
      choose(0)
    }
    field.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, 80) })
    field.addEventListener("keydown", event => {
      const act = { ArrowDown: () => choose(at + 1), ArrowUp: () => choose(at - 1), Enter: () => results.children[at]?.click() }[event.key]
      if (act && !event.isComposing) { event.preventDefault(); act() }
    })
    dialog.addEventListener("toggle", look)
    look()
  }
  dialog.showModal()
  dialog.querySelector("input").select()
}
document.addEventListener("click", event => {
  if (event.target.closest("[data-jump]") && !event.ctrlKey && !event.metaKey) { event.preventDefault(); jump() }
  if (event.target.matches("dialog.jump")) event.target.close()
})

document.addEventListener("keydown", event => {
  const command = event.ctrlKey || event.metaKey, key = event.key.toLowerCase()
  if (event.isComposing || event.defaultPrevented) return
  if (command && key === "k" && texts.findUrl) { event.preventDefault(); return jump() }
  if (command && key === "s" && document.querySelector('[data-key="save"]')) { event.preventDefault(); return press("save") }
  if (command && key === "enter" && !event.target.matches("[data-submit-key]")) return press("test")
  if (event.key === "Escape" && typing(event.target) && !document.querySelector("dialog[open], [role=listbox]")) return event.target.blur()
  if (command || event.altKey || typing(event.target)) return
  const letter = document.querySelector(`:popover-open [data-letter="${CSS.escape(key)}"]`)
  if (letter) { event.preventDefault(); return letter.click() }
  if (document.querySelector("dialog[open], :popover-open")) return
  if (going && Date.now() - going < 1200) {
    going = 0
    const place = document.querySelector(`[data-place="${GO[key]}"]`)
    if (place) { event.preventDefault(); return place.click() }
  }
  const act = {
    g: () => { going = Date.now() },
    j: () => move(1), k: () => move(-1),
    n: () => press("n"), "[": () => press("["), "]": () => press("]"),
    "/": () => { const field = document.querySelector("[data-search]"); field ? field.select() : texts.findUrl && jump() },
    "?": help,
    // Never away from something that somebody is filling in.
    escape: () => { if (!event.target.closest("form")) document.querySelector(".crumbs a:last-of-type")?.click() },
  }[key]
  if (act) { if (key !== "g") event.preventDefault(); act() }
})
