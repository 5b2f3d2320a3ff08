"""Accepted events: lists, details, replay; and the backtest.

Called by the API, the pages and the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Connection, RowMapping, select

from hookyard.callbacks.spec import CallbackSpec
from hookyard.conditions.condition_set import single_condition
from hookyard.conditions.conditions import Conditions
from hookyard.core.errors import NotFoundError
from hookyard.core.ids import CallbackId, EventId, WorkspaceId
from hookyard.events.model import Event
from hookyard.intake.accept import EventIntake
from hookyard.intake.event_repository import StoredEvent, get_event_row, read_event, recent_events
from hookyard.intake.match import (
    CallbackListener,
    EventListeners,
    compile_listener,
    load_version,
    passes_author_gate,
    profiles_for_anyone,
)
from hookyard.intake.pending import Accepted
from hookyard.intake.trace import CallbackVerdict, read_trace
from hookyard.store import schema
from hookyard.store.database import Database

MAX_JUDGED = 1000
"""Events that a backtest looks at, at most."""


@dataclass(frozen=True, slots=True)
class BacktestChange:
    """What an edited callback would have done otherwise with an event.

    Attributes:
        event: The event.
        before: Whether the old one wanted it.
        after: Whether the edited one wants it.
        error: Why the edited one's condition could not be judged, or None.
    """

    event: Event
    before: bool
    after: bool
    error: str | None


class EventHistory:
    """The accepted events of all workspaces.

    Args:
        database: Where they are.
        accept: Takes replays.
        conditions: Judges for the backtest.
    """

    def __init__(self, database: Database, accept: EventIntake, conditions: Conditions) -> None:
        self._database = database
        self._accept = accept
        self._conditions = conditions

    async def list(
        self,
        workspace_id: WorkspaceId,
        *,
        limit: int = 50,
        before: str | None = None,
        after: str | None = None,
        name: str | None = None,
        subject: str | None = None,
    ) -> Sequence[StoredEvent]:
        """Return events, newest first; with `after`, oldest first.

        Args:
            workspace_id: Their workspace.
            limit: At most so many.
            before: Only those with a smaller id.
            after: Only those with a larger id.
            name: Only those of this type.
            subject: Only those about this task or conversation.
        """
        table = schema.events
        query = select(table).where(table.c.workspace_id == workspace_id)
        if name is not None:
            query = query.where(table.c.name == name)
        if subject is not None:
            query = query.where(table.c.subject == subject)
        if before is not None:
            query = query.where(table.c.id < before)
        if after is not None:
            query = query.where(table.c.id > after)
        query = query.order_by(table.c.id if after is not None else table.c.id.desc()).limit(limit)
        return await self._database.read(lambda conn: [StoredEvent.of(row) for row in conn.execute(query).mappings()])

    async def get(self, workspace_id: WorkspaceId, event_id: EventId) -> tuple[StoredEvent, Sequence[CallbackVerdict]]:
        """Return an event with the verdict of the gates for every callback.

        Raises:
            NotFoundError: No such event in the workspace.
        """

        def read(conn: Connection) -> tuple[StoredEvent, Sequence[CallbackVerdict]]:
            row = get_event_row(conn, workspace_id, event_id)
            return StoredEvent.of(row), read_trace(conn, row)

        return await self._database.read(read)

    async def replay(
        self, workspace_id: WorkspaceId, event_id: EventId, *, callbacks: Literal["then", "now"] = "now"
    ) -> Accepted:
        """Accept an event once more: a new operation that passes both dedupes; every other gate holds.

        Args:
            workspace_id: Its workspace.
            event_id: The event.
            callbacks: The versions that listened then (if they still exist and are enabled), or those of now.

        Raises:
            NotFoundError: No such event in the workspace.
        """

        def read(conn: Connection) -> tuple[Event, EventListeners | None]:
            row = get_event_row(conn, workspace_id, event_id)
            if callbacks == "now":
                return read_event(row), None
            return read_event(row), EventListeners.of(workspace_id, _listeners_at(conn, row))

        event, listeners = await self._database.read(read)
        return await self._accept.replay(event, listeners)

    async def backtest(
        self, workspace_id: WorkspaceId, callback_id: CallbackId | None, edited: CallbackSpec, *, last: int = 100
    ) -> tuple[int, Sequence[BacktestChange]]:
        """Judge an edited callback on stored events: which verdicts would change?

        Only what the callback says of single events is judged: events, authors, condition. What has been dropped or
        merged since is not.

        Args:
            workspace_id: The workspace.
            callback_id: The callback that is edited; None = a new one.
            edited: What it is to say.
            last: So many of the newest events, at most `MAX_JUDGED`.

        Returns:
            How many events were looked at, and the changes, newest first.

        Raises:
            NotFoundError: No such callback in the workspace.
            TemporaryError: They cannot be judged now.
        """

        def read(conn: Connection) -> tuple[list[Event], CallbackListener | None, CallbackListener]:
            events = [read_event(row) for row in recent_events(conn, workspace_id, min(last, MAX_JUDGED))]
            open_profiles = profiles_for_anyone(conn)
            old = None if callback_id is None else _newest(conn, workspace_id, callback_id, open_profiles)
            return events, old, compile_listener(callback_id or CallbackId("cb_new"), 0, edited, open_profiles)

        events, old, new = await self._database.read(read)
        changes = []
        for event in events:
            before = False if old is None else (await self._wants(old, event))[0]
            after, error = await self._wants(new, event)
            if before != after:
                changes.append(BacktestChange(event, before, after, error))
        return len(events), changes

    async def _wants(self, listener: CallbackListener, event: Event) -> tuple[bool, str | None]:
        spec = listener.spec
        if not spec.enabled or event.name not in spec.events:
            return False, None
        if not listener.serves_anyone and not passes_author_gate(event):
            return False, None
        if not spec.condition:
            return True, None
        judgement = await self._conditions.evaluate(event.workspace_id, event.ctx, single_condition(spec.condition))
        return judgement.matched, judgement.errors.get(0)


def _newest(
    conn: Connection, workspace_id: WorkspaceId, callback_id: CallbackId, open_profiles: frozenset[str]
) -> CallbackListener:
    table = schema.callbacks
    row = conn.execute(
        select(table.c.version, table.c.spec).where(
            table.c.id == callback_id, table.c.workspace_id == workspace_id, table.c.deleted_at.is_(None)
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError("there is no such callback", where=callback_id)
    return compile_listener(callback_id, row.version, CallbackSpec.load(row.spec), open_profiles)


def _listeners_at(conn: Connection, event: RowMapping) -> list[CallbackListener]:
    """Return the versions that listened to the event, without those whose callback is deleted or disabled now."""
    open_profiles = profiles_for_anyone(conn)
    table = schema.callbacks
    living = conn.execute(
        select(table.c.id).where(
            table.c.workspace_id == event["workspace_id"], table.c.deleted_at.is_(None), table.c.enabled
        )
    )
    alive = set(living.scalars())
    workspace_id = WorkspaceId(event["workspace_id"])
    listeners = []
    for verdict in read_trace(conn, event):
        if not verdict.listened or verdict.callback_id not in alive:
            continue
        spec = load_version(conn, workspace_id, verdict.callback_id, verdict.version)
        if spec is not None:
            listeners.append(compile_listener(verdict.callback_id, verdict.version, spec, open_profiles))
    return listeners
