"""A server's callbacks half on a real database with real evaluators, and a clock that tests own."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select

from hookyard.automations.callbacks import Callback, Callbacks, ConditionErrors
from hookyard.callbacks.spec import CallbackSpec
from hookyard.conditions.conditions import Conditions
from hookyard.core.clock import SystemClock
from hookyard.core.ids import EventId, Ids, WorkspaceId
from hookyard.core.verdicts import GateVerdict, unpack
from hookyard.events.event_types import EventTypes
from hookyard.events.model import NO_CAUSE, AuthorTrust, Cause, EventDraft
from hookyard.intake.accept import EventIntake
from hookyard.intake.merge import BatchMerger
from hookyard.intake.pending import Accepted
from hookyard.settings import LiveSettings, SettingValue
from hookyard.store import migrations, schema
from hookyard.store.database import Database

START = 1_768_467_600.0  # 2026-01-15T09:00:00Z

TASK: Mapping[str, str] = {
    "taskId": "task-1",
    "taskDBId": "a1b2c3d4-0000-4000-8000-000000000001",
    "taskType": "task",
    "taskTitle": "修复登录Bug",
    "taskStatus": "todo",
}


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def task_event(name: str = "task.updated", operation: str | None = None, **other: Any) -> EventDraft:
    """A draft of a task's event with all its variables; keywords of `EventDraft`, others are variables."""
    own = {
        "task.created": {"createdBy": "李四"},
        "task.updated": {"updatedBy": "王五", "changes": '{"status":"blocked"}'},
        "task.status_changed": {"updatedBy": "王五"},
        "task.deleted": {"deletedBy": "赵六"},
    }[name]
    fields = {key: other.pop(key) for key in ("source", "source_id", "occurred_at", "cause") if key in other}
    trust = other.pop("author_trust", AuthorTrust.MEMBER)
    variables = {**TASK, **own, **other}
    if name == "task.deleted":
        variables.pop("taskStatus")
    return EventDraft(name, variables, operation_id=operation, author_trust=trust, **fields)


@dataclass
class IntakeEnvironment:
    """Everything that a test of the path needs."""

    database: Database
    clock: FakeClock
    ids: Ids
    conditions: Conditions
    accept: EventIntake
    callbacks: Callbacks
    merger: BatchMerger
    workspace: WorkspaceId
    settings: dict[str, SettingValue] = field(default_factory=dict)

    async def make_workspace(self) -> WorkspaceId:
        """A further workspace."""
        made = self.ids.workspace()
        row = {"id": made, "name": "A", "created_at": self.clock.now(), "next_task": 1, "revision": 0}
        await self.database.write(lambda conn: conn.execute(insert(schema.workspaces).values(row)).close())
        return made

    async def callback(self, workspace: WorkspaceId | None = None, **spec: Any) -> Callback:
        """A callback; by default it listens to all updates of tasks."""
        given = {"name": "A callback", "events": ["task.updated"], "prompt": "{{taskTitle}}", **spec}
        return await self.callbacks.create(workspace or self.workspace, CallbackSpec.read(given), author="usr_1")

    async def change(self, callback: Callback, **spec: Any) -> Callback:
        """Change some fields of a callback."""
        given = {**callback.spec.as_dict(), **spec}
        return await self.callbacks.replace(
            callback.workspace_id, callback.id, CallbackSpec.read(given), author="usr_1"
        )

    async def send(self, *drafts: EventDraft, workspace: WorkspaceId | None = None) -> list[Accepted]:
        """Accept events."""
        return await self.accept.accept(workspace or self.workspace, drafts)

    async def runs(self) -> list[RowMapping]:
        """All runs, oldest first."""
        return await self.database.read(
            lambda c: list(c.execute(select(schema.runs).order_by(schema.runs.c.id)).mappings())
        )

    async def event(self, event_id: EventId) -> RowMapping:
        """A stored event."""
        table = schema.events
        return await self.database.read(
            lambda c: c.execute(select(table).where(table.c.id == event_id)).mappings().one()
        )

    async def verdicts_of(self, accepted: Accepted) -> dict[str, GateVerdict]:
        """The stored verdicts on an event, by the name of the callback's version that listened to it."""
        row = await self.event(accepted.event_id)
        sets, versions = schema.listener_sets.c, schema.callback_versions.c

        def read(conn: Connection) -> list[str]:
            stored = conn.execute(select(sets.listeners).where(sets.id == row["listener_set"])).scalar()
            query = select(versions.callback_id, versions.version, versions.spec)
            specs = {(callback_id, version): spec for callback_id, version, spec in conn.execute(query)}
            return [
                json.loads(specs[callback_id, version])["name"] for callback_id, version in json.loads(stored or "[]")
            ]

        names = await self.database.read(read)
        assert len(set(names)) == len(names), f"give these callbacks names of their own: {names}"
        return dict(zip(names, unpack(row["verdicts"]), strict=True))

    async def details_of(self, accepted: Accepted) -> dict[str, Any]:
        """What the verdicts on an event cannot say, by callback id."""
        return json.loads((await self.event(accepted.event_id))["details"] or "{}")  # type: ignore[no-any-return]

    async def count(self, table: Any) -> int:
        """Rows of a table."""
        return len(await self.database.read(lambda c: c.execute(select(table)).all()))


@asynccontextmanager
async def open_environment(url: str) -> AsyncIterator[IntakeEnvironment]:
    """A world on a new database, with one workspace."""
    clock = FakeClock()
    ids = Ids(clock)
    conditions = Conditions(SystemClock())
    settings: dict[str, SettingValue] = {}
    with Database(url) as database:
        migrations.upgrade(database)
        types = EventTypes(database, clock)
        callbacks = Callbacks(database, clock, ids, conditions, lambda: types.current)
        accept = EventIntake(
            database,
            clock,
            ids,
            conditions,
            lambda: LiveSettings().with_stored(settings),
            ConditionErrors(database, clock),
        )
        merger = BatchMerger(
            database, clock, ids, conditions, lambda: types.current, lambda: LiveSettings().with_stored(settings)
        )
        env = IntakeEnvironment(database, clock, ids, conditions, accept, callbacks, merger, WorkspaceId(""), settings)
        env.workspace = await env.make_workspace()
        try:
            yield env
        finally:
            await conditions.close()


def chain(*links: tuple[str, str]) -> Cause:
    """A chain of causes from pairs of run and callback."""
    cause = NO_CAUSE
    for run, callback in links:
        cause = cause.by(run, callback, "evt_0")  # type: ignore[arg-type]
    return cause
