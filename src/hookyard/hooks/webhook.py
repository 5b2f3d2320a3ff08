"""A webhook as configured, checked and ready to be used.

Made by `config.configuration`, read by everything that calls it. Nothing here may be changed after loading; values that
must not be shown (URL, headers, secrets) stay out of `repr`.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus, urlsplit

from hookyard.hooks import formats
from hookyard.hooks.formats.base import Format, json_bytes
from hookyard.hooks.matcher import matches
from hookyard.hooks.points import Point, points_of

if TYPE_CHECKING:
    from hookyard.hooks.redaction.redactor import Redactor

_LEAST_HIDDEN = 4
"""Shorter values (`1`, `on`) are no secrets, and hiding them would garble every message."""

_LEAST_KEY = 8
"""Shorter parts of a path are words such as `hooks`."""


class OnFailure(StrEnum):
    """What a webhook that gives no valid answer does to the step."""

    ALLOW = "allow"
    DENY = "deny"


class Mode(StrEnum):
    """Whether the agent waits."""

    WAIT = "wait"
    BACKGROUND = "background"


@dataclass(frozen=True, slots=True)
class ConfigLocation:
    """Where an entry stands.

    Attributes:
        file: Path of the file, or what else the entry was read from (`workspace ws_…`).
        line: 1-based line of the entry, None where there are no lines.
        project: It comes from a project's file, so it only adds.
    """

    file: str
    line: int | None = None
    project: bool = False

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How an `[[async_webhooks]]` entry gathers events.

    Attributes:
        size: Events that one request carries at most.
        flush_interval_ms: Longest wait of the first event of a batch, milliseconds.
    """

    size: int = 10
    flush_interval_ms: int = 1000


