// Patches a part of the page, node by node, to what the server has rendered again. What the reader is in the middle of
// stays: focus, changed fields, selected text, open dialogs and popovers, folds, scroll positions. Nodes are kept and
// never moved under a caret, so an input method keeps composing. `patch` returns false when something had to wait.
const FIELDS = "input:not([type=hidden]), textarea, select, [contenteditable]"
const OVER = "dialog[open], :popover-open" // lies above the page: left alone until it is closed
const CUSTOM = /-/
const written = new WeakSet() // contenteditable elements that the reader has written into
const lines = text => text.replace(/\r\n?/g, "\n")

document.addEventListener("input", event => { if (event.target.isContentEditable) written.add(event.target) })

function chosen(select) { // the options that the server chose
  const all = [...select.options], given = all.filter(option => option.defaultSelected)
  return given.length || select.multiple ? given : all.filter(option => !option.disabled).slice(0, 1)
}

// Whether a field holds something else than what the server wrote into it.
export function edited(field) {
  if (field.isContentEditable && !("value" in field)) return written.has(field)
  if (field.matches("select")) { const given = chosen(field); return [...field.options].some(option => option.selected !== given.includes(option)) }
  if (field.matches("[type=checkbox], [type=radio]")) return field.checked !== field.defaultChecked
  if (field.matches("[type=file]")) return field.files.length > 0
  if (field.matches("[type=hidden], [type=submit], [type=button], [type=image], [type=reset]")) return false
  return field.validity.badInput || lines(field.value) !== lines(field.defaultValue)
}

// Whether the reader has selected text in a node.
export function selected(node) {
  const selection = getSelection()
  return !!selection?.rangeCount && !selection.isCollapsed && selection.getRangeAt(0).intersectsNode(node)
}

const focused = node => { const at = document.activeElement; return !!at && at !== document.body && node.contains(at) }

// Whether something of the reader's would be lost with a node.
function held(node) {
  if (selected(node)) return true
  if (node.nodeType !== Node.ELEMENT_NODE) return false
  const all = [node, ...node.querySelectorAll("*")]
  return focused(node) || all.some(one => one.matches(`details[open], ${OVER}`) || (one.matches(FIELDS) && edited(one)) || one.scrollTop || one.scrollLeft)
}

const key = node => node.nodeType !== Node.ELEMENT_NODE ? "" : node.id || (node.matches(".row, .ticket") && node.querySelector(".open")?.getAttribute("href")) || ""
const like = (old, fresh) => old.nodeName === fresh.nodeName && (old.nodeType !== Node.ELEMENT_NODE || old.classList[0] === fresh.classList[0])

class Patch {
  whole = true // false: something had to wait

  node(old, fresh) {
    if (old.isEqualNode(fresh)) return
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (selected(old)) this.whole = false
      else old.data = fresh.data
      return
    }
    if (old.matches(OVER)) { this.whole = false; return }
    if (old.matches("[data-keep], [data-grown], [data-sent]") || CUSTOM.test(old.localName)) return
    if (old.matches("form[method=post]") && old.closest("[data-posted]") && old.querySelector(FIELDS)) return // the server refused what is in it
    if (old.matches(`${FIELDS}, input`)) return this.field(old, fresh)
    this.attributes(old, fresh)
    this.children(old, fresh)
  }

  attributes(old, fresh) {
    const own = name => name === "style" || (name === "open" && old.matches("details, dialog")) // the reader's
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !own(name)) old.removeAttribute(name)
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value && !own(name)) old.setAttribute(name, value)
  }

  field(old, fresh) {
    if (old.matches("[contenteditable]") && !("value" in old)) {
      if (edited(old)) return
      if (focused(old)) this.whole = false
      else { this.attributes(old, fresh); this.children(old, fresh) }
      return
    }
    if (edited(old)) { // theirs; when the server says the same, as after a search, it is no longer a change
      if ("defaultValue" in old && lines(old.value) === lines(fresh.defaultValue)) old.defaultValue = fresh.defaultValue
      return
    }
    if (focused(old)) { this.whole = false; return }
    this.attributes(old, fresh)
    if (old.matches("select")) { this.children(old, fresh); const given = chosen(fresh).map(option => option.index); for (const option of old.options) option.selected = given.includes(option.index) }
    else if (old.matches("[type=checkbox], [type=radio]")) old.checked = fresh.defaultChecked
    else if (!old.matches("[type=file]")) { old.defaultValue = fresh.defaultValue; old.value = fresh.defaultValue }
  }

  children(old, fresh) {
    const keyed = new Map(), done = new Set()
    for (const child of old.childNodes) if (key(child) && !keyed.has(key(child))) keyed.set(key(child), child)
    let at = old.firstChild
    const next = () => { while (at && (done.has(at) || (at.nodeType === Node.ELEMENT_NODE && at.matches("[data-keep]")))) at = at.nextSibling }
    for (const want of fresh.childNodes) {
      next()
      const match = this.find(at, want, keyed, done)
      if (match) {
        if (match !== at) this.move(old, match, at)
        this.node(match, want)
        done.add(match)
        if (match === at) at = at.nextSibling
      } else {
        const made = document.importNode(want, true)
        old.insertBefore(made, at)
        done.add(made)
      }
    }
    for (const child of [...old.childNodes]) if (!done.has(child)) this.remove(child)
  }

  find(at, want, keyed, done) {
    if (key(want)) { const found = keyed.get(key(want)); return found && found.nodeName === want.nodeName && !done.has(found) ? found : null }
    for (let one = at; one; one = one.nextSibling) if (!done.has(one) && !key(one) && like(one, want)) return one
    return null
  }

  // Brings a node before another one. What the reader holds is not moved: what lies before it goes behind it.
  move(parent, node, at) {
    if (!held(node)) { parent.insertBefore(node, at); return }
    const between = []
    for (let one = at; one && one !== node; one = one.nextSibling) between.push(one)
    if (between.length && between.at(-1).nextSibling !== node) { this.whole = false; return }
    for (const one of between.reverse()) {
      if (held(one)) this.whole = false
      else parent.insertBefore(one, node.nextSibling)
    }
  }

  remove(node) {
    if (node.nodeType === Node.ELEMENT_NODE && node.matches("[data-keep]")) return
    if (held(node)) this.whole = false
    else node.remove()
  }
}

// Prepares what was parsed from HTML of the server as the modules prepare a page. A parser outside of a window reads
// <noscript> as elements: its required checkboxes, which nobody sees, would keep their forms from being sent.
export function ready(fresh) {
  for (const button of fresh.querySelectorAll("[data-copy]")) button.hidden = false
  for (const unseen of fresh.querySelectorAll("noscript")) unseen.replaceChildren()
  return fresh
}

// Makes `old` like `fresh`, an element of another document.
export function patch(old, fresh) {
  const one = new Patch()
  one.node(old, ready(fresh))
  return one.whole
}
// Makes what is inside of `old` like what is inside of `fresh`.
export function patchInside(old, fresh) {
  const one = new Patch()
  one.children(old, ready(fresh))
  return one.whole
}
// The same for HTML as the server has rendered it.
export function patchHtml(old, html) {
  const holder = document.createElement("template")
  holder.innerHTML = html
  return patchInside(old, holder.content)
}
