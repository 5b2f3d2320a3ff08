"""One at a time for each workspace, first come, first served.

Used by `conditions.Conditions` for workspaces whose conditions are slow: each has one request with the evaluator at
most, so that all of them move on equally, and each request knows the result of the one before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from hookyard.core.errors import LimitError

MAX_WAITING = 200
"""Requests of one workspace; more are refused at once."""

WAIT_SECONDS = 30.0
"""After this a request is rejected with the hint to retry."""


@dataclass(slots=True)
class _Waiters:
    """The requests of one workspace.

    Attributes:
        length: How many hold or await the lock.
        lock: Held by the one that is with the evaluator.
    """

    length: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeyedLock:
    """The lines of all workspaces that have any."""

    def __init__(self) -> None:
        self._lines: dict[str, _Waiters] = {}

    @asynccontextmanager
    async def acquire(self, workspace: str) -> AsyncIterator[None]:
        """Wait for one's turn, and have it.

        Raises:
            LimitError: Too many of this workspace wait, or they take too long.
        """
        line = self._lines.setdefault(workspace, _Waiters())
        if line.length >= MAX_WAITING:
            raise _refusal()
        line.length += 1
        try:
            try:
                await asyncio.wait_for(line.lock.acquire(), WAIT_SECONDS)
            except TimeoutError:
                raise _refusal() from None
            try:
                yield
            finally:
                line.lock.release()
        finally:
            line.length -= 1
            if not line.length:
                del self._lines[workspace]


def _refusal() -> LimitError:
    return LimitError(
        "the conditions of this workspace take too long for so many events at once",
        hint="send it again later; make the conditions quicker",
        retry_after=5,
    )
