"""Events for the stream, and one event with what its page says about every callback."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from hookyard.core.verdicts import STARTED, GateVerdict, Outcome, packed_has, unpack
from hookyard.intake.trace import CallbackVerdict, read_trace
from hookyard.store import schema
from hookyard.web.pages.queries.runs import RunStep, chain_of

PAGE = 50
_SCAN = 2000
"""Events looked through for a page of a list that an outcome narrows."""


@dataclass(frozen=True, slots=True)
class EventFilters:
    """What the stream is narrowed to; `""` = everything.

    Attributes:
        name: One event type.
        subject: A task's number.
        outcome: `ran` or `broken`.
    """

    name: str = ""
    subject: str = ""
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as the stream shows it."""

    id: str
    name: str
    source: str
    received_at: float
    variables: Mapping[str, Any]
    author_trust: str
    caused: bool
    replay_of: str | None
    verdicts: tuple[GateVerdict, ...]
    duplicates: int

    @property
    def ran(self) -> int:
        """Callbacks that it started, merged ones included."""
        return sum(verdict in STARTED for verdict in self.verdicts)

    @property
    def broken(self) -> int:
        """Callbacks whose condition could not be judged."""
        return self.verdicts.count(GateVerdict.CONDITION_ERROR)


_FIELDS = [
    schema.events.c[name]
    for name in (
        "id", "name", "source", "received_at", "variables", "author_trust", "cause", "replay_of", "verdicts",
        "duplicates",
    )
]  # fmt: skip


def _event(row: RowMapping) -> EventRow:
    return EventRow(
        row["id"], row["name"], row["source"], row["received_at"], json.loads(row["variables"]), row["author_trust"],
        bool(row["cause"]), row["replay_of"], unpack(row["verdicts"]), row["duplicates"],
    )  # fmt: skip


def page(conn: Connection, workspace_id: str, filters: EventFilters, after: str) -> tuple[list[EventRow], str]:
    """Return a page of the stream, newest first, and the id at which the next page begins (`""` at the end)."""
    events = schema.events.c
    query = select(*_FIELDS).where(events.workspace_id == workspace_id)
    if after:
        query = query.where(events.id < after)
    if filters.name:
        query = query.where(events.name == filters.name)
    if filters.subject:
        query = query.where(events.subject == filters.subject)
    query = query.order_by(events.id.desc())
    if not filters.outcome:
        rows = [_event(row) for row in conn.execute(query.limit(PAGE + 1)).mappings()]
        return rows[:PAGE], rows[PAGE - 1].id if len(rows) > PAGE else ""
    # Packed verdicts cannot be indexed: a bounded stretch is scanned, and the next page begins behind it.
    wanted = {"ran": STARTED, "broken": {GateVerdict.CONDITION_ERROR}}[filters.outcome]
    found: list[EventRow] = []
    last = ""
    looked = 0
    for row in conn.execute(query.limit(_SCAN)).mappings():
        looked, last = looked + 1, row["id"]
        if packed_has(row["verdicts"], wanted):
            found.append(_event(row))
            if len(found) == PAGE:
                break
    return found, last if looked == _SCAN or len(found) == PAGE else ""


def names(conn: Connection, workspace_id: str) -> list[str]:
    """Return the types of the newest events, for the filter."""
    events = schema.events.c
    newest = (
        select(events.name).where(events.workspace_id == workspace_id).order_by(events.id.desc()).limit(1000).subquery()
    )
    return list(conn.execute(select(newest.c.name).distinct().order_by(newest.c.name)).scalars())


@dataclass(frozen=True, slots=True)
class EventPage:
    """Everything that an event's page shows."""

    event: EventRow
    operation_id: str | None
    source_id: str | None
    occurred_at: float
    subject_title: str | None
    verdicts: tuple[CallbackVerdict, ...]
    chain: tuple[RunStep, ...]
    siblings: tuple[tuple[str, str], ...]
    replays: tuple[str, ...]
    last_duplicate_at: float | None


def one(conn: Connection, workspace_id: str, event_id: str) -> EventPage | None:
    """Return an event's page; None when the workspace has no such event."""
    events, tasks = schema.events.c, schema.tasks.c
    query = select(schema.events).where(events.workspace_id == workspace_id, events.id == event_id)
    row = conn.execute(query).mappings().first()
    if row is None:
        return None
    title = conn.execute(
        select(tasks.title).where(tasks.workspace_id == workspace_id, tasks.task_id == (row["subject"] or ""))
    ).scalar()
    siblings: list[tuple[str, str]] = []
    if row["operation_id"]:
        around = conn.execute(
            select(events.id, events.name).where(
                events.workspace_id == workspace_id,
                events.operation_id == row["operation_id"],
                events.source == row["source"],
                events.subject == row["subject"],
                events.id != event_id,
            )
            .order_by(events.id)
            .limit(20)
        )  # fmt: skip
        siblings = list(around.all())
    replays = conn.execute(
        select(events.id).where(events.workspace_id == workspace_id, events.replay_of == event_id)
        .order_by(events.id)
        .limit(10)
    ).scalars()  # fmt: skip
    return EventPage(
        _event(row), row["operation_id"], row["source_id"], row["occurred_at"], title, _verdicts(conn, row),
        chain_of(conn, workspace_id, row["cause"]), tuple(siblings), tuple(replays),
        row["last_duplicate_at"],
    )  # fmt: skip


def _verdicts(conn: Connection, row: RowMapping) -> tuple[CallbackVerdict, ...]:
    """Return the verdicts on an event: the callbacks that it started first, those that did not listen last."""
    return tuple(sorted(read_trace(conn, row, runs=True), key=_rank))


def _rank(verdict: CallbackVerdict) -> tuple[bool, bool, bool]:
    stopped = verdict.outcome is Outcome.STOPPED
    return not verdict.listened, stopped, verdict.verdict is GateVerdict.DISABLED
