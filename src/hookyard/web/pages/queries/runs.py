"""Runs for the list and one run's page."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal_column, select

from hookyard.core.ids import earliest
from hookyard.store import schema

PAGE = 50
COUNTED = 1000
"""Runs are counted no further."""

_SKEW_SECONDS = 60.0
"""Between the clocks of two servers, at most."""

ALIVE = ("running", "queued")
STATUSES = ("queued", "running", "succeeded", "failed", "timed_out", "cancelled", "skipped")


@dataclass(frozen=True, slots=True)
class RunFilters:
    """What the list is narrowed to; `""` = everything.

    Attributes:
        status: One status, or `denied`, `modified`.
        callback: A callback's id.
        task: A task's number.
        event: An event's id.
    """

    status: str = ""
    callback: str = ""
    task: str = ""
    event: str = ""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as lists show it."""

    id: str
    callback_id: str
    callback: str
    version: int
    status: str
    reason: str | None
    agent: str
    event_id: str
    event: str
    batch_id: str | None
    subject: str | None
    queued_at: float
    started_at: float | None
    finished_at: float | None
    timeout: float | None
    attempt: int
    tokens: int
    denied: int
    modified: int
    snippet: str | None
    task_id: str | None = None
    title: str | None = None

    @property
    def lasted(self) -> float | None:
        """Seconds that it took, None when it has not ended."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, self.finished_at - self.started_at)


def agent_name(stored: str) -> str:
    """Return a profile's name, or the kind of an inline agent."""
    if stored.startswith("{"):
        try:
            return str(json.loads(stored).get("kind", "")) or "inline"
        except ValueError:
            return "inline"
    return stored or "dry-run"


def _rows() -> Select[Any]:
    runs, names, events = schema.runs.c, schema.callbacks.c, schema.events.c
    return (
        select(
            runs.id, runs.callback_id, names.name, runs.callback_version, runs.status, runs.reason, runs.agent,
            runs.event_id, events.name, runs.batch_id, runs.subject, runs.queued_at, runs.started_at, runs.finished_at,
            runs.timeout_seconds, runs.attempt, runs.input_tokens + runs.output_tokens, runs.denied, runs.modified,
            runs.snippet,
        )
        .select_from(schema.runs)
        .join(schema.callbacks, names.id == runs.callback_id, isouter=True)
        .join(schema.events, events.id == runs.event_id, isouter=True)
    )  # fmt: skip


def _run(row: Any) -> RunRow:
    values = list(row)
    values[2] = values[2] or values[1]
    values[6] = agent_name(values[6])
    values[8] = values[8] or ""
    return RunRow(*values)


def _titled(conn: Connection, workspace_id: str, found: list[RunRow]) -> list[RunRow]:
    """Return the runs with number and title of their tasks."""
    tasks = schema.tasks.c
    numbers = {run.subject for run in found if run.subject}
    if not numbers:
        return found
    query = select(tasks.task_id, tasks.title).where(tasks.workspace_id == workspace_id, tasks.task_id.in_(numbers))
    known: dict[str, str] = dict(conn.execute(query).all())
    return [
        replace(run, task_id=run.subject, title=known[run.subject]) if run.subject in known else run for run in found
    ]


# Written out, not bound, as the partial indexes have it.
_TOUCHED = {name: schema.runs.c[name] > literal_column("0") for name in ("denied", "modified")}


def _where(workspace_id: str, filters: RunFilters) -> ColumnElement[bool]:
    runs = schema.runs.c
    status, callback = runs.status.expression, runs.callback_id.expression
    if filters.task or filters.event:
        # To SQLite their indexes look as good as the one of the task or the event, and the order in which the indexes
        # were made decides: what is added to a text is in no index.
        status, callback = status.concat(""), callback.concat("")
    conditions = [runs.workspace_id == workspace_id]
    if filters.status in _TOUCHED:
        conditions.append(_TOUCHED[filters.status])
    elif filters.status:
        conditions.append(status == filters.status)
    if filters.callback:
        conditions.append(callback == filters.callback)
    if filters.task:
        conditions.append(runs.subject == filters.task)
    if filters.event:
        conditions.append(runs.event_id == filters.event)
    return and_(*conditions)


