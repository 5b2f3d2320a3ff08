"""The breaker: an endpoint that is gone or keeps failing is left alone for a while, visibly, and tried again by itself.

Asked by `delivery` before a webhook is called, notified of the outcome afterwards. What it knows is shared by all
processes of a user through one small file, read again only when it has changed. It must never stand in for a gate
that fails closed: such a webhook is always called. Losing the file, or not being able to write it, costs nothing but
patience.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from hookyard.core.clock import Clock

FILE_NAME = "breakers.json"
"""Its name in HOOKYARD_HOME."""

FAILURES = 5
"""Deliveries, each with all its attempts, that fail one after the other before an endpoint is switched off."""

FIRST_SECONDS = 30.0
LONGEST_SECONDS = 3600.0
GONE_SECONDS = 3600.0
LONGEST_GONE_SECONDS = 86_400.0
"""Each failed try doubles the time that an endpoint is off, from the first to the longest; 410 Gone has its own."""

_TRIAL_SECONDS = 30.0
_POLL_INTERVAL_SECONDS = 0.25
_LATE_SECONDS = 60.0  # a time further ahead than this is of before a restart of the machine, not another process's
_MOST_BYTES = 1024 * 1024
_GONE = 410


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is known of an endpoint that failed lately; one that works is not kept.

    Attributes:
        name: How it is shown.
        failures: Deliveries that failed one after the other.
        reason: Why the last one failed.
        since: When the first of them failed, seconds since the epoch.
        seconds: How long it is off each time; 0 while it is still on.
        until_mono: Until when it is off, monotonic seconds of this machine.
    """

    name: str
    failures: int
    reason: str
    since: float
    seconds: float = 0.0
    until_mono: float = 0.0

    @property
    def is_switched_off(self) -> bool:
        """It has failed so often that only a try now and then is made."""
        return self.seconds > 0

    def left_seconds(self, now_mono: float) -> float:
        """Return how long the endpoint stays off, 0 when it may be tried; a time from before a restart of the machine
        is over."""
        left = self.until_mono - now_mono
        return left if 0 < left <= max(self.seconds, _TRIAL_SECONDS) + _LATE_SECONDS else 0.0

    def __str__(self) -> str:
        deliveries = "delivery" if self.failures == 1 else "deliveries"
        return (
            f"switched off for {_spoken(self.seconds)} after {self.failures} failed {deliveries}, the last: "
            f"{self.reason}; tried again by itself"
        )


class Breaker:
    """The endpoints of one user, or of the server.

    Args:
        path: The file that processes share; None keeps everything in memory.
        clock: The time.
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._known: dict[str, Endpoint] = {}
        self._seen: tuple[int, int, int] | None = None
        self._look_at = float("-inf")

    def off(self, key: str, *, fails_closed: bool = False) -> Endpoint | None:
        """Return why an endpoint must not be called now, None when it may be.

        When its time is over, one caller may try it; the others wait for the result.

        Args:
            key: What the webhook's endpoint is known by (`Webhook.breaker_key`); never its address.
            fails_closed: The caller is a gate that fails closed, which is never left out.
        """
        now = self._clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + _POLL_INTERVAL_SECONDS
            self._read()
        endpoint = self._known.get(key)
        if fails_closed or endpoint is None or not endpoint.is_switched_off:
            return None
        if endpoint.left_seconds(now):
            return endpoint
        with self._changing():
            current = self._known.get(key)
            if current is not None and current.left_seconds(now):
                return current  # another process is trying it
            if current is not None:
                self._known[key] = replace(current, until_mono=now + _TRIAL_SECONDS)
        return None

    def success(self, key: str) -> None:
        """Forget the endpoint's failures: it works."""
        if key in self._known:
            with self._changing():
                self._known.pop(key, None)

    def failure(self, key: str, name: str, reason: str, status: int | None = None) -> Endpoint | None:
        """Record that a delivery failed with all its attempts.

        Args:
            key: What the webhook's endpoint is known by (`Webhook.breaker_key`); never its address.
            name: How it is shown.
            reason: Why, in the words of the warning.
            status: The last answer's status, None when there was none; 410 switches off at once.

        Returns:
            The endpoint when it was switched off by this; None otherwise.
        """
        now = self._clock.monotonic()
        with self._changing():
            before = self._known.get(key) or Endpoint(name, 0, reason, self._clock.now())
            after = replace(before, name=name, reason=reason, failures=before.failures + 1)
            first, longest = (
                (GONE_SECONDS, LONGEST_GONE_SECONDS) if status == _GONE else (FIRST_SECONDS, LONGEST_SECONDS)
            )
            if before.is_switched_off:
                after = replace(after, seconds=min(longest, max(first, before.seconds * 2)))
            elif status == _GONE or after.failures >= FAILURES:
                after = replace(after, seconds=first)
            if after.is_switched_off:
                after = replace(after, until_mono=now + after.seconds)
            self._known[key] = after
        return after if after.is_switched_off else None

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return everything that failed lately, by key."""
        self._read()
        return dict(self._known)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """Change what is known: read what others wrote, and write it back before they read it."""
        if self._path is None:
            yield
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self._path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            yield
            return
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._read()
            yield
            with contextlib.suppress(OSError):
                self._write()
        finally:
            os.close(lock)

    def _read(self) -> None:
        if self._path is None:
            return
        try:
            found = self._path.stat()
        except OSError:
            if self._seen is not None:
                self._seen, self._known = None, {}
            return
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen == self._seen or found.st_size > _MOST_BYTES:
            return
        self._seen = seen
        with contextlib.suppress(OSError):
            self._known = _parsed(self._path.read_bytes())

    def _write(self) -> None:
        assert self._path is not None
        text = json.dumps({key: asdict(endpoint) for key, endpoint in self._known.items()}, indent=1)
        descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".breakers-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            Path(name).replace(self._path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        found = self._path.stat()
        self._seen = (found.st_ino, found.st_mtime_ns, found.st_size)


_TYPES: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float)}


def _parsed(data: bytes) -> dict[str, Endpoint]:
    """Return the contents of a file without malformed parts."""
    try:
        rows = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    known = {}
    for key, row in rows.items() if isinstance(rows, dict) else ():
        if isinstance(row, dict) and all(isinstance(row.get(f.name), _TYPES[str(f.type)]) for f in fields(Endpoint)):
            known[str(key)] = Endpoint(**{f.name: row[f.name] for f in fields(Endpoint)})
    return known


def _spoken(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
