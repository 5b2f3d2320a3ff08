"""Messages with stable codes, in English and Chinese.

Every error, stored reason and warning that a program or a person can meet is a `Message`: a code and parameters. The
texts are in `messages/{language}/*.toml`, one table a code::

    [callback_not_found]
    message = "callback {id} does not exist in this workspace"
    hint = "check the id; the list of callbacks shows the valid ones"

`errors` builds on this module; the API shows code, parameters and English text, pages and the command line render the
reader's language. A catalogue file is read when the first text is rendered, not at import.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

LANGUAGES = ("en", "zh-CN")
DEFAULT_LANGUAGE = "en"
DIRECTORY = Path(__file__).resolve().parent / "messages"
LITERAL = ""
"""The code of a message that is another program's own text and has no translation."""

Param: TypeAlias = "str | int | float | bool | Message | Sequence[str | Message] | None"

_PARAM = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_LIST_SEPARATOR = {"en": ", ", "zh-CN": "、"}


@dataclass(frozen=True, slots=True)
class Entry:
    """The texts of one code in one language.

    Attributes:
        message: What is wrong, or what happened.
        hint: What the reader can do about it, None where nothing can be advised.
    """

    message: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A code with its parameters; rendered only where it is shown.

    Attributes:
        code: Key of the catalogue, such as `callback_not_found`; `LITERAL` for another program's own text.
        params: Values of the placeholders. A nested message is rendered in the same language.
    """

    code: str
    params: Mapping[str, Param] = field(default_factory=dict)

    @classmethod
    def literal(cls, text: str) -> Message:
        """Return a message that shows `text` in every language, such as what a webhook or a program answered."""
        return cls(LITERAL, {"text": text})

    def text(self, language: str = DEFAULT_LANGUAGE) -> str:
        """Return the message in a language; English where the language lacks it, the code where both do."""
        if self.code == LITERAL:
            return str(self.params.get("text", ""))
        entry = _entry(self.code, language)
        if entry is None:
            return " ".join([self.code, *(f"{name}={_shown(value, language)}" for name, value in self.params.items())])
        return _rendered(entry.message, self.params, language)

    def hint(self, language: str = DEFAULT_LANGUAGE) -> str | None:
        """Return the advice in a language, None where the catalogue has none."""
        entry = None if self.code == LITERAL else _entry(self.code, language)
        return None if entry is None or entry.hint is None else _rendered(entry.hint, self.params, language)

    def sentence(self, language: str = DEFAULT_LANGUAGE) -> str:
        """Return message and hint as one line: `message (hint)`."""
        text, hint = self.text(language), self.hint(language)
        if not hint:
            return text
        return f"{text}（{hint}）" if language == "zh-CN" else f"{text} ({hint})"

    def as_dict(self) -> dict[str, Any]:
        """Return `{"code": …, "params": {…}}`, as JSON has it; `from_dict` reads it."""
        return {"code": self.code, "params": {name: _plain(value) for name, value in self.params.items()}}

    def dumps(self) -> str:
        """Return the JSON text that is stored in a column; another program's own text is stored as it is."""
        if self.code == LITERAL:
            return self.text()
        return json.dumps(self.as_dict(), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Message:
        """Return the message that `as_dict` described."""
        params = {str(name): _revived(value) for name, value in stored["params"].items()}
        return cls(str(stored["code"]), params)

    @classmethod
    def loads(cls, stored: str) -> Message:
        """Return the message that `dumps` stored; any other text becomes a literal."""
        if stored.startswith('{"code":"'):
            try:
                found = json.loads(stored)
                if set(found) == {"code", "params"}:
                    return cls.from_dict(found)
            except (ValueError, TypeError, AttributeError, RecursionError):
                pass  # a program's own output that only begins like ours
        return cls.literal(stored)


def stored_fields(key: str, stored: str | None) -> dict[str, Any]:
    """Return a stored message as the API shows it.

    Args:
        key: Key of the English text, such as `reason`.
        stored: The column, as `Message.dumps` wrote it.

    Returns:
        `{key: text}`, and of a message with a code also `{key}Code` and `{key}Params`.
    """
    if stored is None:
        return {key: None}
    message = Message.loads(stored)
    if message.code == LITERAL:
        return {key: stored}
    plain = message.as_dict()
    return {key: message.sentence(), f"{key}Code": plain["code"], f"{key}Params": plain["params"]}


def catalogue(language: str) -> Mapping[str, Entry]:
    """Return every entry of a language by its code."""
    return {**_shipped(language), **_REGISTERED.get(language, {})}


def register(language: str, entries: Mapping[str, Entry]) -> None:
    """Add the texts of a third party's codes.

    Raises:
        ValueError: hookyard itself has one of the codes.
    """
    taken = _shipped(language).keys() & entries.keys()
    if taken:
        raise ValueError(f"hookyard has these message codes: {', '.join(sorted(taken))}")
    _REGISTERED.setdefault(language, {}).update(entries)


def placeholders(text: str) -> frozenset[str]:
    """Return the names of the parameters that a text shows."""
    return frozenset(_PARAM.findall(text))


def preferred_language(environ: Mapping[str, str] = os.environ) -> str:
    """Return the language of the command line: `HOOKYARD_LANG`, else the locale's variables, else English."""
    for name in ("HOOKYARD_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environ.get(name):
            return "zh-CN" if value.lower().replace("_", "-").startswith("zh") else DEFAULT_LANGUAGE
    return DEFAULT_LANGUAGE


_REGISTERED: dict[str, dict[str, Entry]] = {}


@cache
def _shipped(language: str) -> Mapping[str, Entry]:
    entries: dict[str, Entry] = {}
    for path in sorted((DIRECTORY / language).glob("*.toml")):
        for code, table in tomllib.loads(path.read_text(encoding="utf-8")).items():
            if code in entries:
                raise ValueError(f"{path}: the code {code} is defined twice")
            entries[code] = Entry(**table)
    return entries


def _entry(code: str, language: str) -> Entry | None:
    for name in (language, DEFAULT_LANGUAGE):
        entry = _REGISTERED.get(name, {}).get(code) or _shipped(name).get(code)
        if entry is not None:
            return entry
    return None


def _rendered(text: str, params: Mapping[str, Param], language: str) -> str:
    def value_of(found: re.Match[str]) -> str:
        name = found[1]
        return _shown(params[name], language) if name in params else found[0]

    return _PARAM.sub(value_of, text)


def _shown(value: Param, language: str) -> str:
    if isinstance(value, Message):
        return value.sentence(language)
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    return _LIST_SEPARATOR.get(language, ", ").join(_shown(item, language) for item in value)


def _plain(value: Param) -> Any:
    if isinstance(value, Message):
        return value.as_dict()
    if value is None or isinstance(value, str | int | float):
        return value
    return [_plain(item) for item in value]


def _revived(value: Any) -> Param:
    if isinstance(value, dict):
        return Message.from_dict(value)
    if isinstance(value, list):
        return [item for item in map(_revived, value) if isinstance(item, str | Message)]
    return value if value is None or isinstance(value, str | int | float) else str(value)
