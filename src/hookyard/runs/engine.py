"""What executes runs: a supervised task for each, behind the port `RunQueue`.

Made by `wiring`, driven by `worker`. The durable side of an execution stands in our own tables and is written by those
who decide: `admission` notes an attempt before it begins, `completion` its end, `recovery` takes up what a dead worker
left.
Why this is no library, and what was measured, stands in decision 0501.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from hookyard.core.errors import TemporaryError
from hookyard.core.ids import RunId
from hookyard.runs.queue import Body, Execution

logger = logging.getLogger(__name__)


class TaskQueue:
    """Executes each run in a task of the running loop."""

    def __init__(self) -> None:
        self._body: Body | None = None
        self._tasks: dict[Execution, asyncio.Task[None]] = {}

    async def open(self, body: Body) -> None:
        """Take the body; see the port."""
        self._body = body

    async def start(self, execution: Execution) -> bool:
        """Start a task, unless there is one; see the port."""
        body = self._body
        if body is None:
            raise TemporaryError("worker_draining", retry_after=2.0)
        if execution in self._tasks:
            return False
        self._tasks[execution] = asyncio.create_task(self._run(body, execution), name=execution.key)
        return True

    async def _run(self, body: Body, execution: Execution) -> None:
        """Run one execution as the outermost frame: no error in one run reaches another."""
        try:
            await body(execution)
        except Exception:
            logger.exception("an execution failed", extra={"run": execution.key})
        finally:
            del self._tasks[execution]

    def cancel(self, run_id: RunId) -> bool:
        """Cancel the task; see the port."""
        tasks = [task for execution, task in self._tasks.items() if execution.run_id == run_id]
        for task in tasks:
            task.cancel()
        return bool(tasks)

    def executing(self) -> Collection[Execution]:
        """Return every task that has not ended; see the port."""
        return tuple(self._tasks)

    async def close(self, grace_seconds: float) -> None:
        """Drain the queue; see the port."""
        self._body = None
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace_seconds)
        while tasks := list(self._tasks.values()):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
