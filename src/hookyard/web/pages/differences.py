"""Differences between two texts, by line and by word. Used for what a webhook modified and for callback versions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from markupsafe import Markup, escape

_WORDS = re.compile(r"\s+|[A-Za-z0-9_./:=-]+|\w|[^\w\s]")
_LIMIT = 20_000
_CONTEXT = 2
WORK = 1_000_000
"""Pairs of words that are compared: webhooks choose what they change, and a page must not wait for them."""


@dataclass(frozen=True, slots=True)
class DiffLine:
    """One line of a difference.

    Attributes:
        kind: `gone`, `new`, `same`, or `skip-lines` for lines left out.
        text: The line, with changed words in `<mark>`.
        count: Lines left out.
    """

    kind: str
    text: Markup = field(default_factory=Markup)
    count: int = 0


def work_of(before: str, after: str) -> int:
    """Return the most pairs of words (of lines, where those are empty) that comparing two texts looks at, without the
    equal ends."""
    old, new = before[:_LIMIT].splitlines(), after[:_LIMIT].splitlines()
    head, tail = _same_ends(old, new)
    left, right = (
        sum(max(1, len(_WORDS.findall(line))) for line in lines[head : len(lines) - tail]) for lines in (old, new)
    )
    return left * right


def _same_ends(old: list[str], new: list[str]) -> tuple[int, int]:
    """Return how many lines are equal at the beginning and at the end."""
    shorter = min(len(old), len(new))
    head = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    tail = next((n for n in range(shorter - head) if old[-1 - n] != new[-1 - n]), shorter - head)
    return head, tail


def _groups(old: list[str], new: list[str]) -> list[tuple[str, int, int, int, int]]:
    """Return the opcodes of difflib; the equal ends are not passed to it."""
    head, tail = _same_ends(old, new)
    middle = SequenceMatcher(None, old[head : len(old) - tail], new[head : len(new) - tail], autojunk=False)
    groups: list[tuple[str, int, int, int, int]] = [("equal", 0, head, 0, head)] if head else []
    groups += [(tag, a + head, b + head, c + head, d + head) for tag, a, b, c, d in middle.get_opcodes()]
    if tail:
        groups.append(("equal", len(old) - tail, len(old), len(new) - tail, len(new)))
    return groups


def _words(before: str, after: str) -> tuple[Markup, Markup]:
    """Return both lines with the differences marked; nothing is marked when they have little in common."""
    left, right = _WORDS.findall(before), _WORDS.findall(after)
    matcher = SequenceMatcher(None, left, right, autojunk=False)
    if matcher.real_quick_ratio() < 0.3 or len(left) * len(right) > 250_000 or matcher.ratio() < 0.3:
        return escape(before), escape(after)
    old, new = [], []
    for tag, a, b, c, d in matcher.get_opcodes():
        gone, come = escape("".join(left[a:b])), escape("".join(right[c:d]))
        old.append(gone if tag == "equal" or not gone else f"<mark>{gone}</mark>")
        new.append(come if tag == "equal" or not come else f"<mark>{come}</mark>")
    return Markup("".join(old)), Markup("".join(new))  # noqa: S704 (escaped above)


def _changed(before: list[str], after: list[str]) -> Iterator[DiffLine]:
    pairs = [_words(a, b) for a, b in zip(before, after, strict=False)]
    yield from (DiffLine("gone", a) for a, _ in pairs)
    yield from (DiffLine("gone", escape(rest)) for rest in before[len(pairs) :])
    yield from (DiffLine("new", b) for _, b in pairs)
    yield from (DiffLine("new", escape(rest)) for rest in after[len(pairs) :])


def differences(before: str, after: str, limit: int = WORK) -> list[DiffLine]:
    """Return the lines that differ, with some context; all of both where comparing them would cost more than the limit,
    see `work_of`."""
    old, new = before[:_LIMIT].splitlines(), after[:_LIMIT].splitlines()
    if work_of(before, after) > limit:
        return [*(DiffLine("gone", escape(text)) for text in old), *(DiffLine("new", escape(text)) for text in new)]
    lines: list[DiffLine] = []
    groups = _groups(old, new)
    for index, (tag, a, b, c, d) in enumerate(groups):
        if tag != "equal":
            lines.extend(_changed(old[a:b], new[c:d]))
            continue
        head = _CONTEXT if index else 0
        tail = _CONTEXT if index < len(groups) - 1 else 0
        same = old[a:b]
        if len(same) <= head + tail + 1:
            lines.extend(DiffLine("same", escape(text)) for text in same)
            continue
        lines.extend(DiffLine("same", escape(text)) for text in same[:head])
        lines.append(DiffLine("skip-lines", count=len(same) - head - tail))
        lines.extend(DiffLine("same", escape(text)) for text in same[len(same) - tail :])
    return lines
