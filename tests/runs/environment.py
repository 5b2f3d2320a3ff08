"""What tests of runs share: a database with callbacks and runs in it, agents made of a function, a whole worker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from hookyard.agents.base import AgentResult, Assignment, HookFirer, Recorder, WorkspaceTools
from hookyard.core.clock import Clock, SystemClock
from hookyard.core.ids import Ids, RunId, WorkerId, WorkspaceId
from hookyard.events.model import EventDraft
from hookyard.hooks.decision import GO_ON, Decision
from hookyard.hooks.points import Point
from hookyard.runs.admission import NoTokens, RunTokens
from hookyard.runs.claim import AdmittedRun
from hookyard.runs.engine import TaskQueue
from hookyard.runs.executor import ExecutionEnvironment, Executor
from hookyard.runs.lease import Lease
from hookyard.runs.liveness import Liveness, liveness_for
from hookyard.runs.queue import RunQueue
from hookyard.runs.worker import Worker
from hookyard.settings import LiveSettings, SettingValue
from hookyard.store.database import Database, announce
from hookyard.store.schema import callback_versions, callbacks, events, metadata, runs

START_SECONDS = 60.0
"""For what must come: far longer than it takes, on a machine that does much else."""

Work = Callable[[Assignment, Recorder], Awaitable[AgentResult]]


class NoHooks:
    """Nothing listens."""

    def listens(self, point: Point, tool_name: str | None = None) -> bool:
        return False

    def fail_closed(self, point: Point | None = None, tool_name: str | None = None) -> bool:
        return False

    async def fire(self, point: Point | str, **context: Any) -> Decision:
        return GO_ON


class FunctionAgent:
    """An agent that is a function."""

    kind = "function"
    can_be_gated = True

    def __init__(self, work: Work) -> None:
        self._work = work

    async def run(
        self, assignment: Assignment, hooks: HookFirer, recorder: Recorder, tools: WorkspaceTools | None
    ) -> AgentResult:
        return await self._work(assignment, recorder)


@dataclass
class FunctionEnvironments:
    """Every run is done by the same function."""

    work: Work
    folder: Path = Path("/")
    model: str | None = None
    open_now: int = 0

    @asynccontextmanager
    async def open(self, claim: AdmittedRun) -> AsyncIterator[ExecutionEnvironment]:
        self.open_now += 1
        try:
            yield ExecutionEnvironment(
                agent=FunctionAgent(self.work), hooks=NoHooks(), working_dir=self.folder, model=self.model
            )
        finally:
            self.open_now -= 1


class Emitted:
    """Keeps the events that runs raise, and applies what comes with them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.drafts: list[tuple[WorkspaceId, EventDraft]] = []
        self.refusals: list[Exception] = []

    async def __call__(self, workspace_id: WorkspaceId, draft: EventDraft, apply: Callable[[Connection], None]) -> None:
        if self.refusals:
            raise self.refusals.pop(0)
        await self._database.write(apply)
        self.drafts.append((workspace_id, draft))


async def answer(assignment: Assignment, recorder: Recorder) -> AgentResult:
    """The smallest agent: says what it was asked."""
    recorder.message("assistant", assignment.prompt)
    return AgentResult(answer=assignment.prompt)


def live(values: Mapping[str, SettingValue] | None = None) -> LiveSettings:
    """The defaults with some values changed."""
    return LiveSettings().with_stored(values or {})


