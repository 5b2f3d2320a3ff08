"""Time, passed in everywhere so that tests own it.

`Clock.now` is the wall clock: it dates things that are stored and may jump. `Clock.monotonic` never jumps back and is
what timeouts and durations are measured with.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

_LEAP_SECOND = re.compile(r"([T ]\d\d:?\d\d:?)60")
_DAY_SECONDS = 86_400


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> float:
        """Return the seconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Return the seconds on a clock that never goes back; only differences are meaningful."""
        ...


class SystemClock:
    """The machine's own clocks."""

    # The functions themselves: the time is asked for several times in everything that is measured in microseconds.
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


def iso(at: float) -> str:
    """Return a time of `Clock.now` as ISO 8601 in UTC with milliseconds: `2026-01-15T09:00:00.000Z`."""
    second, milliseconds = divmod(int(at * 1000), 1000)
    return f"{_iso_second(second)}.{milliseconds:03d}Z"


@lru_cache(maxsize=16)  # most times that are written down are of the current second
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def from_iso(text: str) -> float:
    """Return the seconds since the epoch of an ISO 8601 text; a text without an offset is read as UTC.

    `t` and `z` may be small letters, as RFC 3339 (and so CloudEvents) has it, and the last second of a day of UTC may
    be its 60th: a leap second, which the clocks of computers count as the first of the next day.

    Raises:
        ValueError: The text is not ISO 8601.
    """
    written = text.upper()
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        before, found = _LEAP_SECOND.subn(r"\g<1>59", written)
        second = from_iso(before) if found else 0.0
        if int(second) % _DAY_SECONDS != _DAY_SECONDS - 1:
            raise
        return second + 1
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
