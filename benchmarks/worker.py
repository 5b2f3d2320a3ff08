"""hookyard's own worker with an agent that does nothing: what `runs` and `engine` measure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select

from benchmarks.dbos_queue import DbosQueue
from benchmarks.process import LIMIT, RUNS, cpu_seconds
from hookyard.agents.base import AgentResult, Assignment, HookFirer, Recorder, WorkspaceTools
from hookyard.core.clock import SystemClock
from hookyard.core.ids import Ids, WorkspaceId
from hookyard.events.model import EventDraft
from hookyard.hooks.decision import GO_ON, Decision
from hookyard.hooks.points import Point
from hookyard.runs.admission import NoTokens
from hookyard.runs.claim import AdmittedRun
from hookyard.runs.engine import TaskQueue
from hookyard.runs.executor import ExecutionEnvironment, Executor
from hookyard.runs.liveness import liveness_for
from hookyard.runs.worker import Worker
from hookyard.settings import LiveSettings
from hookyard.store.database import Database, announce
from hookyard.store.schema import callbacks, metadata, runs

LATENCIES = 200


class NoHooks:
    """Nothing listens."""

    def fail_closed(self, point: Point | None = None, tool_name: str | None = None) -> bool:
        return False

    def listens(self, point: Point, tool_name: str | None = None) -> bool:
        return False

    async def fire(self, point: Point | str, **context: Any) -> Decision:
        return GO_ON


class NoWork:
    """An agent that answers at once, and tells when it was reached."""

    kind = "benchmark"
    can_be_gated = True

    def __init__(self) -> None:
        self.begun: dict[str, float] = {}
        self.reached = asyncio.Event()

    async def run(
        self, assignment: Assignment, hooks: HookFirer, recorder: Recorder, tools: WorkspaceTools | None
    ) -> AgentResult:
        self.begun[assignment.run_id] = time.perf_counter()
        self.reached.set()
        recorder.message("assistant", "done")
        return AgentResult("done")

    @asynccontextmanager
    async def open(self, claim: AdmittedRun) -> AsyncIterator[ExecutionEnvironment]:
        yield ExecutionEnvironment(agent=self, hooks=NoHooks(), working_dir=Path("/"))


async def no_events(workspace_id: WorkspaceId, draft: EventDraft, apply: Callable[[Connection], None]) -> None:
    """No run fails here."""
    raise AssertionError(draft.name)


class Bench:
    """A database with one callback, and a worker on it."""

    def __init__(self, url: str, queue: str = "tasks") -> None:
        self.database = Database(url)
        self.database.write_sync(metadata.create_all)
        self.agent = NoWork()
        self._ids = Ids()
        clock, tokens, worker_id = SystemClock(), NoTokens(), self._ids.worker()
        live = LiveSettings().with_stored({"eventCallback.maxQueueSize": LIMIT, "worker.maxRuns": LIMIT})
        executor = Executor(
            database=self.database,
            clock=clock,
            workplaces=self.agent,
            emit=no_events,
            tokens=tokens,
            live=lambda: live,
        )
        self.worker = Worker(
            worker_id=worker_id,
            database=self.database,
            clock=clock,
            queue=TaskQueue() if queue == "tasks" else DbosQueue(url, worker_id),
            executor=executor,
            tokens=tokens,
            live=lambda: live,
            liveness=liveness_for(url, clock),
        )
        self.callback: Mapping[str, Any] = {
            "id": "cb_1", "workspace_id": "ws_1", "name": "bench", "enabled": True, "version": 1, "spec": "{}",
            "created_by": "bench", "created_at": 0.0, "updated_at": 0.0,
        }  # fmt: skip
        self.database.write_sync(lambda conn: conn.execute(insert(callbacks).values(self.callback)))

    async def queue(self, number: int = 1) -> str:
        """Queue runs in one transaction, as that of an event does; gives the last one's id."""
        rows = [
            {
                "id": self._ids.run(), "workspace_id": "ws_1", "callback_id": "cb_1", "callback_version": 1,
                "event_id": "evt_1", "conversation_id": self._ids.conversation(), "status": "queued", "prompt": "p",
                "context": "{}", "agent": "dry-run", "queued_at": time.time(),
            }
            for _ in range(number)
        ]  # fmt: skip

        def store(conn: Connection) -> None:
            conn.execute(insert(runs), rows)
            announce(conn, "runs")

        await self.database.write(store)
        return str(rows[-1]["id"])

    async def until_ended(self, number: int) -> None:
        """Wait until so many runs have ended."""
        ended = select(func.count()).select_from(runs).where(runs.c.status == "succeeded")
        with self.database.signals.subscribe("runs") as woken:
            while await self.database.read(lambda conn: conn.execute(ended).scalar_one()) < number:
                await woken.wait(0.1)

    async def throughput(self) -> tuple[float, float]:
        """Runs a second and processor milliseconds a run."""
        await self.queue(RUNS)
        used = cpu_seconds()
        await self.until_ended(RUNS)
        seconds = time.perf_counter() - min(self.agent.begun.values())
        return RUNS / seconds, (cpu_seconds() - used) / RUNS * 1000

    async def latencies(self) -> list[float]:
        """From before the event's transaction to the first line of the agent, milliseconds, sorted."""
        found = []
        for _ in range(LATENCIES):
            self.agent.reached.clear()
            began = time.perf_counter()
            run_id = await self.queue()
            await self.agent.reached.wait()
            found.append((self.agent.begun[run_id] - began) * 1000)
            await asyncio.sleep(0.02)
        return sorted(found)