@dataclass
class RunsEnvironment:
    """A database, and what is put into it."""

    database: Database
    clock: Clock = field(default_factory=SystemClock)
    settings: dict[str, SettingValue] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ids = Ids(self.clock)

    def live(self) -> LiveSettings:
        return live(self.settings)

    def create(self) -> None:
        self.database.write_sync(metadata.create_all)

    def callback(self, workspace: str = "ws_a", *, enabled: bool = True, after_crash: str = "restart") -> str:
        callback = self.ids.callback()
        spec = json.dumps({"afterCrash": after_crash})
        common = {"workspace_id": workspace, "version": 1, "spec": spec, "created_at": 0.0}

        def store(conn: Connection) -> None:
            conn.execute(
                insert(callbacks).values(
                    **common, id=callback, name=callback, enabled=enabled, created_by="test", updated_at=0.0
                )
            )
            conn.execute(insert(callback_versions).values(**common, callback_id=callback, author="test"))

        self.database.write_sync(store)
        return callback

    def row(self, callback: str, workspace: str = "ws_a", **columns: Any) -> dict[str, Any]:
        row = {
            "id": self.ids.run(),
            "workspace_id": workspace,
            "callback_id": callback,
            "callback_version": 1,
            "event_id": "evt_1",
            "conversation_id": self.ids.conversation(),
            "status": "queued",
            "prompt": "do it",
            "context": "{}",
            "agent": "dry-run",
            "queued_at": self.clock.now(),
        }
        return {**row, **columns}

    def queue(self, callback: str, workspace: str = "ws_a", number: int = 1, **columns: Any) -> list[RunId]:
        rows = [self.row(callback, workspace, **columns) for _ in range(number)]

        def store(conn: Connection) -> None:
            conn.execute(insert(runs), rows)
            announce(conn, "runs")

        self.database.write_sync(store)
        return [row["id"] for row in rows]

    def event(self, event_id: str = "evt_1", trust: str = "member") -> None:
        row = {"id": event_id, "workspace_id": "ws_a", "name": "task.created", "source": "api", "variables": "{}"}
        times = {"occurred_at": 0.0, "received_at": 0.0}
        self.database.write_sync(lambda conn: conn.execute(insert(events).values(**row, **times, author_trust=trust)))

    def run(self, run_id: str) -> Any:
        return self.database.read_sync(lambda conn: conn.execute(select(runs).where(runs.c.id == run_id)).one())

    def all(self, statement: Any) -> list[Any]:
        return self.database.read_sync(lambda conn: list(conn.execute(statement).all()))

    def statuses(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for (status,) in self.all(select(runs.c.status)):
            counts[status] = counts.get(status, 0) + 1
        return counts

    async def until(self, condition: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Wait for something that another task, thread or process does."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - what is waited for signals nobody
                await asyncio.sleep(0.01)

    async def ended(self, run_id: str) -> Any:
        await self.until(lambda: self.run(run_id).finished_at is not None)
        return self.run(run_id)

    def executor(self, work: Work = answer, *, emitted: Emitted | None = None, **options: Any) -> Executor:
        return Executor(
            database=self.database,
            clock=self.clock,
            workplaces=options.pop("workplaces", None) or FunctionEnvironments(work),
            emit=emitted or Emitted(self.database),
            tokens=options.pop("tokens", None) or NoTokens(),
            live=self.live,
            **options,
        )

    def worker(
        self,
        work: Work = answer,
        *,
        emitted: Emitted | None = None,
        queue: RunQueue | None = None,
        tokens: RunTokens | None = None,
        liveness: Liveness | None = None,
        workplaces: FunctionEnvironments | None = None,
    ) -> Worker:
        worker_id = WorkerId(self.ids.worker())
        url = self.database.url.render_as_string(hide_password=False)
        liveness = liveness or liveness_for(url, self.clock, self.live().number("worker.leaseSeconds"))
        lease = Lease(self.clock, liveness.lease_seconds)
        return Worker(
            worker_id=worker_id,
            database=self.database,
            clock=self.clock,
            queue=queue or TaskQueue(),
            executor=self.executor(work, emitted=emitted, workplaces=workplaces, tokens=tokens, lease=lease),
            tokens=tokens or NoTokens(),
            live=self.live,
            liveness=liveness,
            lease=lease,
        )

    @asynccontextmanager
    async def working(
        self, work: Work = answer, *, grace_seconds: float = 0.0, **options: Any
    ) -> AsyncIterator[Worker]:
        """A worker at work."""
        worker = self.worker(work, **options)
        await worker.start()
        try:
            yield worker
        finally:
            await worker.stop(grace_seconds)
