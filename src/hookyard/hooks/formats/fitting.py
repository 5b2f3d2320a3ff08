"""Fits text into a service's limits: counted as the service counts, never cut inside a character.

Used by the formats. A character here is what a reader sees as one: a letter with its accents, an emoji with its
modifiers, a flag (the parts of Unicode's UAX #29 that occur in practice).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

ELLIPSIS = "…"
_JOINER = "\u200d"
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def characters(text: str) -> int:
    """Return the length as most services count."""
    return len(text)


def utf8_bytes(text: str) -> int:
    """Return the length as DingTalk and WeCom count."""
    return len(text.encode("utf-8", "replace"))


def utf16_units(text: str) -> int:
    """Return the length as services written in JavaScript count: an emoji is two."""
    return len(text.encode("utf-16-le", "replace")) // 2


def plain(text: str) -> str:
    """Return the text unchanged: nothing needs escaping."""
    return text


def cut(
    text: str, limit: int, *, measure: Callable[[str], int] = characters, escape: Callable[[str], str] = plain
) -> str:
    """Return as much of the escaped text as fits, with an ellipsis where something is missing.

    Args:
        text: What to show.
        limit: The most that the result may measure; a limit below the ellipsis gives `""`.
        measure: How the service counts; longer text never measures less.
        escape: What takes the service's markup out of the text; applied to what is kept, so it is never cut in half.
    """
    # No measure counts less than one for a character, so this much decides; it bounds the work on huge text.
    head = text[: limit + 1]
    if len(head) == len(text):
        whole = escape(text)
        if measure(whole) <= limit:
            return whole
    if measure(ELLIPSIS) > limit:
        return ""
    low, high = 0, len(head)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(escape(head[:middle].rstrip()) + ELLIPSIS) <= limit:
            low = middle
        else:
            high = middle - 1
    return escape(head[: _boundary(text, low)].rstrip()) + ELLIPSIS


def clip_lines(text: str, lines: int) -> str:
    """Return the first lines of a text, with an ellipsis where some are missing."""
    parts = text.split("\n", lines)
    return text if len(parts) <= lines else "\n".join([*parts[:lines], ELLIPSIS])


def one_line(text: str) -> str:
    """Return text on one line: runs of blanks, line ends and control characters become one blank."""
    return " ".join("".join(" " if _unseen(c) else c for c in text).split())


def visible(text: str) -> str:
    """Return text of several lines without controls and marks that change the writing direction."""
    return "".join(c for c in text.replace("\r\n", "\n") if c in "\n\t" or not _unseen(c))


def _unseen(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _BIDI


def _boundary(text: str, at: int) -> int:
    """Return the nearest index at or before `at` that is not inside a character."""
    while 0 < at < len(text) and _joined(text, at):
        at -= 1
    return at


def _joined(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    if after == _JOINER or before == _JOINER or unicodedata.combining(after):
        return True
    code = ord(after)
    if 0xFE00 <= code <= 0xFE0F or 0x1F3FB <= code <= 0x1F3FF or 0xE0020 <= code <= 0xE007F:
        return True  # variation selectors, skin tones, tags of regional flags
    if unicodedata.category(after) in ("Mn", "Me", "Mc"):
        return True
    if not _regional(after):
        return False
    run = 0  # two regional indicators make one flag: cut only after a pair
    while at - 1 - run >= 0 and _regional(text[at - 1 - run]):
        run += 1
    return run % 2 == 1


def _regional(char: str) -> bool:
    return 0x1F1E6 <= ord(char) <= 0x1F1FF
