// What the pointer is over: `data-tip` of any element, or the mark of a strip (`data-tips`, `data-links`: one a mark).
const tip = Object.assign(document.createElement("div"), { className: "tip", hidden: true })
tip.setAttribute("role", "tooltip")
document.body.append(tip)

const mark = (strip, x) => {
  const box = strip.getBoundingClientRect(), all = strip.dataset.tips.split("\n")
  return Math.max(0, Math.min(all.length - 1, Math.floor((x - box.left) / box.width * all.length)))
}
function show(text, x, y) {
  tip.hidden = !text
  if (!text) return
  tip.textContent = text
  const { width, height } = tip.getBoundingClientRect()
  tip.style.setProperty("left", `${Math.max(4, Math.min(x - width / 2, innerWidth - width - 4))}px`)
  tip.style.setProperty("top", `${y - height - 12 < 0 ? y + 18 : y - height - 12}px`)
}
document.addEventListener("pointermove", event => {
  const strip = event.target.closest?.("[data-tips]"), single = event.target.closest?.("[data-tip]")
  if (strip) show(strip.dataset.tips.split("\n")[mark(strip, event.clientX)], event.clientX, strip.getBoundingClientRect().top)
  else if (single) show(single.dataset.tip, event.clientX, event.clientY)
  else if (!tip.hidden) show("")
})
document.addEventListener("pointerover", event => {
  const single = event.target.closest?.("[data-tip]")
  if (single && !event.isTrusted) { const box = single.getBoundingClientRect(); show(single.dataset.tip, box.left + box.width / 2, box.top) }
})
document.addEventListener("scroll", () => show(""), true)
document.addEventListener("click", event => {
  const strip = event.target.closest?.("[data-links]")
  const link = strip?.dataset.links.split(" ")[mark(strip, event.clientX)]
  if (link && link !== "-") { event.preventDefault(); location.href = link }
})
