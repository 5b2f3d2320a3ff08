"""Background tasks of a process: supervised loops, and sets of short tasks.

Every endless loop of the server and of a worker is one of these, so that a failing step is logged and repeated, never
the end of the loop, and so that shutting down cancels and awaits all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Protocol

from hookyard.core.errors import HookyardError

RESTART_SECONDS = 1.0
"""Pause after a step that failed."""

logger = logging.getLogger(__name__)


class Wakeup(Protocol):
    """Something that can cut a pause short, such as a subscription to a topic."""

    async def wait(self, timeout_seconds: float, /) -> object:
        """Return when there is news, or after the timeout."""


class TaskSet:
    """Tasks that run until they end by themselves or the owner closes the set.

    A task that fails is logged: an exception that no caller awaits would otherwise disappear.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[Any, Any, Any], *, name: str | None = None) -> asyncio.Task[Any]:
        """Start a task and keep a reference to it until it ends."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    async def join(self) -> None:
        """Wait until no task is left, those included that others start meanwhile."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Cancel every task and wait for its end."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("%s failed", task.get_name(), exc_info=error)


async def repeat(
    step: Callable[[], Awaitable[float | None]],
    *,
    interval_seconds: float,
    wakeup: Wakeup | None = None,
    retry_seconds: float = RESTART_SECONDS,
) -> None:
    """Run a step again and again until cancelled.

    Args:
        step: The work. It returns the seconds until the next run, or None for `interval_seconds`.
        interval_seconds: The usual pause.
        wakeup: Cuts a pause short.
        retry_seconds: The pause after a step that failed; the failure is logged.
    """
    name = getattr(step, "__qualname__", repr(step))
    while True:
        try:
            pause = await step()
        except HookyardError as error:
            logger.warning("%s waits: %s", name, error)
            pause = retry_seconds
        except Exception:
            logger.exception("%s failed and is repeated", name)
            pause = retry_seconds
        seconds = interval_seconds if pause is None else pause
        await (asyncio.sleep(seconds) if wakeup is None else wakeup.wait(seconds))


@asynccontextmanager
async def running(*loops: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Run endless loops inside the block; restart one that fails, cancel and await all at the end."""
    tasks = [asyncio.create_task(_supervise(loop)) for loop in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _supervise(loop: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await loop()
        except Exception:
            logger.exception("%s failed and is restarted", getattr(loop, "__qualname__", loop))
        await asyncio.sleep(RESTART_SECONDS)
