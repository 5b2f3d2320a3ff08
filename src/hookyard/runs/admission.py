"""Admission: which queued runs start now, on this worker.

Called by `worker`, which is woken by the commit of an event, the end of a run, a changed setting. One short transaction
takes what the limit of all workers, this worker's own cap, the keys, the quotas and fair sharing allow, and marks it as
running. A run holds its place from here until its result is stored (`completion`).

Right with several workers: on SQLite there is one writer at a time anyway; on PostgreSQL admissions exclude one another
by an advisory lock that is only ever tried, never waited for, since other writes share the transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from sqlalchemy import Connection, Row, bindparam, func, insert, select, text, update

from hookyard.core.ids import RunId, WorkerId
from hookyard.core.message_catalog import Message
from hookyard.core.run_status import RunStatus
from hookyard.runs.claim import COLUMNS, AdmittedRun, claimed
from hookyard.runs.quota import Budget, Quotas, add, day_of
from hookyard.runs.scheduler import fair_order
from hookyard.store.database import announce
from hookyard.store.schema import attempts, callbacks, events, run_entries, runs

TOPIC = "runs"
"""Signalled when a run was queued or has ended."""

PAGE = 50
_LOCK = 0x61646D69  # "admi", the advisory lock

DISABLED = Message("callback_disabled_before_start")
DELETED = Message("callback_deleted_before_start")


class RunTokens(Protocol):
    """Gives a run its token of scope `run`, within the transactions that begin and end it."""

    def issue(self, conn: Connection, claim: AdmittedRun) -> str:
        """Return a new token, `""` when the run's agent needs none."""
        ...

    def revoke(self, conn: Connection, run_ids: Sequence[RunId]) -> None:
        """Make every token of the runs useless."""
        ...


class NoTokens:
    """Gives none."""

    def issue(self, conn: Connection, claim: AdmittedRun) -> str:
        """Return no token."""
        return ""

    def revoke(self, conn: Connection, run_ids: Sequence[RunId]) -> None:
        """Do nothing: there is no token to revoke."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds one admission.

    Attributes:
        everywhere: Runs executing at once, all workers together.
        here: Runs executing at once on this worker.
        quotas: Of every workspace.
    """

    everywhere: int
    here: int
    quotas: Quotas = field(default_factory=Quotas)


@dataclass(frozen=True, slots=True)
class Admitted:
    """What one admission did.

    Attributes:
        claims: The runs that start now, in order.
        contended: Another worker was admitting: try again in a moment.
    """

    claims: tuple[AdmittedRun, ...] = ()
    contended: bool = False


def admit(conn: Connection, worker_id: WorkerId, limits: Limits, now: float, tokens: RunTokens) -> Admitted:
    """Take the runs that may start on this worker now, and mark them as running."""
    if not _alone(conn):
        return Admitted(contended=True)
    holding, here = _free_slots(conn, worker_id)
    places = min(limits.everywhere - sum(holding.values()), limits.here - here)
    oldest = _oldest(conn) if places > 0 else {}
    if not oldest:
        return Admitted()
    queue = _Queue(conn, limits.quotas, now)
    chosen = list(fair_order(places, holding, oldest, queue.waiting))
    queue.tell_those_left()
    return Admitted(tuple(_begin(conn, worker_id, chosen, now, tokens)))


def _alone(conn: Connection) -> bool:
    if conn.dialect.name == "sqlite":
        return True
    return bool(conn.execute(select(func.pg_try_advisory_xact_lock(_LOCK))).scalar())


_FREE_SLOTS = (
    select(
        runs.c.workspace_id,
        func.count(),
        func.count().filter(runs.c.worker_id == bindparam("worker")),
    )
    .where(runs.c.status == RunStatus.RUNNING.value)
    .group_by(runs.c.workspace_id)
)


def _free_slots(conn: Connection, worker_id: str) -> tuple[dict[str, int], int]:
    """Return the slots held by each workspace, and by all of them on this worker."""
    rows = conn.execute(_FREE_SLOTS, {"worker": worker_id}).all()
    return {workspace: count for workspace, count, _ in rows}, sum(here for _, _, here in rows)


# One step of the index (status, workspace_id, id) for each workspace that waits, however many runs each has: a DISTINCT
# would read them all.
_OLDEST = text(
    """
    WITH RECURSIVE waiting(workspace_id) AS (
      SELECT min(workspace_id) FROM runs WHERE status = 'queued'
      UNION ALL
      SELECT (SELECT min(r.workspace_id) FROM runs r WHERE r.status = 'queued' AND r.workspace_id > w.workspace_id)
      FROM waiting w WHERE w.workspace_id IS NOT NULL
    )
    SELECT w.workspace_id,
           (SELECT min(r.id) FROM runs r WHERE r.status = 'queued' AND r.workspace_id = w.workspace_id)
    FROM waiting w WHERE w.workspace_id IS NOT NULL
    """
)


def _oldest(conn: Connection) -> dict[str, str]:
    """Return the id of the oldest waiting run of every workspace that has one."""
    return {row[0]: row[1] for row in conn.execute(_OLDEST)}


