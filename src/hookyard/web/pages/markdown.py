"""The little Markdown that agents write, as HTML: paragraphs, lists, code, bold. Everything else stays as it is.

Used as a filter by the templates for answers and comments. Links are not made: their text would hide where they lead.
"""

from __future__ import annotations

import re

from markupsafe import Markup, escape

_LIMIT = 100_000
_CODE = re.compile(r"`([^`\n]+)`")
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
_ITEM = re.compile(r"\s*(?:([-*•])|(\d{1,3})[.)])\s+(.*)")
_HEADING = re.compile(r"#{1,6}\s+(.*)")


def _inline(text: str) -> str:
    parts = _CODE.split(text)
    shown = []
    for index, part in enumerate(parts):
        safe = str(escape(part))
        shown.append(f"<code>{safe}</code>" if index % 2 else _BOLD.sub(r"<b>\1</b>", safe))
    return "".join(shown)


def render_markdown(text: str) -> Markup:
    """Return a text as paragraphs, lists and blocks of code."""
    out: list[str] = []
    lines = text[:_LIMIT].splitlines()
    index = 0
    while index < len(lines):
        line = lines[index]
        if line.lstrip().startswith("```"):
            end = next((n for n in range(index + 1, len(lines)) if lines[n].lstrip().startswith("```")), len(lines))
            out.append(f'<pre class="code">{escape(chr(10).join(lines[index + 1 : end]))}</pre>')
            index = end + 1
        elif match := _ITEM.match(line):
            tag = "ul" if match.group(1) else "ol"
            items = []
            while index < len(lines) and (match := _ITEM.match(lines[index])):
                items.append(f"<li>{_inline(match.group(3))}</li>")
                index += 1
            out.append(f"<{tag}>{''.join(items)}</{tag}>")
        elif heading := _HEADING.match(line):
            out.append(f"<p><b>{_inline(heading.group(1))}</b></p>")
            index += 1
        elif line.strip():
            words = []
            while index < len(lines) and lines[index].strip() and not _begins(lines[index]):
                words.append(_inline(lines[index]))
                index += 1
            out.append(f"<p>{'<br>'.join(words)}</p>")
        else:
            index += 1
    return Markup("".join(out))  # noqa: S704 (every text was escaped)


def _begins(line: str) -> bool:
    return bool(_ITEM.match(line) or _HEADING.match(line) or line.lstrip().startswith("```"))
