"""The rows of `events` and `listener_sets`: stored by `gates` and `fast_path`, read by everything that looks back.

Verdicts are packed here and nowhere else on the way in.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, select

from hookyard.core.errors import NotFoundError
from hookyard.core.ids import EventId, WorkspaceId
from hookyard.core.verdicts import GateVerdict, pack, unpack
from hookyard.events.model import NO_CAUSE, AuthorTrust, Cause, Event
from hookyard.intake.match import EventListeners
from hookyard.intake.pending import PendingEvent, PendingOutcome
from hookyard.store import schema
from hookyard.store.database import after_commit, announce
from hookyard.store.fast_sql import insert_or_update, insert_rows

COLUMNS = (
    "id", "workspace_id", "name", "source", "source_id", "operation_id", "occurred_at", "received_at", "variables",
    "subject", "author_trust", "cause", "replay_of", "listener_set", "verdicts", "details", "duplicates",
    "traceparent",
)  # fmt: skip

_SET_SECONDS = 3600.0
"""A listener set is stored again after this, so that pruning sees that it is used."""

_SETS_KEPT = 10_000


def event_row(candidate: PendingEvent, verdicts: Sequence[GateVerdict], details: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the values of `COLUMNS`.

    Args:
        candidate: The event, judged.
        verdicts: The final ones, in the order of its listeners.
        details: By callback id: what the verdicts cannot say.
    """
    event = candidate.event
    subject = None if candidate.event_type is None else candidate.event_type.subject_of(event.variables)
    listeners = candidate.listeners
    return (
        event.id, event.workspace_id, event.name, event.source, event.source_id, event.operation_id, event.occurred_at,
        event.received_at, candidate.variables, subject, event.author_trust.value,
        json.dumps(event.cause.as_list()) if event.cause.links else None, candidate.replay_of,
        None if listeners is None else listeners.id, None if listeners is None else pack(verdicts),
        json.dumps(details) if details else None, 0, event.traceparent,
    )  # fmt: skip


def store_events(conn: Connection, decisions: Sequence[PendingOutcome], sets: ListenerSets) -> None:
    """Insert decided events with their verdicts, and announce them.

    Args:
        conn: A write's transaction.
        decisions: The events.
        sets: Stores the listener sets that are lacking.
    """
    if not decisions:
        return
    sets.store(conn, [decision.candidate for decision in decisions])
    rows = [event_row(decision.candidate, decision.verdicts, decision.details) for decision in decisions]
    insert_rows(conn, schema.events, COLUMNS, rows)
    announce(conn, *[f"events:{name}" for name in {one.candidate.event.workspace_id for one in decisions}])


def count_duplicates(conn: Connection, repeated: Sequence[tuple[EventId, float]]) -> None:
    """Count repetitions on stored events, each given with the time of the repetition."""
    if repeated:
        conn.execute(_COUNT_DUPLICATE, [{"original": event_id, "now": now} for event_id, now in repeated])


_COUNT_DUPLICATE = (
    schema.events.update()
    .where(schema.events.c.id == bindparam("original"))
    .values(duplicates=schema.events.c.duplicates + 1, last_duplicate_at=bindparam("now"))
)


class ListenerSets:
    """Stores which versions listened to an event, once an hour per set and process. (Unused ones are pruned.)"""

    def __init__(self) -> None:
        self._stored_at: dict[str, float] = {}

    def lacks(self, listeners: EventListeners, now: float) -> bool:
        """Return whether this process has not stored the set within the hour."""
        return now - self._stored_at.get(listeners.id, 0.0) > _SET_SECONDS

    def store(self, conn: Connection, candidates: Sequence[PendingEvent]) -> None:
        """Store the sets of some events, as far as they are lacking."""
        lacking: dict[str, tuple[object, ...]] = {}
        for candidate in candidates:
            listeners, event = candidate.listeners, candidate.event
            if listeners is not None and self.lacks(listeners, event.received_at):
                lacking[listeners.id] = (listeners.id, event.workspace_id, listeners.row, event.received_at)
        if not lacking:
            return
        statement = insert_or_update(conn, schema.listener_sets)
        renewed = statement.on_conflict_do_update(
            index_elements=["id"], set_={"created_at": statement.excluded.created_at}
        )
        names = ("id", "workspace_id", "listeners", "created_at")
        # Sorted, so that two servers that store the same ones wait for each other in one order.
        conn.execute(renewed, [dict(zip(names, lacking[name], strict=True)) for name in sorted(lacking)])
        now = candidates[0].event.received_at
        after_commit(conn, lambda: self._remember(lacking, now))

    def _remember(self, sets: Iterable[str], now: float) -> None:
        if len(self._stored_at) > _SETS_KEPT:
            self._stored_at.clear()
        self._stored_at.update(dict.fromkeys(sets, now))


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with what has become of it.

    Attributes:
        event: The event.
        duplicates: How often it was repeated.
        last_duplicate_at: When last, or None.
        replay_of: The event that it replays, or None.
        verdicts: One per listener, as decided when it came; for lists, where a whole trace would be too much.
    """

    event: Event
    duplicates: int
    last_duplicate_at: float | None
    replay_of: EventId | None
    verdicts: tuple[GateVerdict, ...]

    @classmethod
    def of(cls, row: RowMapping) -> StoredEvent:
        """Read a row of `events`."""
        replay_of = None if row["replay_of"] is None else EventId(row["replay_of"])
        return cls(read_event(row), row["duplicates"], row["last_duplicate_at"], replay_of, unpack(row["verdicts"]))


def read_event(row: RowMapping) -> Event:
    """Return the event of a row of `events`."""
    return Event(
        id=EventId(row["id"]),
        workspace_id=WorkspaceId(row["workspace_id"]),
        name=row["name"],
        source=row["source"],
        source_id=row["source_id"],
        operation_id=row["operation_id"],
        occurred_at=row["occurred_at"],
        received_at=row["received_at"],
        variables=json.loads(row["variables"]),
        author_trust=AuthorTrust(row["author_trust"]),
        cause=NO_CAUSE if row["cause"] is None else Cause.from_list(json.loads(row["cause"])),
        traceparent=row["traceparent"],
    )


def get_event_row(conn: Connection, workspace_id: WorkspaceId, event_id: EventId) -> RowMapping:
    """Return the row of an event.

    Raises:
        NotFoundError: No such event in the workspace.
    """
    table = schema.events
    row = (
        conn.execute(select(table).where(table.c.id == event_id, table.c.workspace_id == workspace_id))
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFoundError("there is no such event", where=event_id)
    return row


def recent_events(conn: Connection, workspace_id: WorkspaceId, limit: int) -> list[RowMapping]:
    """Return the newest events of a workspace, newest first."""
    table = schema.events
    query = select(table).where(table.c.workspace_id == workspace_id).order_by(table.c.id.desc()).limit(limit)
    return list(conn.execute(query).mappings())
