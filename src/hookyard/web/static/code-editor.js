// <code-editor mode="prompt|js" vars="…">: a textarea, so that undo, composition, selection, forms and screen readers are
// the browser's own, over a <pre> with the same text coloured, marks of the server, and a completion list.
const RULES = {
  prompt: /(?<var>\{\{\s*\w*\s*\}\})/gu,
  js: /(?<op>\/\/.*|\/\*[\s\S]*?\*\/|[=!<>&|?:+\-*%^~]+)|(?<s>'(?:\\.|[^'\\\n])*'?|"(?:\\.|[^"\\\n])*"?|`(?:\\.|[^`\\])*`?)|(?<nu>\b\d[\d._]*\b)|(?<k>\b(?:true|false|null|undefined|typeof|in|instanceof|new|void)\b)|(?<fn>[\w$]+(?=\())/gu,
}
const STEMS = { prompt: /\{\{\s*(\w*)$/, js: /\bctx\.(\w*)$/ }
const LONG = 20000 // beyond this the copy is painted only when nobody types
const safe = text => text.replace(/[&<>]/g, letter => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[letter])

class CodeEditor extends HTMLElement {
  connectedCallback() {
    [this.area, this.copy, this.gutter] = ["textarea", "pre", ".gutter"].map(what => this.querySelector(what))
    this.mode = this.getAttribute("mode")
    this.names = this.getAttribute("vars").split(" ")
    this.marks = []
    this.area.addEventListener("input", event => {
      this.marks = []
      this.area.value.length > LONG ? this.soon() : this.paint()
      if (!event.isComposing) this.complete()
    })
    this.area.addEventListener("keydown", event => this.key(event))
    this.area.addEventListener("compositionstart", () => this.classList.add("composing"))
    this.area.addEventListener("compositionend", () => { this.classList.remove("composing"); this.paint(); this.complete() })
    this.area.addEventListener("blur", () => this.close())
    this.area.addEventListener("click", () => this.close())
    new ResizeObserver(() => this.number()).observe(this.copy)
    this.paint()
  }
  soon() { clearTimeout(this.waiting); this.waiting = setTimeout(() => this.paint(), 300) }
  mark(marks) { this.marks = marks; this.paint() }
  offset(line, column) { // columns count characters, the textarea counts UTF-16 units
    const lines = this.area.value.split("\n")
    const before = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0)
    return before + [...(lines[line - 1] ?? "")].slice(0, column - 1).join("").length
  }
  pieces() { // [from, to, class]; marks win over colours
    const text = this.area.value, found = []
    for (const match of text.matchAll(RULES[this.mode])) found.push([match.index, match.index + match[0].length, Object.keys(match.groups).find(name => match.groups[name] !== undefined)])
    for (const { line, column, severity } of this.marks) {
      const from = Math.min(this.offset(line, column), text.length)
      const length = /^(\{\{[^}\n]*\}?\}?|[\w$]+|[^\n]|)/u.exec(text.slice(from))[0].length
      const start = length ? from : Math.max(0, from - 1), end = from + Math.max(length, 0)
      for (let i = found.length; i--;) {
        const [a, b, name] = found[i]
        if (a < end && b > start) found.splice(i, 1, ...(a < start ? [[a, start, name]] : []), ...(b > end ? [[end, b, name]] : []))
      }
      found.push([start, end, severity === "warning" ? "odd" : "bad"])
    }
    return found.sort((x, y) => x[0] - y[0])
  }
  paint() {
    const text = this.area.value
    let at = 0, html = ""
    for (const [from, to, name] of this.pieces()) {
      if (from < at) continue
      html += `${safe(text.slice(at, from))}<span class="${name}">${safe(text.slice(from, to))}</span>`
      at = to
    }
    this.copy.innerHTML = html + safe(text.slice(at)) + "\u200b"
    this.number()
  }
  number() { // a wrapped line needs room beside it
    const walk = document.createTreeWalker(this.copy, NodeFilter.SHOW_TEXT), range = document.createRange(), tops = [0]
    if (this.area.value.length > LONG) { this.gutter.textContent = ""; return }
    const top = this.copy.getBoundingClientRect().top
    for (let node; (node = walk.nextNode());) for (let i = -1; (i = node.data.indexOf("\n", i + 1)) >= 0;) {
      range.setStart(node, i)
      range.setEnd(node, i + 1)
      const box = range.getClientRects()[0]
      tops.push(box ? Math.round((box.top - top - 7) / 22) + 1 : tops.at(-1) + 1)
    }
    this.gutter.textContent = tops.map((row, i) => i + 1 + "\n".repeat(Math.max(1, (tops[i + 1] ?? row + 1) - row))).join("")
  }
  complete() {
    const { selectionStart, selectionEnd, value } = this.area
    const found = selectionStart === selectionEnd && STEMS[this.mode].exec(value.slice(0, selectionEnd))
    const names = found ? this.names.filter(name => name.toLowerCase().startsWith(found[1].toLowerCase()) && name !== found[1]) : []
    if (!names.length) return this.close()
    if (!this.list) {
      this.list = document.createElement("ul")
      this.list.id = `${this.area.id}-list`
      this.list.setAttribute("role", "listbox")
      this.list.setAttribute("aria-label", this.area.getAttribute("aria-label"))
      this.append(this.list)
      this.area.setAttribute("aria-controls", this.list.id)
      this.area.setAttribute("aria-autocomplete", "list")
    }
    this.stem = found[1].length
    this.list.replaceChildren(...names.map((name, i) => {
      const option = Object.assign(document.createElement("li"), { id: `${this.list.id}-${i}`, textContent: name })
      option.setAttribute("role", "option")
      option.addEventListener("mousedown", event => { event.preventDefault(); this.pick(name) })
      return option
    }))
    const { x, y } = this.caret()
    this.list.style.setProperty("left", `${Math.min(x, this.clientWidth - 170)}px`)
    this.list.style.setProperty("top", `${y}px`)
    this.select(0)
  }
  caret() { // where the word begins, read from the copy
    let left = this.area.selectionEnd - this.stem, node
    const walk = document.createTreeWalker(this.copy, NodeFilter.SHOW_TEXT), range = document.createRange()
    while ((node = walk.nextNode()) && left > node.length) left -= node.length
    range.setStart(node, left)
    range.setEnd(node, left)
    const at = range.getBoundingClientRect(), box = this.getBoundingClientRect()
    return { x: at.left - box.left, y: at.bottom - box.top + 4 }
  }
  select(place) {
    const all = [...this.list.children]
    this.at = (place + all.length) % all.length
    all.forEach((option, i) => option.setAttribute("aria-selected", i === this.at))
    all[this.at].scrollIntoView({ block: "nearest" })
    this.area.setAttribute("aria-activedescendant", all[this.at].id)
  }
  close() {
    this.list?.remove()
    this.list = null
    for (const name of ["aria-activedescendant", "aria-controls"]) this.area.removeAttribute(name)
  }
  pick(name) {
    const end = this.area.selectionEnd
    const closing = this.mode === "prompt" ? /^\s*\}\}/.exec(this.area.value.slice(end))?.[0].length ?? 0 : 0
    this.area.setSelectionRange(end - this.stem, end + closing)
    this.insert(this.mode === "prompt" ? `${name}}}` : name)
    this.close()
  }
  insert(text) { // the only way in that undo can take back
    this.area.focus()
    document.execCommand("insertText", false, text)
  }
  key(event) {
    if (!this.list || event.isComposing) return
    const chosen = () => this.pick(this.list.children[this.at].textContent)
    const act = { ArrowDown: () => this.select(this.at + 1), ArrowUp: () => this.select(this.at - 1), Escape: () => this.close(), Enter: chosen, Tab: chosen }[event.key]
    if (act) { event.preventDefault(); act() }
  }
}
customElements.define("code-editor", CodeEditor)
