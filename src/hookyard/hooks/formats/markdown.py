"""The Markdown that DingTalk and WeCom both render: headings, bold, quotes, inline code; no fenced blocks, no escapes.

Used by those two formats. Since neither service documents an escape, the characters that begin a link, an image, a tag
or a mention are replaced by their full-width look-alikes, visibly, and the agent's text stands in inline code.
"""

from __future__ import annotations

from hookyard.hooks.formats.fitting import cut, utf8_bytes
from hookyard.hooks.formats.summary import Block, Summary

_LOOK_ALIKES = str.maketrans({"<": "＜", "@": "＠", "`": "ˋ"})


def escape(text: str) -> str:
    """Return one line of text in which neither service sees a mention, a tag, a link or an image."""
    return text.translate(_LOOK_ALIKES).replace("](", "]（").replace("]:", "]：").replace("![", "！[")


def render(summary: Summary, limit: int, heading: str) -> str:
    """Return the message, at most `limit` bytes of UTF-8: facts whole, in half of it, the agent's texts as far as they
    fit.

    Args:
        summary: What to say.
        limit: Bytes that the service takes.
        heading: The headline, already in the service's markup.
    """
    footer = f"\n{escape(summary.footer)}"
    left = limit // 2 - utf8_bytes(f"{heading}{footer}")
    facts = "\n"
    for fact in summary.facts:
        line = f"- {escape(fact.label)}{summary.colon}`{escape(fact.value)}`\n"
        if utf8_bytes(facts + line) <= left:
            facts += line
    room = limit - utf8_bytes(f"{heading}\n{facts}{footer}")
    blocks = ""
    for block in summary.blocks:
        blocks += _block(block, summary.colon, room - utf8_bytes(blocks))
    return f"{heading}\n{blocks}{facts}{footer}"


def _block(block: Block, colon: str, room: int) -> str:
    label = f"\n**{escape(block.label)}**{colon.rstrip()}\n"
    left = room - utf8_bytes(label)
    lines: list[str] = []
    for line in block.text.split("\n"):
        shown = cut(line, max(0, left - len("> ``\n\n")), measure=utf8_bytes, escape=escape)
        if not shown and line:
            break
        # A blank line in a quote keeps the lines apart, which both services would else run together.
        quoted = f"> `{shown}`\n\n" if shown.strip() else ">\n\n"
        left -= utf8_bytes(quoted)
        if left < 0:
            break
        lines.append(quoted)
    return label + "".join(lines) if lines else ""
