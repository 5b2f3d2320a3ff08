"""Redaction: what the user's patterns match is replaced by marks before a body leaves, and put back in what comes back.

Called by `dispatch` around each webhook with `redactor`. Patterns run on RE2, so no text makes one of them slow. JSON
inside texts (tool arguments) is looked through too: patterns see both its decoded strings and its source, and what
comes out is valid JSON that differs from the original in the redacted literals only.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import re2  # type: ignore[import-untyped]

from hookyard.core.errors import PermanentError

Span = tuple[int, int]
"""The beginning and the end of a part of a text."""

_BEGIN = "[redacted-"
_NONCE_BYTES = 8
_FRAGMENT = 8
_DEEPEST = 32
# A pattern that can match in many places, each after a long look ahead, is the one way to make RE2 slow. Beyond this
# much looking in one text (about a second), the rest of it is redacted as a whole.
_MOST_SCANNED = 512 * 1024 * 1024
# The literals of JSON: strings, numbers; punctuation and true, false, null stay as they are.
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9eE+.\-]*', re.DOTALL)


class UnknownMarkError(PermanentError):
    """Modified content holds a mark that cannot be restored exactly: it was changed, cut, or is another delivery's."""


@dataclass(frozen=True, slots=True)
class Hidden:
    """What was replaced.

    Attributes:
        text: The text.
        number: The literal of JSON when it was a number.
    """

    text: str
    number: str | None = None


@dataclass(slots=True)
class Marks:
    """The marks of one delivery. They live in memory only and are never logged or stored.

    Attributes:
        nonce: An unguessable part.
        hidden: What stands behind each mark.
        looked_like_marks: A text held something like a mark before.
    """

    nonce: str = field(repr=False)
    hidden: dict[str, Hidden] = field(default_factory=dict, repr=False)
    _by_text: dict[Hidden, str] = field(default_factory=dict, repr=False)
    looked_like_marks: bool = field(default=False, repr=False)

    @property
    def count(self) -> int:
        """How many different texts were hidden."""
        return len(self.hidden)

    def mark(self, hidden: Hidden) -> str:
        """Return the mark of a text: one for each text, so that a reader sees which are equal."""
        if hidden not in self._by_text:
            mark = f"{_BEGIN}{self.nonce}-{len(self.hidden) + 1}]"
            self._by_text[hidden] = mark
            self.hidden[mark] = hidden
        return self._by_text[hidden]


