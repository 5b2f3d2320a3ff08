"""The English sentences of other rooms (errors, reasons, notes) in Chinese.

Rooms below the pages speak English, and some of what they say is stored with runs and deliveries. As with gettext the
English sentence is the key: `texts/messages.zh-CN.toml` holds each, with `{x}` for what was put in. A test reads the
sources and finds the sentences that are missing there. Called by `language`; what nobody has translated stays English.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "texts" / "messages.zh-CN.toml"
LONGEST = 2000
"""Characters of a sentence; what is longer is a log or a stack, and stays as it is."""

_FIELD = re.compile(r"\{([a-z]+)\}")
_DEPTH = 4
_WEAK = 6
"""A pattern with fewer letters of its own says nothing by itself: what it puts in as a sentence must be one."""

_SENTENCES = frozenset({"error", "what", "why"})

# Sentences put together: an error with its place and its mend.
_JOINED = {
    "{what} ({mend})": "{what}（{mend}）",
    "{where}: {what}": "{where}：{what}",
    "{what}; {mend}": "{what}；{mend}",
}


@cache
def sentences() -> dict[str, str]:
    """Every sentence with its Chinese."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


@cache
def _patterns() -> list[tuple[re.Pattern[str], str, frozenset[str]]]:
    """The sentences with something put in: what they match, their Chinese, what in them must be a sentence too;
    longest first."""
    found = []
    for english, chinese in {**_JOINED, **sentences()}.items():
        if _FIELD.search(english):
            parts = _FIELD.split(english)
            rule = "".join(re.escape(p) if n % 2 == 0 else f"(?P<{p}>.+?)" for n, p in enumerate(parts))
            letters = sum(letter.isalpha() for part in parts[::2] for letter in part)
            inner = _SENTENCES.intersection(parts[1::2]) if letters < _WEAK else frozenset()
            found.append((letters, re.compile(rule), chinese, inner))
    found.sort(key=lambda one: -one[0])
    return [one[1:] for one in found]


@lru_cache(maxsize=2048)
def chinese(message: str) -> str | None:
    """A message in Chinese, None when nobody has translated it. Of several lines the first is."""
    first, newline, rest = message.partition("\n")
    said = _said(first, _DEPTH) if len(first) <= LONGEST else None
    return None if said is None else said + newline + rest


def _said(message: str, depth: int) -> str | None:
    whole = sentences().get(message)
    if whole is not None and not _FIELD.search(message):
        return whole
    if not depth:
        return None
    for rule, translated, inner in _patterns():
        match = rule.fullmatch(message)
        if match is None:
            continue
        parts = match.groupdict()
        said = {name: _said(value, depth - 1) for name, value in parts.items()}
        if not all(said[name] for name in inner):
            continue
        return _FIELD.sub(lambda field: said[field[1]] or parts[field[1]], translated)  # noqa: B023 (used at once)
    return None
