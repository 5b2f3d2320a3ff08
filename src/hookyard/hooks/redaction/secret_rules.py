"""Rules that read what agents say and do, and answer as a webhook receiver: behind `hookyard hooks listen --rules`.

`secrets` finds API keys, private keys and passwords with the detectors of detect-secrets
(https://github.com/Yelp/detect-secrets), without its entropy guesses and without its network checks, plus what it does
not know: `secret_patterns`. A rule never shows what it found.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

import re2  # type: ignore[import-untyped]

from hookyard.core.errors import InvalidError
from hookyard.hooks.decision import Result
from hookyard.hooks.points import POINTS, Modifies, PointSpec
from hookyard.hooks.redaction.redactor import Hidden, Span, rewrite
from hookyard.hooks.redaction.secret_patterns import SECRET_PATTERNS

_LONGEST_LINE = 8000
_OVERLAP = 500
_MOST_CHARACTERS = 2_000_000


class Action(StrEnum):
    """What to do about a find; where a point does not allow it, the next weaker that it does."""

    WARN = "warn"
    DENY = "deny"
    REDACT = "redact"


@dataclass(frozen=True, slots=True)
class Finding:
    """One find: where in a text, and what it is, such as `AWS Access Key`. Never the secret itself."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class RuleResult:
    """What the rules answer to one body.

    Attributes:
        result: `ok` when nothing was found.
        message: What was found and where, without it.
        content: The text without it, for a `modify`; None otherwise.
    """

    result: Result
    message: str = ""
    content: str | None = None

    def answer(self) -> dict[str, str]:
        """Return the JSON that a webhook answers."""
        made = {"result": self.result.value, "message": self.message}
        return made if self.content is None else {**made, "modified_content": self.content}


Rule = Callable[[str], list[Finding]]
"""Finds things in one text."""

_SPECS: dict[str, PointSpec] = {spec.event: spec for spec in POINTS.values()}
# Where each thing that a webhook may modify stands in the body, and how it is called in a message.
_PLACES: dict[Modifies, tuple[tuple[str, str], str]] = {
    Modifies.RESPONSE: (("", "response"), "the model's response"),
    Modifies.TOOL_ARGS: (("context", "tool_args"), "the tool arguments"),
    Modifies.RESULT: (("result_context", "result"), "the tool's result"),
    Modifies.MESSAGE: (("context", "content"), "the message"),
    Modifies.SYSTEM_PROMPT: (("context", "system_prompt"), "the system prompt"),
}