def compiled(pattern: str) -> Any:
    """Return a pattern that matches in linear time whatever it says; RE2's messages go nowhere else.

    Args:
        pattern: RE2 syntax, https://github.com/google/re2/wiki/Syntax.

    Raises:
        ValueError: It is none; says why.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if error.args else error
        raise ValueError(reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)) from None


class Redactor:
    """The patterns of one webhook.

    Args:
        patterns: RE2 syntax, https://github.com/google/re2/wiki/Syntax.
        random_hex: Gives so many random bytes as hexadecimal digits.

    Raises:
        ValueError: A pattern cannot be used; says which and why.
    """

    def __init__(self, patterns: Sequence[str], random_hex: Callable[[int], str] = secrets.token_hex) -> None:
        self._random_hex = random_hex
        self._patterns = []
        for pattern in patterns:
            try:
                self._patterns.append(compiled(pattern))
            except ValueError as error:
                raise ValueError(f"{pattern!r} is not a pattern: {error}") from None

    def hide(self, value: Any) -> tuple[Any, Marks]:
        """Return a JSON value with every match in its texts and numbers replaced by a mark, and the marks.

        The keys of objects stay, those of JSON inside a text excepted. The value itself is not changed.
        """
        marks = Marks(self._random_hex(_NONCE_BYTES))
        if not self._patterns:
            return value, marks

        def find(text: str) -> list[Span]:
            if _BEGIN in text:
                marks.looked_like_marks = True
            return self._spans(text)

        return rewrite(value, find, marks.mark), marks

    def restore(self, value: Any, marks: Marks) -> Any:
        """Return a value that came back, with each mark replaced by its original.

        Raises:
            UnknownMarkError: Something looks like a mark and is none of these, whole and unchanged.
        """
        return _restore(value, marks, 0)

    def _spans(self, text: str) -> list[Span]:
        """Return where the patterns match."""
        spans: list[Span] = []
        for pattern in self._patterns:
            budget = _MOST_SCANNED
            for match in pattern.finditer(text):
                start, end = match.span()
                budget -= len(text) - start
                if budget < 0:
                    end = len(text)
                if end > start:
                    spans.append((start, end))
                if budget < 0:
                    break
        return spans


def rewrite(value: Any, find: Callable[[str], list[Span]], name: Callable[[Hidden], str], depth: int = 0) -> Any:
    """Return a JSON value with the matches in its texts and numbers replaced; JSON inside a text stays valid.

    Args:
        value: The value; it is not changed.
        find: Where a text is to be replaced; asked for texts, for JSON source, and for the strings decoded from it.
        name: What stands there instead.
        depth: How deep the value lies; beyond 32, JSON inside a text is taken as plain text.
    """
    if isinstance(value, str):
        return _rewrite_text(value, find, name, depth)
    if isinstance(value, dict):
        return {key: rewrite(part, find, name, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rewrite(part, find, name, depth + 1) for part in value]
    if isinstance(value, int | float) and not isinstance(value, bool) and find(str(value)):
        return name(Hidden(str(value), json.dumps(value)))
    return value


def _rewrite_text(text: str, find: Callable[[str], list[Span]], name: Callable[[Hidden], str], depth: int) -> str:
    text = text.encode("utf-8", "replace").decode()  # lone surrogates cannot be sent, nor looked through
    spans = _merged(find(text))
    if depth >= _DEEPEST or not _is_json(text):
        pieces, end = [], 0
        for start, until in spans:
            pieces += [text[end:start], name(Hidden(text[start:until]))]
            end = until
        return "".join([*pieces, text[end:]])
    # A match in the source of JSON replaces whole literals, a match in a decoded string a part of it.
    touched = _literals_touched(text, spans)
    pieces, end = [], 0
    for found in _LITERAL.finditer(text):
        literal = found[0]
        pieces.append(text[end : found.start()])
        end = found.end()
        if not literal.startswith('"'):
            pieces.append(_quoted(name(Hidden(literal, literal))) if found.start() in touched else literal)
            continue
        string = json.loads(literal, strict=False)
        kept = _rewrite_text(string, find, name, depth + 1)
        if kept == string and found.start() in touched:
            kept = name(Hidden(string))
        pieces.append(literal if kept == string else _quoted(kept))
    return "".join([*pieces, text[end:]])


def _merged(spans: list[Span]) -> list[Span]:
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _literals_touched(text: str, spans: list[Span]) -> set[int]:
    """Return the beginnings of the literals that matches in JSON source reach: the values, and the keys where no value
    is."""
    touched: set[int] = set()
    literals = list(_LITERAL.finditer(text)) if spans else []
    at = 0
    for start, end in spans:
        while at < len(literals) and literals[at].end() <= start:
            at += 1
        reached = []
        upto = at
        while upto < len(literals) and literals[upto].start() < end:
            reached.append(literals[upto])
            upto += 1
        values = [found for found in reached if not text[found.end() :][:64].lstrip().startswith(":")]
        touched.update(found.start() for found in values or reached)
    return touched


def _restore(value: Any, marks: Marks, depth: int) -> Any:
    if isinstance(value, str):
        hidden = marks.hidden.get(value)
        if hidden is not None and hidden.number is not None and depth:
            return json.loads(hidden.number)
        return _restore_text(value, marks, depth)
    if depth > _DEEPEST * 8:
        raise UnknownMarkError("the modified content is nested too deeply to be restored")
    if isinstance(value, dict):
        return {_restore_text(key, marks, depth): _restore(part, marks, depth + 1) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_restore(part, marks, depth + 1) for part in value]
    return value


def _restore_text(text: str, marks: Marks, depth: int) -> str:
    if not _may_hold_marks(text, marks):
        return text
    if depth < _DEEPEST and _is_json(text):
        return "".join(_restored_json(text, marks, depth))
    pieces: list[str] = []
    end = 0
    for found in re.finditer(re.escape(_BEGIN + marks.nonce) + r"-\d+\]", text):
        hidden = marks.hidden.get(found[0])
        if hidden is None:
            raise _unknown()
        pieces += [_checked(text[end : found.start()], marks), hidden.text]
        end = found.end()
    return "".join([*pieces, _checked(text[end:], marks)])


def _restored_json(text: str, marks: Marks, depth: int) -> Iterator[str]:
    end = 0
    for found in _LITERAL.finditer(text):
        literal = found[0]
        yield text[end : found.start()]
        end = found.end()
        if not literal.startswith('"'):
            yield literal
            continue
        string = json.loads(literal, strict=False)
        hidden = marks.hidden.get(string)
        if hidden is not None and hidden.number is not None:
            yield hidden.number
        else:
            restored = _restore_text(string, marks, depth + 1)
            yield literal if restored == string else _quoted(restored)
    yield text[end:]


def _may_hold_marks(text: str, marks: Marks) -> bool:
    """Return False when no part of a mark is in the text, decoded or as JSON source; cheap."""
    if "\\" in text:
        return True
    return text != _checked_or_none(text, marks)


def _checked(text: str, marks: Marks) -> str:
    """Return text between marks after checking that nothing of a mark is left in it."""
    if _checked_or_none(text, marks) is None:
        raise _unknown()
    return text


def _checked_or_none(text: str, marks: Marks) -> str | None:
    folded = text.casefold()
    if _BEGIN in folded and not marks.looked_like_marks:
        return None
    nonce = marks.nonce
    fragments = (nonce[at : at + _FRAGMENT] for at in range(len(nonce) - _FRAGMENT + 1))
    return None if any(fragment in folded for fragment in fragments) else text


def _unknown() -> UnknownMarkError:
    return UnknownMarkError(
        "the modified content holds a redaction mark that was changed, so it cannot be restored exactly",
        hint="let the receiver leave marks as they are",
    )


def _is_json(text: str) -> bool:
    """Return whether the text is a JSON object or array, which is then kept valid."""
    if text.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
