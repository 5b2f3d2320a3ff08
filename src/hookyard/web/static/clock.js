// Keeps "12 minutes ago" true. The server has written the first one.
import { selected } from "./morph.js"
const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "always" })
function fresh() {
  for (const element of document.querySelectorAll("time[data-ago]")) {
    const seconds = (Date.now() - Date.parse(element.dateTime)) / 1000
    if (seconds < 10 || seconds >= 86400) continue
    const [count, unit] = seconds < 60 ? [seconds, "second"] : seconds < 3600 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"]
    const text = words.format(-Math.floor(count), unit).replace(/(\d)(\p{Script=Han})/u, "$1 $2")
    if (element.textContent !== text && !selected(element)) element.textContent = text
  }
}
setInterval(fresh, 10000)
