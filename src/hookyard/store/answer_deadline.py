"""One timer that ends the wait of every caller whom the writer does not answer in time.

Used by `database`. A time-out of its own for each write costs as much as a tenth of accepting an event, so the waits of
an event loop share one timer, set for the oldest of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hookyard.store.write_jobs import Job


class AnswerDeadline:
    """The waits of one event loop.

    Args:
        loop: The loop.
        seconds: The longest wait.
        withdraw: Takes a job back and returns the error for its caller.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, withdraw: Callable[[Job], Exception]) -> None:
        self.loop = loop
        self._seconds = seconds
        self._withdraw = withdraw
        self._waiting: dict[asyncio.Future[Any], tuple[float, Job]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, future: asyncio.Future[Any], job: Job) -> None:
        """Bound the wait for a job's answer; the future gets the error when the time is over."""
        self._waiting[future] = (self.loop.time(), job)
        if self._timer is None:
            self._timer = self.loop.call_later(self._seconds, self._expire)

    def discard(self, future: asyncio.Future[Any]) -> None:
        """Forget a wait that has ended."""
        self._waiting.pop(future, None)

    def _expire(self) -> None:
        self._timer = None
        now = self.loop.time()
        for future, (since, job) in list(self._waiting.items()):  # in the order of their beginnings
            left = since + self._seconds - now
            if left > 0:
                self._timer = self.loop.call_later(left, self._expire)
                return
            del self._waiting[future]
            if not future.done():
                future.set_exception(self._withdraw(job))