@dataclass(frozen=True)
class Webhook:
    """One webhook.

    Attributes:
        name: Unique within its file.
        trigger: As configured; what is sent as `trigger`.
        points: The points that it listens to.
        url: With variables expanded.
        place: Where it is configured.
        description: Free text.
        method: `POST`, `PUT` or `PATCH`.
        headers: Extra headers, variables expanded.
        timeout_secs: One whole attempt, seconds.
        retries: Attempts after the first.
        deadline_secs: Limit over a whole delivery, seconds; None = all attempts and waits.
        matcher: Tool-name globs separated by `|`, None = any tool.
        format: Never `auto`: what it was resolved to, `hookyard`, `cloudevents` or a chat service.
        secrets: Signing secrets, newest first.
        on_failure: `deny` = this gate fails closed.
        mode: Whether the agent waits.
        redact: Patterns that are replaced by marks before anything leaves.
        priority: Lower first.
        batch: Set for `[[async_webhooks]]`.
    """

    name: str
    trigger: str
    points: frozenset[Point]
    url: str = field(repr=False)
    place: ConfigLocation = ConfigLocation("")
    description: str = ""
    method: str = "POST"
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    timeout_secs: float = 10.0
    retries: int = 2
    deadline_secs: float | None = None
    matcher: str | None = None
    format: str = "hookyard"
    secrets: tuple[str, ...] = field(default=(), repr=False)
    on_failure: OnFailure = OnFailure.ALLOW
    mode: Mode = Mode.WAIT
    redact: tuple[str, ...] = ()
    priority: int = 0
    batch: BatchLimits | None = None

    @property
    def fails_closed(self) -> bool:
        """Nothing but a well-formed `ok`, `warning` or `modify` lets a step pass."""
        return self.on_failure is OnFailure.DENY

    @property
    def waits(self) -> bool:
        """The agent waits for the answer; otherwise it goes through the outbox."""
        return self.mode is Mode.WAIT and self.batch is None

    @cached_property
    def shown_url(self) -> str:
        """The URL as it may be shown: scheme, host and port; no credentials, no path, no query."""
        return shown_url(self.url)

    @cached_property
    def endpoint(self) -> str:
        """A digest of the URL: tells endpoints apart without showing them."""
        return hashlib.sha256(self.url.encode("utf-8", "replace")).hexdigest()[:16]

    @cached_property
    def breaker_key(self) -> str:
        """What the breaker knows it by: its endpoint, apart for each place that configures it.

        So one owner's failures never switch off another's webhook: a repository's not the user's, nor a workspace's
        those of its neighbour.
        """
        return hashlib.sha256(f"{self.place.file}\n{self.url}".encode("utf-8", "replace")).hexdigest()[:16]

    @cached_property
    def wire_format(self) -> Format:
        """What its requests look like."""
        return formats.all_formats()[self.format]

    @cached_property
    def body_prefix(self) -> bytes:
        """JSON of what a body says to this webhook alone: `{"hook_name":"…","trigger":"…",`."""
        return json_bytes({"hook_name": self.name, "trigger": self.trigger})[:-1] + b","

    @cached_property
    def redactor(self) -> Redactor | None:
        """Hides what its patterns match, None when it has none."""
        if not self.redact:
            return None
        from hookyard.hooks.redaction.redactor import (
            Redactor,  # here: few webhooks have patterns, and their engine takes time
        )

        return Redactor(self.redact)

    @cached_property
    def may_modify(self) -> bool:
        """Its answers may modify: no chat service, and nothing on the way could have changed them."""
        return not self.wire_format.chat and (not self.url.startswith("http:") or is_loopback(self.url))

    @cached_property
    def hidden(self) -> tuple[str, ...]:
        """Texts that must never be shown, longest first: header values, secrets, keys and credentials of the URL."""
        parts = urlsplit(self.url)
        written = [parts.username or "", parts.password or ""]
        written += [pair.partition("=")[2] or pair for pair in parts.query.split("&")]
        written += [segment for segment in parts.path.split("/") if len(segment) >= _LEAST_KEY]
        texts = [*self.secrets, *written, *(unquote(text) for text in written), *map(unquote_plus, written)]
        if parts.password:  # what goes out as `Authorization: Basic …`
            credentials = f"{unquote(parts.username or '')}:{unquote(parts.password)}"
            texts.append(base64.b64encode(credentials.encode("utf-8", "replace")).decode())
        for _, value in self.headers:
            texts += [value, value.rpartition(" ")[2]]
        # A receiver that answers with what it got writes it as JSON.
        texts += [json.dumps(text, ensure_ascii=ascii_only)[1:-1] for text in texts for ascii_only in (False, True)]
        return tuple(sorted({text for text in texts if len(text) >= _LEAST_HIDDEN}, key=len, reverse=True))

    def scrub(self, text: str) -> str:
        """Return a receiver's text without anything that must not be shown."""
        for hidden in self.hidden:
            text = text.replace(hidden, "***")
        return text

    def wants(self, point: Point, tool_name: str | None) -> bool:
        """Return whether the webhook is called at a point, for a tool where the point is about one."""
        return point in self.points and (self.matcher is None or matches(self.matcher, point, tool_name))


@dataclass(frozen=True, slots=True)
class InvalidFailClosedHook:
    """What stands in for an entry that cannot be used though it was to fail closed: it denies and says why.

    Attributes:
        name: The entry's name, or its place in the file when it has none.
        points: The points at which it denies.
        reason: What is wrong with the entry, for the model and the user to read.
        place: Where it is configured.
        matcher: The entry's tool-name globs, None when they cannot be read.
        priority: Its turn among the others.
    """

    name: str
    points: frozenset[Point]
    reason: str
    place: ConfigLocation
    matcher: str | None = None
    priority: int = 0

    def wants(self, point: Point, tool_name: str | None) -> bool:
        """Return whether the hook denies at a point, for a tool where the point is about one."""
        return point in self.points and (self.matcher is None or matches(self.matcher, point, tool_name))


def trigger_words(trigger: str) -> list[str]:
    """Return the comma-separated words of a trigger, trimmed, without empty ones."""
    return [word for word in (part.strip() for part in re.split(r"[,\s]+", trigger)) if word]


def unmatched_trigger_words(trigger: str) -> list[str]:
    """Return the words of a trigger that match no event by themselves."""
    return [word for word in trigger_words(trigger) if not points_of(word)]


def shown_url(url: str) -> str:
    """Return a URL without anything that could be a credential: `https://hooks.slack.com/…`."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "…"
    host = f"[{host}]" if ":" in host else host
    rest = "/…" if parts.path not in ("", "/") or parts.query else ""
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}{rest}"


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine, by `localhost` or a loopback address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