def page(conn: Connection, workspace_id: str, filters: RunFilters, after: str) -> tuple[list[RunRow], str]:
    """Return a page of the list, newest first, and the id at which the next page begins (`""` at the end)."""
    runs = schema.runs.c
    query = _rows().where(_where(workspace_id, filters))
    if after:
        query = query.where(runs.id < after)
    rows = [_run(row) for row in conn.execute(query.order_by(runs.id.desc()).limit(PAGE + 1))]
    following = rows[PAGE - 1].id if len(rows) > PAGE else ""
    return _titled(conn, workspace_id, rows[:PAGE]), following


def alive(conn: Connection, workspace_id: str, filters: RunFilters) -> list[RunRow]:
    """Return what executes or waits now, for the top of the list; at most 20."""
    runs = schema.runs.c
    if filters.status or filters.task or filters.event:
        return []
    query = _rows().where(_where(workspace_id, filters), runs.status == "running")
    rows = [_run(row) for row in conn.execute(query.order_by(runs.id.desc()).limit(20))]
    return _titled(conn, workspace_id, rows)


def count(conn: Connection, workspace_id: str, filters: RunFilters) -> int:
    """Return how many runs there are, counted up to `COUNTED`: a list must not get slower with its length."""
    some = select(schema.runs.c.id).where(_where(workspace_id, filters)).limit(COUNTED).subquery()
    return conn.execute(select(func.count()).select_from(some)).scalar_one()


def callback_names(conn: Connection, workspace_id: str) -> list[tuple[str, str]]:
    """Return the callbacks to choose from, by name."""
    callbacks = schema.callbacks.c
    query = (
        select(callbacks.id, callbacks.name)
        .where(callbacks.workspace_id == workspace_id, callbacks.deleted_at.is_(None))
        .order_by(callbacks.name)
        .limit(200)
    )
    return list(conn.execute(query).all())


@dataclass(frozen=True, slots=True)
class RunStep:
    """A step of the chain that led to a run or an event."""

    event_id: str
    event: str
    run_id: str
    callback: str


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt of a run."""

    number: int
    worker: str
    started_at: float
    finished_at: float | None
    outcome: str | None
    error: str | None
    agent_kind: str | None
    agent_version: str | None
    model: str | None
    folder: str | None


@dataclass(frozen=True, slots=True)
class RunPage:
    """Everything but the timeline that a run's page shows."""

    run: RunRow
    prompt: str
    template: str
    context: dict[str, Any]
    input_tokens: int
    output_tokens: int
    tool_calls: int
    cost_usd: float | None
    conversation_id: str
    worker: str | None
    answer: str | None
    error: str | None
    retry_of: str | None
    cancelled_by: str | None
    cancel_requested: bool
    current_version: int | None
    operation: str | None
    batch_size: int
    attempts: tuple[AttemptRow, ...]
    chain: tuple[RunStep, ...]
    caused: tuple[tuple[str, str], ...]
    retries: tuple[str, ...]

    @property
    def newest_attempt(self) -> AttemptRow | None:
        """What works on it, or worked last; None before the first attempt."""
        return self.attempts[-1] if self.attempts else None


def chain_of(conn: Connection, workspace_id: str, stored: str | None) -> tuple[RunStep, ...]:
    """Return the links of a stored cause, with names."""
    links = json.loads(stored) if stored else []
    if not links:
        return ()
    events, callbacks = schema.events.c, schema.callbacks.c
    wanted = [link["eventId"] for link in links]
    named = dict(
        conn.execute(
            select(events.id, events.name).where(events.workspace_id == workspace_id, events.id.in_(wanted))
        ).all()
    )
    makers = dict(
        conn.execute(
            select(callbacks.id, callbacks.name).where(
                callbacks.workspace_id == workspace_id, callbacks.id.in_([link["callbackId"] for link in links])
            )
        ).all()
    )
    return tuple(
        RunStep(
            link["eventId"],
            named.get(link["eventId"], ""),
            link["runId"],
            makers.get(link["callbackId"], link["callbackId"]),
        )
        for link in links
    )


