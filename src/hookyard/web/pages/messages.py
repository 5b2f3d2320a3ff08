"""The English sentences of other packages (errors, reasons, notes) in Chinese.

Packages below the pages speak English, and some of what they say is stored with runs and deliveries. As with gettext
the English sentence is the key: `texts/messages.zh-CN.toml` holds each, with `{x}` for what was put in. A test reads
the sources and finds the sentences that are missing there. Called by `language`; untranslated text stays English,
whole.

Webhooks, agents and other tenants choose parts of these texts, so the work is bounded whatever they hold: a sentence is
compared part by part without going back, and no message may cost more than `ATTEMPTS` comparisons.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

FILE = Path(__file__).resolve().parent.parent / "texts" / "messages.zh-CN.toml"
LONGEST = 400
"""Characters of a sentence; what is longer is a log or a stack, and stays as it is."""

ATTEMPTS = 1000
"""Comparisons with patterns for one message, those of the sentences within it together."""

_FIELD = re.compile(r"\{([a-z]+)\}")
_WEAK = 6
"""A pattern with fewer letters of its own says nothing by itself: what it puts in as a sentence must be one."""

_SENTENCES = frozenset({"error", "what", "why", "hint"})
_NUMBERS = frozenset({"code", "column", "count", "least", "line", "most", "number"})
_NUMBER = re.compile(r"[-+]?[0-9][0-9.,e+-]{0,20}|x1")  # x1: what the test puts in for any value

# Sentences put together: an error with its place, which is one word, and with its hint.
_JOINED = {
    "{what} ({hint})": "{what}（{hint}）",
    "{place}: {what}": "{place}：{what}",
    "{what}; {hint}": "{what}；{hint}",
}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A sentence with something put in.

    Attributes:
        literals: What stands before, between and behind the fields.
        fields: Their names, one fewer than the literals.
        chinese: The translation.
        inner: Fields that must be sentences too.
        letters: Letters of its own.
    """

    literals: tuple[str, ...]
    fields: tuple[str, ...]
    chinese: str
    inner: frozenset[str]
    letters: int

    def values(self, message: str) -> dict[str, str] | None:
        """Return the parameters in a message, each as short as possible; None when the message does not fit the
        pattern."""
        first, *between, last = self.literals
        if not (message.startswith(first) and message.endswith(last)):
            return None
        at, end = len(first), len(message) - len(last)
        found = []
        for literal in between:
            index = message.find(literal, at + 1, end)
            if index < 0:
                return None
            found.append(message[at:index])
            at = index + len(literal)
        found.append(message[at:end])
        put_in = dict(zip(self.fields, found, strict=True))
        return put_in if all(_fits(name, value) for name, value in put_in.items()) else None


def _fits(name: str, value: str) -> bool:
    if name in _NUMBERS:
        return bool(_NUMBER.fullmatch(value))
    return bool(value) and not (name == "place" and " " in value)


@cache
def sentences() -> dict[str, str]:
    """Return every sentence with its Chinese translation."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


@cache
def patterns() -> tuple[Pattern, ...]:
    """Return the sentences with parameters, those with most letters first."""
    found = []
    for english, chinese in {**_JOINED, **sentences()}.items():
        if not _FIELD.search(english):
            continue
        parts = _FIELD.split(english)
        letters = sum(letter.isalpha() for part in parts[::2] for letter in part)
        inner = _SENTENCES.intersection(parts[1::2]) if letters < _WEAK else frozenset()
        found.append(Pattern(tuple(parts[::2]), tuple(parts[1::2]), chinese, inner, letters))
    return tuple(sorted(found, key=lambda pattern: -pattern.letters))


class MessageTranslator:
    """The translation of one message.

    Attributes:
        left: Comparisons that it may still cost.
    """

    def __init__(self) -> None:
        self.left = ATTEMPTS

    def said(self, message: str) -> str | None:
        """Return a sentence in Chinese, None when it is unknown."""
        whole = sentences().get(message)
        if whole is not None and not _FIELD.search(message):
            return whole
        for pattern in patterns():
            if self.left <= 0:
                return None
            self.left -= 1
            values = pattern.values(message)
            if values is None:
                continue
            inner = {name: said for name in pattern.inner if (said := self.said(values[name])) is not None}
            if len(inner) < len(pattern.inner):
                continue
            for name in _SENTENCES.intersection(values).difference(inner):
                inner[name] = self.said(values[name]) or values[name]
            return _filled(pattern.chinese, values | inner)
        return None


def _filled(text: str, values: dict[str, str]) -> str:
    return _FIELD.sub(lambda field: values[field[1]], text)


@lru_cache(maxsize=2048)
def chinese(message: str) -> str | None:
    """Return a message in Chinese, None when it is not translated. Of several lines the first is."""
    first, newline, rest = message.partition("\n")
    said = MessageTranslator().said(first) if len(first) <= LONGEST else None
    return None if said is None else said + newline + rest