_KEYS_IN_USE = (
    select(runs.c.concurrency_key)
    .where(runs.c.status == RunStatus.RUNNING.value, runs.c.concurrency_key.is_not(None))
    .distinct()
)
_WAITING = (
    select(*COLUMNS, callbacks.c.enabled, callbacks.c.deleted_at)
    .outerjoin(callbacks, callbacks.c.id == runs.c.callback_id)
    .outerjoin(events, events.c.id == runs.c.event_id)
    .where(
        runs.c.status == RunStatus.QUEUED.value,
        runs.c.workspace_id == bindparam("workspace"),
        runs.c.id > bindparam("after"),
        (runs.c.concurrency_key.is_(None) | runs.c.concurrency_key.not_in(bindparam("busy", expanding=True))),
    )
    .order_by(runs.c.id)
    .limit(PAGE)
)


_SKIP = (
    update(runs)
    .where(runs.c.id == bindparam("run"), runs.c.status == RunStatus.QUEUED.value)
    .values(status=RunStatus.SKIPPED.value, reason=bindparam("why"), finished_at=bindparam("at"))
)
_HOLD_UP = (
    update(runs)
    .where(
        runs.c.id == bindparam("run"),
        runs.c.status == RunStatus.QUEUED.value,
        runs.c.reason.is_distinct_from(bindparam("why")),
    )
    .values(reason=bindparam("why"))
)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A row of `COLUMNS` that may start, and the tokens that it may use."""

    row: Row[Any]
    token_limit: int | None


class _Queue:
    """The waiting runs within one admission: what may start, what is skipped, what must wait and why."""

    def __init__(self, conn: Connection, quotas: Quotas, now: float) -> None:
        self._conn = conn
        self._quotas = quotas
        self._now = now
        self._busy: set[str] = set(conn.execute(_KEYS_IN_USE).scalars())
        self._skipped: list[tuple[str, Message]] = []
        self._held_up: list[tuple[str, Message]] = []

    def waiting(self, workspace: str) -> Iterator[tuple[str, _Chosen]]:
        """Yield the runs of a workspace that may start, oldest first; each counts as started when the next is
        requested."""
        budget: Budget | None = None
        for row in self._pages(workspace):
            if row.concurrency_key is not None and row.concurrency_key in self._busy:
                continue
            gone = None if row.attempt else _gone(row)
            if gone is not None:
                self._skipped.append((row.id, gone))
                continue
            budget = budget or Budget(self._conn, workspace, self._quotas, self._now)
            obstacle = budget.obstacle()
            if obstacle is not None:
                self._held_up.append((row.id, obstacle))
                return
            limit = budget.limit()
            yield row.id, _Chosen(row, limit)
            budget.take(limit)
            if row.concurrency_key is not None:
                self._busy.add(row.concurrency_key)

    def tell_those_left(self) -> None:
        """Write down why runs were skipped, and why the first of a workspace waits."""
        if self._skipped:
            self._conn.execute(_SKIP, [{"run": run, "why": why.dumps(), "at": self._now} for run, why in self._skipped])
            announce(self._conn, *(f"run:{run}" for run, _ in self._skipped))
        if self._held_up:
            self._conn.execute(_HOLD_UP, [{"run": run, "why": why.dumps()} for run, why in self._held_up])

    def _pages(self, workspace: str) -> Iterator[Any]:
        after = ""
        while True:
            values = {"workspace": workspace, "after": after, "busy": list(self._busy)}
            page = self._conn.execute(_WAITING, values).all()
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].id


def _gone(row: Any) -> Message | None:
    """Why a run's callback does not want it any more; None when it does."""
    if row.deleted_at is not None or row.enabled is None:
        return DELETED
    return None if row.enabled else DISABLED


_START = (
    update(runs)
    .where(runs.c.id.in_(bindparam("ids", expanding=True)), runs.c.status == RunStatus.QUEUED.value)
    .values(
        status=RunStatus.RUNNING.value,
        attempt=runs.c.attempt + 1,
        worker_id=bindparam("worker"),
        started_at=func.coalesce(runs.c.started_at, bindparam("now")),
        reason=None,
    )
    .returning(runs.c.id)
)
_RESERVE = update(runs).where(runs.c.id == bindparam("run")).values(reserved_tokens=bindparam("tokens"))


def _begin(
    conn: Connection, worker_id: WorkerId, chosen: Sequence[_Chosen], now: float, tokens: RunTokens
) -> Iterator[AdmittedRun]:
    """Mark the chosen runs as running; one that was cancelled in this very moment is left out."""
    if not chosen:
        return
    started = set(conn.execute(_START, {"ids": [c.row.id for c in chosen], "worker": worker_id, "now": now}).scalars())
    chosen = [c for c in chosen if c.row.id in started]
    if not chosen:
        return
    conn.execute(
        insert(attempts),
        [{"run_id": c.row.id, "number": c.row.attempt + 1, "worker_id": worker_id, "started_at": now} for c in chosen],
    )
    day = day_of(now)
    for one in chosen:
        if one.token_limit is not None:
            conn.execute(_RESERVE, {"run": one.row.id, "tokens": one.token_limit})
            add(conn, one.row.workspace_id, day, reserved=one.token_limit)
        claim = claimed(
            one.row, started_at=now, day=day, token_limit=one.token_limit, first_entry=_first_entry(conn, one.row)
        )
        yield replace(claim, run_token=tokens.issue(conn, claim))
    announce(conn, *(f"run:{c.row.id}" for c in chosen), *{f"runs:{c.row.workspace_id}" for c in chosen})


def _first_entry(conn: Connection, row: Row[Any]) -> int:
    """Return where the timeline of this attempt continues; nothing was written before the first."""
    if not row.attempt:
        return 0
    newest = conn.execute(select(func.max(run_entries.c.seq)).where(run_entries.c.run_id == row.id)).scalar()
    return 0 if newest is None else newest + 1
