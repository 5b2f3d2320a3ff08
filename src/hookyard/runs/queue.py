"""The port to what executes runs: `RunQueue`. Admission decides which run starts when; a queue carries it out.

Implemented by `engine.TaskQueue`; used by `worker` only. The contract is the suite `tests/runs/test_queue_contract.py`.
It is run on our engine and on DBOS (`benchmarks/dbos_queue.py`, on SQLite and on PostgreSQL), so that another engine
can take its place.

An attempt is durable before a queue receives it: admission's transaction has noted it in `attempts`, once for each
number. What a queue adds is that it is under way, can be ended, and is never under way twice on one worker.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from hookyard.core.ids import RunId


@dataclass(frozen=True, slots=True)
class Execution:
    """One attempt of one run.

    Attributes:
        run_id: The run.
        attempt: From 1.
    """

    run_id: RunId
    attempt: int

    @property
    def key(self) -> str:
        """Its name: `run_…:1`."""
        return f"{self.run_id}:{self.attempt}"


Body = Callable[[Execution], Awaitable[None]]
"""Does the work of an execution; cancelling the task that runs it ends everything that it started before it returns."""


class RunQueue(Protocol):
    """Executes runs on this worker."""

    async def open(self, body: Body) -> None:
        """Get ready to execute; may take a while, without blocking.

        Raises:
            TemporaryError: The engine cannot be used.
        """
        ...

    async def start(self, execution: Execution) -> bool:
        """Execute it here.

        Returns:
            False when the engine was given it before: then nothing happens.

        Raises:
            TemporaryError: It was not started.
        """
        ...

    def cancel(self, run_id: RunId) -> bool:
        """Cancel the body of a run. It stays among those executing until the body has returned.

        Returns:
            False when this worker does not execute it.
        """
        ...

    def executing(self) -> Collection[Execution]:
        """Return what this worker executes at this moment."""
        ...

    async def close(self, grace_seconds: float) -> None:
        """Start nothing more, let the bodies finish for a while, cancel those that are left, and stop."""
        ...
