"""The keys of a `hooks.toml` entry: what the value of each must be, and which take environment variables.

Used by `entry`. Each key has a function that takes the value as TOML gave it and gives it back in the shape in which a
`Webhook` holds it, or complains.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from hookyard.hooks import formats, matcher
from hookyard.hooks.delivery import signing
from hookyard.hooks.points import POINTS, points_of
from hookyard.hooks.webhook import Mode, OnFailure

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NO_VARIABLE = re.compile(r"\$\{(?![A-Za-z_][A-Za-z0-9_]*\})")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding", "connection", "upgrade", "trailer", "te"})
WORDS = [word for spec in POINTS.values() for word in spec.words]


class FaultError(ValueError):
    """A value that its key does not take.

    Args:
        complaint: What is wrong with it.
        part: Which of a table's keys it concerns, `""` for the value itself.
    """

    def __init__(self, complaint: str, part: str = "") -> None:
        super().__init__(complaint)
        self.part = part


def variables_of(values: Mapping[str, Any]) -> list[str]:
    """Return the environment variables that an entry reads, in order and once each."""
    found: dict[str, None] = {}

    def look(value: object) -> None:
        if isinstance(value, str):
            found.update(dict.fromkeys(_VARIABLE.findall(value)))
        elif isinstance(value, Mapping):
            for item in value.values():
                look(item)
        elif isinstance(value, list):
            for item in value:
                look(item)

    for key in EXPANDED:
        look(values.get(key))
    return list(found)


def expanded(value: Any, environ: Mapping[str, str], part: str = "") -> Any:
    """Return a value with every `${NAME}` in its texts replaced.

    Args:
        value: As TOML gave it.
        environ: The variables.
        part: Which of a table's keys it stands under.

    Raises:
        FaultError: A variable is not set, or what stands there cannot be the name of one.
    """
    if isinstance(value, str):
        if _NO_VARIABLE.search(value):  # as it stands it would be sent, or signed with, and look as if it worked
            raise FaultError("what follows ${ is not a variable; write ${NAME} with letters, digits and _", part)
        missing = [name for name in _VARIABLE.findall(value) if name not in environ]
        if missing:
            raise FaultError(f"the environment variable {missing[0]} is not set", part)
        return _VARIABLE.sub(lambda match: environ[match[1]], value)
    if isinstance(value, Mapping):
        return {key: expanded(item, environ, key) for key, item in value.items()}
    if isinstance(value, list):
        return [expanded(item, environ) for item in value]
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise FaultError(f"must be a text in quotes, not {_kind(value)}")
    return value


def _name(value: object) -> str:
    text = _text(value)
    if not text.strip() or len(text) > 100 or _CONTROL.search(text):
        raise FaultError("must be 1 to 100 characters without line breaks")
    return text


def _trigger(value: object) -> str:
    text = _text(value)
    if not points_of(text):
        near = difflib.get_close_matches(text.strip().lower(), WORDS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"give one of {', '.join(WORDS)}"
        if not text.strip():
            raise FaultError(f"is empty; {hint}")
    return text


def _url(value: object) -> str:
    text = _text(value).strip()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise FaultError("is not a URL") from None
    if parts.scheme not in ("http", "https"):
        raise FaultError("must begin with https:// or http://")
    if not host or _CONTROL.search(text) or " " in text:
        raise FaultError("is not a URL")
    return text.partition("#")[0]


def _method(value: object) -> str:
    return _one_of(_text(value).upper(), ("POST", "PUT", "PATCH"))


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, Mapping):
        raise FaultError(f"must be a table, not {_kind(value)}")
    for name, text in value.items():
        if name in KEYS and "_" in name:  # what is written below [webhooks.headers] belongs to them
            raise FaultError("is a key of the webhook; move it above the headers", name)
        if not _HEADER_NAME.fullmatch(name):
            raise FaultError("is not a header name", name)
        if not isinstance(text, str):
            raise FaultError(f"must be a text in quotes, not {_kind(text)}", name)
        if _CONTROL.search(text.replace("\t", "")):
            raise FaultError("contains a line break or control character", name)
        if name.lower() in _FRAMING_HEADERS:
            raise FaultError("is set by the HTTP client; remove it", name)
    return tuple(value.items())


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FaultError(f"must be a number of seconds, not {_kind(value)}")
    if not math.isfinite(value) or not 0 < value <= 3600:
        raise FaultError("must be above 0 and at most 3600 seconds")
    return float(value)


def _whole(least: int, most: int) -> Callable[[object], int]:
    def shape(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            kind = "one with a fraction" if isinstance(value, float) else _kind(value)
            raise FaultError(f"must be a whole number, not {kind}")
        if not least <= value <= most:
            raise FaultError(f"must be from {least} to {most}")
        return value

    return shape


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise FaultError(f"must be true or false without quotes, not {_kind(value)}")
    return value


def _matcher(value: object) -> str:
    text = _text(value)
    fault = matcher.fault_of(text)
    if fault is not None:
        raise FaultError(fault)
    return text


def _format(value: object) -> str:
    return _one_of(_text(value), ("auto", *formats.all_formats()))


def _secrets(value: object) -> tuple[str, ...]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise FaultError("must be a text or a list of texts, none of them empty")
    for text in texts:
        try:
            signing.check_secret(text)
        except ValueError as error:
            raise FaultError(str(error)) from None
    return tuple(texts)


def _patterns(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) and text for text in value):
        raise FaultError("must be a list of patterns, none of them empty")
    from hookyard.hooks.redaction.redactor import (
        Redactor,  # here: few webhooks have patterns, and their engine takes time
    )

    try:
        Redactor(value)
    except ValueError as error:
        raise FaultError(str(error)) from None
    return tuple(value)


def _one_of(text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        near = difflib.get_close_matches(text.lower(), choices, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"give one of {', '.join(choices)}"
        raise FaultError(f"{text[:60]!r} is not known; {hint}")
    return text


def _kind(value: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "a table"}
    return kinds.get(type(value), "a date or time")


KEYS: dict[str, Callable[[object], Any]] = {
    "name": _name,
    "description": _text,
    "trigger": _trigger,
    "url": _url,
    "method": _method,
    "headers": _headers,
    "timeout_secs": _seconds,
    "retries": _whole(0, 100),
    "enabled": _flag,
    "deadline_secs": _seconds,
    "matcher": _matcher,
    "format": _format,
    "secret": _secrets,
    "on_failure": lambda value: OnFailure(_one_of(_text(value), [word.value for word in OnFailure])),
    "mode": lambda value: Mode(_one_of(_text(value), [word.value for word in Mode])),
    "redact": _patterns,
    "priority": _whole(-1_000_000, 1_000_000),
    "batch_size": _whole(1, 1000),
    "flush_interval_ms": _whole(1, 3_600_000),
}
"""Every key with what its value must be; the order is that of the contract's table."""

BATCH_KEYS = {"batch_size", "flush_interval_ms"}
EXPANDED = ("url", "headers", "secret")