def one(conn: Connection, workspace_id: str, run_id: str) -> RunPage | None:
    """Return a run's page; None when the workspace has no such run."""
    runs, attempts, events = schema.runs.c, schema.attempts.c, schema.events.c
    head = conn.execute(_rows().where(runs.workspace_id == workspace_id, runs.id == run_id)).first()
    if head is None:
        return None
    run = _titled(conn, workspace_id, [_run(head)])[0]
    full = conn.execute(select(schema.runs).where(runs.workspace_id == workspace_id, runs.id == run_id)).one()
    tries = conn.execute(
        select(
            attempts.number,
            attempts.worker_id,
            attempts.started_at,
            attempts.finished_at,
            attempts.outcome,
            attempts.error,
            attempts.agent_kind,
            attempts.agent_version,
            attempts.model,
            attempts.folder,
        )
        .where(attempts.run_id == run_id)
        .order_by(attempts.number)
    )
    event = conn.execute(
        select(events.operation_id, events.cause).where(events.workspace_id == workspace_id, events.id == run.event_id)
    ).first()
    callbacks, batches = schema.callbacks.c, schema.batches.c
    current = conn.execute(select(callbacks.version).where(callbacks.id == run.callback_id)).scalar()
    versions = schema.callback_versions.c
    spec = conn.execute(
        select(versions.spec).where(versions.callback_id == run.callback_id, versions.version == run.version)
    ).scalar()
    size = conn.execute(select(batches.size).where(batches.id == run.batch_id)).scalar() if run.batch_id else 0
    # What it caused happened while it ran, about whatever; its own chain is in the event's.
    meanwhile = [events.id >= earliest("evt", run.queued_at - _SKEW_SECONDS)]
    if run.finished_at is not None:
        meanwhile.append(events.id < earliest("evt", run.finished_at + _SKEW_SECONDS))
    caused = conn.execute(
        select(events.id, events.name)
        .where(events.workspace_id == workspace_id, *meanwhile, events.cause.contains(run_id))
        .order_by(events.id)
        .limit(20)
    )
    retried = conn.execute(
        select(runs.id).where(runs.workspace_id == workspace_id, runs.event_id == run.event_id, runs.retry_of == run_id)
    )
    return RunPage(
        run, full.prompt, json.loads(spec).get("prompt", "") if spec else "",
        json.loads(full.context), full.input_tokens, full.output_tokens, full.tool_calls,
        full.cost_usd, full.conversation_id, full.worker_id, full.answer, full.error, full.retry_of,
        full.cancel_requested_by, full.cancel_requested_at is not None, current, event.operation_id if event else None,
        size or 0, tuple(AttemptRow(*tuple(row)) for row in tries),
        chain_of(conn, workspace_id, event.cause if event else None),
        tuple((row.id, row.name) for row in caused), tuple(retried.scalars()),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One entry of a run's timeline, as `runs.timeline` has stored it."""

    seq: int
    attempt: int
    at: float
    kind: str
    data: dict[str, Any]


def entries(conn: Connection, run_id: str, after: int = -1, limit: int = 20_000) -> list[TimelineEntry]:
    """Return entries after a number, in order. The caller has checked who may read the run."""
    table = schema.run_entries.c
    query = (
        select(table.seq, table.attempt, table.at, table.kind, table.data)
        .where(table.run_id == run_id, table.seq > after)
        .order_by(table.seq)
        .limit(limit)
    )
    return [TimelineEntry(row.seq, row.attempt, row.at, row.kind, json.loads(row.data)) for row in conn.execute(query)]


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Where a run stands, for its live stream."""

    workspace_id: str
    status: str
    started_at: float | None
    queued_at: float
    tool_calls: int


def standing(conn: Connection, run_id: str) -> RunProgress | None:
    """Return the progress of a run; None when there is none."""
    runs = schema.runs.c
    row = conn.execute(
        select(runs.workspace_id, runs.status, runs.started_at, runs.queued_at, runs.tool_calls).where(
            runs.id == run_id
        )
    ).first()
    return RunProgress(*row) if row else None
