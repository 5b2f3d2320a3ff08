"""One entry of a `hooks.toml`: every key checked, variables expanded, made into a `Webhook`.

Called by `configuration` for entries of files and for the webhooks that administrators keep for a workspace. It reads
no file. An entry that cannot be used though it was to fail closed becomes a `InvalidFailClosedHook`: a gate is never
lost in silence.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from hookyard.hooks import formats
from hookyard.hooks.config.entry_keys import BATCH_KEYS, EXPANDED, KEYS, WORDS, FaultError, expanded
from hookyard.hooks.config.toml_lines import TableLines
from hookyard.hooks.matcher import fault_of, globs_of, names_server
from hookyard.hooks.points import POINTS, Point, points_of
from hookyard.hooks.webhook import (
    BatchLimits,
    ConfigLocation,
    InvalidFailClosedHook,
    Mode,
    OnFailure,
    Webhook,
    is_loopback,
    unmatched_trigger_words,
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One fault of a configuration.

    Attributes:
        place: File and line.
        hook: The entry's name, or its number in the file when it has none; `""` for the file itself.
        key: The key, `""` for the whole entry.
        message: What is wrong and the hint.
        severity: `error` (the entry is not used) or `warning`.
    """

    place: ConfigLocation
    hook: str
    key: str
    message: str
    severity: str = "error"

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), self.hook, self.key, self.message) if part)

    def as_dict(self) -> dict[str, str | int | None]:
        """Return the problem as `--json` and the API show it."""
        return {
            "file": self.place.file,
            "line": self.place.line,
            "hook": self.hook,
            "key": self.key,
            "message": self.message,
            "severity": self.severity,
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it was read.

    Attributes:
        values: Its keys and values.
        place: Its file and line.
        lines: Where its keys stand, None where there are no lines.
        batched: It is an `[[async_webhooks]]` entry.
        number: From 1, among its kind in its file.
        faults: What is wrong with it as a whole, each with the key to point at: a name used twice, a misspelt table.
    """

    values: Mapping[str, Any]
    place: ConfigLocation
    lines: TableLines | None = None
    batched: bool = False
    number: int = 1
    faults: tuple[tuple[str, str], ...] = ()

    @property
    def label(self) -> str:
        """Its name, or which of the file's entries it is."""
        name = self.values.get("name")
        if isinstance(name, str) and name.strip():
            return _CONTROL.sub("", name)[:100]
        return f"{'async_webhooks' if self.batched else 'webhooks'} #{self.number}"

    @property
    def means_deny(self) -> bool:
        """It was to fail closed, as far as that can be read: a slip in key, word or place counts as meant."""
        headers = self.values.get("headers")
        astray = headers.get("on_failure") if isinstance(headers, Mapping) else None
        if astray is not None and astray != OnFailure.ALLOW:
            return True
        for key, value in self.values.items():
            if key == "on_failure" and value != OnFailure.ALLOW:
                return True
            if key not in KEYS and "fail" in key.lower() and value not in (False, OnFailure.ALLOW):
                return True
            if key not in KEYS and isinstance(value, str) and value.strip().lower() == OnFailure.DENY:
                return True
        return False


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking an entry.

    Attributes:
        name: The entry's name, or what it is called by when it has none.
        gate: What is to be called, a closed gate in its place, or None (disabled, or unusable and not fail-closed).
        problems: Faults in the order of the keys.
        usable: The entry itself can be used, so it may take the place of a same-named one.
    """

    name: str
    gate: Webhook | InvalidFailClosedHook | None
    problems: tuple[ConfigProblem, ...]
    usable: bool


def check(entry: Entry, environ: Mapping[str, str]) -> Checked:
    """Check an entry and make its webhook.

    Args:
        entry: The entry as read.
        environ: Variables for `${NAME}`.
    """
    problems: list[ConfigProblem] = []

    def complain(key: str, message: str, severity: str = "error") -> None:
        line = entry.place.line if entry.lines is None else entry.lines.of(key)
        place = ConfigLocation(entry.place.file, line, entry.place.project)
        problems.append(ConfigProblem(place, entry.label, _CONTROL.sub("", key), message, severity))

    for key, fault in entry.faults:
        complain(key, fault)
    values = _checked_values(entry, environ, complain)
    _check_together(entry, values, complain)
    if entry.values.get("enabled") is False:
        return Checked(entry.label, None, tuple(problems), usable=not _errors(problems))
    errors = _errors(problems)
    if errors:
        gate = _closed_gate(entry, errors[0]) if entry.means_deny else None
        return Checked(entry.label, gate, tuple(problems), usable=False)
    return Checked(entry.label, _webhook(entry, values), tuple(problems), usable=True)


def _errors(problems: Sequence[ConfigProblem]) -> list[ConfigProblem]:
    return [problem for problem in problems if problem.severity == "error"]


def _checked_values(entry: Entry, environ: Mapping[str, str], complain: Callable[..., None]) -> dict[str, Any]:
    """Return every key's value in its own form; report those that do not fit."""
    allowed = KEYS.keys() if entry.batched else KEYS.keys() - BATCH_KEYS
    for key in entry.values:
        if key not in allowed:
            near = difflib.get_close_matches(key.lower(), allowed, n=1, cutoff=0.6)
            complain(key, f"unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    values: dict[str, Any] = {}
    for key in ("name", "url") if entry.batched else ("name", "trigger", "url"):
        if key not in entry.values:
            complain(key, f"{key!r} is required")
    for key, shape in KEYS.items():
        if key not in entry.values or key not in allowed:
            continue
        try:
            values[key] = shape(expanded(entry.values[key], environ) if key in EXPANDED else entry.values[key])
        except FaultError as fault:
            complain(f"{key}.{fault.part}" if fault.part else key, str(fault))
    return values


def _check_together(entry: Entry, values: dict[str, Any], complain: Callable[..., None]) -> None:
    """Report combinations of keys that do not fit."""
    trigger = values.get("trigger")
    for word in unmatched_trigger_words(trigger or ""):
        near = difflib.get_close_matches(word.lower(), WORDS, n=1, cutoff=0.5)
        complain("trigger", f"{word!r} matches no event" + (f"; did you mean {near[0]!r}?" if near else ""), "warning")
    _check_matcher(entry, values, complain)
    url = values.get("url")
    if url is not None and url.startswith("http:") and not is_loopback(url):
        complain(
            "url", "plain http:// to another machine: anyone on the way can read and change it; use https://", "warning"
        )
    for name, _ in values.get("headers", ()):
        if name.lower().startswith("webhook-"):
            complain(f"headers.{name}", "is set by hookyard and not overridden", "warning")
        elif name in KEYS:
            complain(f"headers.{name}", "is sent as a header; a webhook's own keys stand above its headers", "warning")
        elif name.lower() == "authorization" and url is not None and urlsplit(url).username is not None:
            complain(f"headers.{name}", "the url has a user name and password already; give one of the two")
    closed = values.get("on_failure") is OnFailure.DENY
    if url is not None and entry.batched and formats.all_formats()[resolved_format(values)].chat:
        complain(
            "format" if "format" in values else "url", "a batch cannot be sent to a chat service; use [[webhooks]]"
        )
    if closed and entry.batched:
        complain("on_failure", "a batch is sent later and cannot deny anything; use [[webhooks]]")
    elif closed and values.get("mode") is Mode.BACKGROUND:
        complain("mode", 'a gate with on_failure = "deny" must be waited for; use mode = "wait"')
    elif closed and trigger and not any(POINTS[point].may_deny for point in points_of(trigger)):
        if points_of(trigger):
            complain("on_failure", "none of its events can be denied, so it only warns there", "warning")
        else:
            complain("trigger", "none of its words matches an event, so this gate would never be asked")


def _check_matcher(entry: Entry, values: Mapping[str, Any], complain: Callable[..., None]) -> None:
    """Warn of a matcher that changes nothing, and of the name of an MCP server in place of its tools'."""
    matcher = values.get("matcher")
    if matcher is None:
        return
    points = points_of(values.get("trigger", "*" if entry.batched else ""))
    if points and not any(POINTS[point].for_tools for point in points):
        complain("matcher", "none of its events is about a tool, so it is called whatever the matcher says", "warning")
    for glob in globs_of(matcher):
        if names_server(glob):
            fix = f"{glob!r} is an MCP server, not a tool; use {glob.rstrip('_') + '__*'!r} for all of its tools"
            complain("matcher", fix, "warning")


def _closed_gate(entry: Entry, problem: ConfigProblem) -> InvalidFailClosedHook:
    trigger = entry.values.get("trigger")
    listens = points_of(trigger) if isinstance(trigger, str) else frozenset[Point]()
    points = frozenset(point for point in listens or POINTS if POINTS[point].may_deny)
    matcher = entry.values.get("matcher")
    priority = entry.values.get("priority")
    return InvalidFailClosedHook(
        name=entry.label,
        points=points,
        reason=f"the webhook fails closed and its configuration has an error: {problem}",
        place=problem.place,
        # One that can match no tool would deny nothing: then every tool call is denied.
        matcher=matcher if isinstance(matcher, str) and fault_of(matcher) is None else None,
        priority=priority if isinstance(priority, int) else 0,
    )


def _webhook(entry: Entry, values: dict[str, Any]) -> Webhook:
    trigger = values.get("trigger", "*")
    batch = None
    if entry.batched:
        batch = BatchLimits(values.pop("batch_size", 10), values.pop("flush_interval_ms", 1000))
    taken = {key: value for key, value in values.items() if key not in ("enabled", "trigger", "format", "secret")}
    return Webhook(
        **taken,
        trigger=trigger,
        points=points_of(trigger),
        place=entry.place,
        format=resolved_format(values),
        secrets=values.get("secret", ()),
        batch=batch,
    )


def resolved_format(values: Mapping[str, Any]) -> str:
    """Return what `auto` stands for at an entry's URL."""
    name = values.get("format", "auto")
    return formats.for_url(values["url"]).name if name == "auto" else str(name)