def named(name: str) -> Rule:
    """Return a rule by its name.

    Raises:
        InvalidError: There is none of that name.
    """
    if name not in RULES:
        near = difflib.get_close_matches(name, RULES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"give one of {', '.join(RULES)}"
        raise InvalidError(f"there is no rule {name!r}", where="--rules", hint=hint)
    return RULES[name]()


def judge(body: Mapping[str, Any], rules: Iterable[Rule], action: Action) -> RuleResult:
    """Return the rules' verdict on one body; a body with nothing to read is ok."""
    spec = _SPECS.get(str(body.get("event")))
    if spec is None or spec.modifies not in _PLACES:
        return RuleResult(Result.OK)
    (table, key), place = _PLACES[spec.modifies]
    part = body.get(table) if table else body
    text = part.get(key) if isinstance(part, Mapping) else None
    if not isinstance(text, str) or not text:
        return RuleResult(Result.OK)
    kinds: dict[str, None] = {}
    finding = list(rules)

    def find(piece: str) -> list[Span]:
        found = [one for rule in finding for one in rule(piece)]
        kinds.update(dict.fromkeys(one.kind for one in found))
        return [(one.start, one.end) for one in found]

    def name(hidden: Hidden) -> str:
        return "[secret removed]"

    clean = rewrite(text, find, name)
    if not kinds:
        return RuleResult(Result.OK)
    message = f"found in {place}: {', '.join(kinds)}"
    if action is Action.DENY and spec.may_deny:
        return RuleResult(Result.DENY, message)
    if action is not Action.WARN and spec.modifies is not Modifies.SYSTEM_PROMPT:
        return RuleResult(Result.MODIFY, f"{message}; removed", clean)
    return RuleResult(Result.WARNING, message)


def secrets_rule() -> Rule:
    """Return the rule `secrets`. Loading the detectors takes a third of a second."""
    detectors, shapes = _detectors(), _shapes()

    def rule(text: str) -> list[Finding]:
        if len(text) > _MOST_CHARACTERS:
            return [Finding(0, len(text), "a text too long to be read")]
        found = [*_private_keys(text), *_in_text(text, 0, shapes)]
        return found + [one for start, line in _lines(text) for one in _in_text(line, start, detectors)]

    return rule


RULES: dict[str, Callable[[], Rule]] = {"secrets": secrets_rule}
"""Every rule by name, with what loads it."""


@dataclass(frozen=True, slots=True)
class _Detector:
    """One expression: what it finds, and which groups hold the secret (the first that matched; none = all of it)."""

    kind: str
    expression: Any  # a pattern of re or of re2
    groups: tuple[int, ...]
    is_named: bool = False
    """A name or a place says that it is one, not its own shape: placeholders and code are left out."""
    is_weak: bool = False
    """The name or place says little: what holds no digit is left out too."""


# Private keys are found whole: to their end, and where that was cut off, as far as there are lines of a key. Possessive
# and with few headers, so that nothing is read often.
_KEY_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY[A-Z ]{0,10}-----|\bPrivate-Lines: \d{1,4}\b")
_KEY_END = re.compile(r"-----END [A-Z0-9 ]{0,40}-----")
_KEY_LINES = re.compile(
    r"(?:(?:\\[nr]|\s){1,24}+[A-Za-z-]{4,20}+: [^\r\n\\]{1,100}+){0,4}+"
    r"(?:(?:\\[nr]|\s){1,24}+[A-Za-z0-9+/=]{16,80}+(?![A-Za-z0-9+/=_.-]))++"
)
_OF_KEY = re.compile(r"[A-Za-z0-9+/=]{16}")
_LONGEST_KEY = 20_000
# The value of `password: …` where no quotes say where it ends: one word.
_WORD = re.compile(r"[^\s&|;,)}\]]+")
# What an expression for the beginning of a token leaves of it.
_TAIL = re.compile(r"[A-Za-z0-9_+/=-]*")
_NO_SECRET = re.compile(
    r"(?i)(?:(?:true|false|null|none|undefined|string|str|bytes|required|optional|changeme|example)\W*$|your[_-]|my[_-]"
    r"|x{3,}|\*{3,}|\.{3,}|[<$%{(\[]|os\.|env\b|process\.|getenv|self\.|args\.|config\.|settings\.)"
)
# The name of a thing: "Signing secret", `confirm_password`, `form.api_key`.
_NAME = re.compile(r"(?i)[a-z_.:\s-]*(?:pass(?:wor[dt]|wd)?|pwd|secret|token|key|credential)[a-z_.:,;\s-]*")
_IDENTIFIER = re.compile(r"[A-Za-z]+(?:[_.\[][A-Za-z\[]*)+[:,;]*")
# What follows an option or a variable may be the name of a file, or of something in a program.
_PLACE = re.compile(r"\.{0,2}/|~|@|[A-Za-z]:\\|(?:file|env|https?):")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
# `-p3306:3306` of a container that is called like a command.
_PORTS = re.compile(r"[\d.]{0,16}:?\d{1,5}:\d{1,5}(?:/(?:tcp|udp))?")
_DIGIT = re.compile(r"\d")


@cache
def _detectors() -> tuple[_Detector, ...]:
    import detect_secrets.plugins as plugins
    from detect_secrets.plugins import keyword
    from detect_secrets.plugins.base import RegexBasedDetector

    made: list[_Detector] = []
    for module in pkgutil.iter_modules(plugins.__path__):
        if module.name in ("ip_public", "high_entropy_strings", "private_key", "base", "keyword"):
            continue  # addresses are no secrets, entropy guesses too much, private keys are found whole above
        for value in vars(importlib.import_module(f"{plugins.__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, RegexBasedDetector) and value is not RegexBasedDetector:
                kind = str(value.secret_type)
                expressions: Iterable[re.Pattern[str]] = value.denylist  # type: ignore[assignment]
                # In an address only the password is the secret; elsewhere groups only choose between prefixes.
                groups = (1,) if kind == "Basic Auth Credentials" else ()
                made += [_Detector(kind, expression, groups, is_named=bool(groups)) for expression in expressions]
    for table in (keyword.QUOTES_REQUIRED_DENYLIST_REGEX_TO_GROUP, keyword.CONFIG_DENYLIST_REGEX_TO_GROUP):
        made += [_Detector("Password or key", expression, (group,), True) for expression, group in table.items()]
    return tuple(made)


@cache
def _shapes() -> tuple[_Detector, ...]:
    return tuple(
        _Detector(shape.kind, expression, tuple(range(1, expression.groups + 1)), shape.is_named, shape.is_weak)
        for shape in SECRET_PATTERNS
        for expression in [re2.compile(shape.text)]
    )


def _private_keys(text: str) -> Iterable[Finding]:
    for begin in _KEY_BEGIN.finditer(text):
        at = text.find("-----", begin.end(), begin.end() + _LONGEST_KEY) if begin[0].startswith("-") else -1
        end = _KEY_END.match(text, at) if at >= 0 else None
        if end is not None and not _OF_KEY.search(text, begin.end(), at):
            continue  # a program that looks for keys
        end = end or _KEY_LINES.match(text, begin.end())
        if end is not None:
            yield Finding(begin.start(), end.end(), "Private Key")


def _in_text(text: str, offset: int, detectors: Iterable[_Detector]) -> Iterable[Finding]:
    for detector in detectors:
        upto = 0
        for match in detector.expression.finditer(text):
            if match.end() <= upto:
                continue  # within the rest of the one before, which is not read again
            group = next((g for g in detector.groups if match[g]), 0)
            start, end = match.span(group)
            if detector.is_named:
                quoted = start > 0 and text[start - 1] in "\"'`"
                word = None if quoted else _WORD.match(text, start, end)
                end = word.end() if word else end
                if not _may_be_secret(text[start:end], quoted=quoted, is_weak=detector.is_weak):
                    continue
            elif group or not detector.groups:
                end = upto = _TAIL.match(text, end).end()  # type: ignore[union-attr]
            yield Finding(offset + start, offset + end, detector.kind)


def _may_be_secret(value: str, *, quoted: bool, is_weak: bool = False) -> bool:
    """Return whether the text after `password:` is a value, not a placeholder, a type, an expression, a name or a
    sentence."""
    from detect_secrets.filters import heuristic

    if _DIGIT.search(value) is None:
        is_prose = " " in value.strip() or not value.isascii()
        is_code = not quoted and _IDENTIFIER.fullmatch(value)
        if is_weak or is_prose or is_code or _NAME.fullmatch(value):
            return False
    if is_weak and (_PLACE.match(value) or (not quoted and _DOTTED.fullmatch(value))):
        return False
    if _PORTS.fullmatch(value):
        return False
    return (
        len(value) >= 6
        and _NO_SECRET.match(value) is None
        and not heuristic.is_templated_secret(value)
        and not heuristic.is_prefixed_with_dollar_sign(value)
        and not heuristic.is_not_alphanumeric_string(value)
        and not heuristic.is_sequential_string(value)
        and "(" not in value
    )


def _lines(text: str) -> Iterable[tuple[int, str]]:
    """Yield the lines of a text with their beginnings; long ones in overlapping parts, since detectors backtrack."""
    start = 0
    for line in text.split("\n"):
        at = 0
        while True:
            yield start + at, line[at : at + _LONGEST_LINE]
            if at + _LONGEST_LINE >= len(line):
                break
            at += _LONGEST_LINE - _OVERLAP
        start += len(line) + 1
