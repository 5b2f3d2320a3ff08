"""Events for the stream, and one event with what its page says about every callback."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from hookyard.callbacks import letters
from hookyard.store import schema
from hookyard.web.pages.queries.runs import Step, chain_of

PAGE = 50
_SCAN = 2000
"""Events looked through for a page of a list that a letter narrows."""


@dataclass(frozen=True, slots=True)
class Filters:
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
    verdicts: str
    duplicates: int

    @property
    def ran(self) -> int:
        """Callbacks that it started, merged ones included."""
        return sum(letter in (letters.QUEUED, letters.MERGED) for letter in self.verdicts)

    @property
    def broken(self) -> int:
        """Callbacks whose condition could not be judged."""
        return self.verdicts.count(letters.CONDITION_ERROR)


_FIELDS = [
    schema.events.c[name]
    for name in (
        "id", "name", "source", "received_at", "variables", "author_trust", "cause", "replay_of", "verdicts",
        "duplicates",
    )
]  # fmt: skip


def _event(row: Any) -> EventRow:
    return EventRow(
        row.id, row.name, row.source, row.received_at, json.loads(row.variables), row.author_trust, bool(row.cause),
        row.replay_of, row.verdicts or "", row.duplicates,
    )  # fmt: skip


def page(conn: Connection, workspace_id: str, filters: Filters, after: str) -> tuple[list[EventRow], str]:
    """A page of the stream, newest first, and the id behind which the next begins (`""` at the end)."""
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
        rows = [_event(row) for row in conn.execute(query.limit(PAGE + 1))]
        return rows[:PAGE], rows[PAGE - 1].id if len(rows) > PAGE else ""
    # Letters cannot be indexed: a bounded stretch is looked through, and the next page goes on behind it.
    wanted = {"ran": (letters.QUEUED, letters.MERGED), "broken": (letters.CONDITION_ERROR,)}[filters.outcome]
    found: list[EventRow] = []
    last = ""
    looked = 0
    for row in conn.execute(query.limit(_SCAN)):
        looked, last = looked + 1, row.id
        if any(letter in (row.verdicts or "") for letter in wanted):
            found.append(_event(row))
            if len(found) == PAGE:
                break
    return found, last if looked == _SCAN or len(found) == PAGE else ""


def names(conn: Connection, workspace_id: str) -> list[str]:
    """The types of the newest events, for the filter."""
    events = schema.events.c
    newest = (
        select(events.name).where(events.workspace_id == workspace_id).order_by(events.id.desc()).limit(1000).subquery()
    )
    return list(conn.execute(select(newest.c.name).distinct().order_by(newest.c.name)).scalars())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gates said for one callback.

    Attributes:
        callback_id: The callback.
        name: Its name now.
        version: The version that was asked, None for one that was not.
        letter: See `callbacks.letters`; `""` when it does not listen.
        detail: What the letter cannot say.
        enabled: Whether it is switched on now.
        events: What it listens to now.
        run_id: The run that it started.
        run_status: Where that run stands.
        run_lasted: Seconds that it took, None when it has not ended.
        run_reason: Why it was skipped or failed.
        batch_size: Events of the batch that it joined, 0 without one.
    """

    callback_id: str
    name: str
    version: int | None
    letter: str
    detail: Mapping[str, str]
    enabled: bool
    events: tuple[str, ...]
    run_id: str | None = None
    run_status: str | None = None
    run_lasted: float | None = None
    run_reason: str | None = None
    batch_size: int = 0


@dataclass(frozen=True, slots=True)
class EventPage:
    """Everything that an event's page shows."""

    event: EventRow
    operation_id: str | None
    source_id: str | None
    occurred_at: float
    subject_title: str | None
    verdicts: tuple[Verdict, ...]
    chain: tuple[Step, ...]
    siblings: tuple[tuple[str, str], ...]
    replays: tuple[str, ...]
    last_duplicate_at: float | None


def one(conn: Connection, workspace_id: str, event_id: str) -> EventPage | None:
    """An event's page; None when the workspace has no such event."""
    events, tasks = schema.events.c, schema.tasks.c
    row = conn.execute(select(schema.events).where(events.workspace_id == workspace_id, events.id == event_id)).first()
    if row is None:
        return None
    title = conn.execute(
        select(tasks.title).where(tasks.workspace_id == workspace_id, tasks.task_id == (row.subject or ""))
    ).scalar()
    siblings: list[tuple[str, str]] = []
    if row.operation_id:
        around = conn.execute(
            select(events.id, events.name).where(
                events.workspace_id == workspace_id,
                events.operation_id == row.operation_id,
                events.source == row.source,
                events.subject == row.subject,
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
        _event(row), row.operation_id, row.source_id, row.occurred_at, title, _verdicts(conn, workspace_id, row),
        chain_of(conn, workspace_id, row.cause), tuple(siblings), tuple(replays),
        row.last_duplicate_at,
    )  # fmt: skip


def _verdicts(conn: Connection, workspace_id: str, row: Any) -> tuple[Verdict, ...]:
    callbacks, sets = schema.callbacks.c, schema.listener_sets.c
    known = {
        c.id: c
        for c in conn.execute(
            select(
                callbacks.id,
                callbacks.name,
                callbacks.enabled,
                callbacks.spec,
                callbacks.deleted_at,
                callbacks.created_at,
            )
            .where(callbacks.workspace_id == workspace_id)
            .order_by(callbacks.id)
            .limit(500)
        )
    }
    listed = conn.execute(
        select(sets.listeners).where(sets.id == (row.listener_set or ""), sets.workspace_id == workspace_id)
    ).scalar()
    listeners = json.loads(listed) if listed else []
    details = json.loads(row.details) if row.details else {}
    ran = _runs(conn, workspace_id, row.id)
    joined = _batches(conn, workspace_id, row.id)
    found = []
    for (callback_id, version), letter in zip(listeners, row.verdicts or "", strict=False):
        callback = known.get(callback_id)
        events = tuple(json.loads(callback.spec).get("events", ())) if callback else ()
        run = ran.get(callback_id) or joined.get(callback_id, (None, None, None, None, 0))
        found.append(
            Verdict(
                callback_id, callback.name if callback else callback_id, version,
                letters.as_it_stands(letter, run[1], run[3]), details.get(callback_id, {}),
                bool(callback and callback.enabled and callback.deleted_at is None), events, *run,
            )
        )  # fmt: skip
    asked = {callback_id for callback_id, _ in listeners}
    for callback in known.values():
        if callback.id not in asked and callback.deleted_at is None and callback.created_at <= row.received_at:
            events = tuple(json.loads(callback.spec).get("events", ()))
            found.append(Verdict(callback.id, callback.name, None, "", {}, callback.enabled, events))
    return tuple(sorted(found, key=lambda v: (not v.letter, v.letter not in "qmu", not v.enabled)))


def _lasted(started: float | None, finished: float | None) -> float | None:
    return None if started is None or finished is None else max(0.0, finished - started)


def _runs(
    conn: Connection, workspace_id: str, event_id: str
) -> dict[str, tuple[str, str, float | None, str | None, int]]:
    runs = schema.runs.c
    query = select(runs.callback_id, runs.id, runs.status, runs.started_at, runs.finished_at, runs.reason).where(
        runs.workspace_id == workspace_id, runs.event_id == event_id, runs.retry_of.is_(None), runs.batch_id.is_(None)
    )
    return {
        r.callback_id: (r.id, r.status, _lasted(r.started_at, r.finished_at), r.reason, 0) for r in conn.execute(query)
    }


def _batches(
    conn: Connection, workspace_id: str, event_id: str
) -> dict[str, tuple[str | None, str | None, float | None, str | None, int]]:
    batches, members, runs = schema.batches.c, schema.batch_events.c, schema.runs.c
    query = (
        select(batches.callback_id, batches.size, runs.id, runs.status, runs.started_at, runs.finished_at, runs.reason)
        .select_from(schema.batch_events)
        .join(schema.batches, batches.id == members.batch_id)
        .join(schema.runs, runs.id == batches.run_id, isouter=True)
        .where(members.event_id == event_id, batches.workspace_id == workspace_id)
    )
    return {
        r.callback_id: (r.id, r.status, _lasted(r.started_at, r.finished_at), r.reason, r.size)
        for r in conn.execute(query)
    }
