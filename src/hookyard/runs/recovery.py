"""Heartbeats, dead workers, stuck runs: what keeps a run from being lost with the process that executed it.

Called by `worker`. A dead worker's unfinished runs are queued again (or failed, as the callback says) by the worker
that notices first, in one transaction that also removes the worker's row, so that it happens once. Admission then
starts them like any other run, as their next attempt.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from hookyard.core.ids import WorkerId
from hookyard.core.message_catalog import Message
from hookyard.core.run_status import LOST, RunStatus
from hookyard.runs.admission import DELETED, DISABLED, TOPIC, RunTokens
from hookyard.runs.completion import OrphanedAttempt, RunOutcome, fail_orphaned, requeue
from hookyard.runs.control import cancelled_by
from hookyard.runs.queue import Execution
from hookyard.store.database import announce
from hookyard.store.schema import attempts, callback_versions, callbacks, runs, workers

logger = logging.getLogger(__name__)

DIED = Message("worker_died")
STOPPED = Message("worker_stopped")
STUCK = Message("run_stalled")
CUT_OFF = Message("worker_cut_off")
UNCONFIRMED = Message("start_unconfirmed")

NOT_COUNTED = (STOPPED, CUT_OFF, UNCONFIRMED)
"""Ends of attempts that do not count against `runs.maxAttempts`: the run had no part in them."""

_LOST_COLUMNS = (
    runs.c.id,
    runs.c.workspace_id,
    runs.c.attempt,
    runs.c.reserved_tokens,
    runs.c.input_tokens,
    runs.c.output_tokens,
    runs.c.cost_usd,
    runs.c.cancel_requested_by,
    attempts.c.started_at.label("attempt_started_at"),
    callback_versions.c.spec,
)


@dataclass(frozen=True, slots=True)
class Recovered:
    """The result for lost runs: how many were queued again, and how many ended."""

    queued: int = 0
    ended: int = 0


def register(conn: Connection, worker_id: WorkerId, now: float, details: Mapping[str, Any]) -> None:
    """Write this worker down; before that it may admit nothing."""
    conn.execute(
        insert(workers).values(
            id=worker_id,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=now,
            heartbeat_at=now,
            details=json.dumps(dict(details)),
        )
    )


def heartbeat(conn: Connection, worker_id: WorkerId, now: float) -> bool:
    """Store the worker's heartbeat; return False when others treated it as dead and have requeued its runs.

    Its value only ever rises: a clock that was set back must not make it look silent.
    """
    row = workers.c.id == worker_id
    previous = conn.execute(select(workers.c.heartbeat_at).where(row)).scalar()
    if previous is None:
        return False
    value = max(now, previous + 0.001)
    return bool(conn.execute(update(workers).where(row).values(heartbeat_at=value)).rowcount)


def is_registered(conn: Connection, worker_id: WorkerId) -> bool:
    """Return whether the worker may admit runs; until the transaction ends no other worker can treat it as dead."""
    row = select(workers.c.id).where(workers.c.id == worker_id)
    return conn.execute(row.with_for_update(read=True, key_share=True)).first() is not None


def come_back(conn: Connection, worker_id: WorkerId, now: float, details: Mapping[str, Any]) -> None:
    """Register again a worker that others took for dead. What it was executing was no fault of those runs."""
    register(conn, worker_id, now, details)
    lost = (attempts.c.worker_id == worker_id, attempts.c.outcome == LOST, attempts.c.error == DIED.dumps())
    conn.execute(update(attempts).where(*lost).values(error=CUT_OFF.dumps()))


@dataclass(frozen=True, slots=True)
class OtherWorker:
    """Another worker that is registered, or that a running run names.

    Attributes:
        worker_id: Its id.
        heartbeat_at: Its newest heartbeat; None when it is not registered.
        details: What it registered with.
    """

    worker_id: WorkerId
    heartbeat_at: float | None
    details: Mapping[str, Any] = field(default_factory=dict)


def list_workers(conn: Connection, worker_id: WorkerId) -> list[OtherWorker]:
    """Return all other workers that may have left runs."""
    columns = select(workers.c.id, workers.c.heartbeat_at, workers.c.details)
    known = {row.id: (row.heartbeat_at, json.loads(row.details)) for row in conn.execute(columns)}
    named = conn.execute(select(runs.c.worker_id).where(runs.c.status == RunStatus.RUNNING.value).distinct()).scalars()
    names = {*known, *(name for name in named if name)} - {worker_id}
    return [OtherWorker(WorkerId(name), *known.get(name, (None, {}))) for name in sorted(names)]


def recover_worker(
    conn: Connection, dead: OtherWorker, max_attempts: int, now: float, tokens: RunTokens
) -> Recovered | None:
    """Start again, or end, what a dead worker was executing; None when it turned out to be alive."""
    if dead.heartbeat_at is not None:
        row = (workers.c.id == dead.worker_id) & (workers.c.heartbeat_at == dead.heartbeat_at)
        if not conn.execute(delete(workers).where(row)).rowcount:
            return None
    return _recover(conn, _running_on(conn, dead.worker_id), DIED, max_attempts, now, tokens)


def deregister(conn: Connection, worker_id: WorkerId, now: float, tokens: RunTokens) -> Recovered:
    """Requeue what the worker could not finish, and remove its row; the worker's last step."""
    recovered = _recover(conn, _running_on(conn, worker_id), STOPPED, None, now, tokens)
    conn.execute(delete(workers).where(workers.c.id == worker_id))
    return recovered


def requeue_stalled(
    conn: Connection,
    worker_id: WorkerId,
    stuck: Collection[Execution],
    max_attempts: int,
    now: float,
    tokens: RunTokens,
    why: Message = STUCK,
) -> Recovered:
    """Start again runs that this worker is said to execute and does not, for the reason given."""
    keys = {(execution.run_id, execution.attempt) for execution in stuck}
    rows = [row for row in _running_on(conn, worker_id) if (row.id, row.attempt) in keys]
    return _recover(conn, rows, why, max_attempts, now, tokens)


def running_here(conn: Connection, worker_id: WorkerId) -> list[Execution]:
    """Return the attempts that the database assigns to this worker."""
    mine = select(runs.c.id, runs.c.attempt).where(
        runs.c.status == RunStatus.RUNNING.value, runs.c.worker_id == worker_id
    )
    return [Execution(row.id, row.attempt) for row in conn.execute(mine)]


def skip_unwanted(conn: Connection, now: float) -> int:
    """Skip the runs of disabled and deleted callbacks that have not started, without waiting for their turn."""
    skipped = 0
    for which, reason in (
        (callbacks.c.deleted_at.is_not(None), DELETED),
        (callbacks.c.enabled.is_(False) & callbacks.c.deleted_at.is_(None), DISABLED),
    ):
        unwanted = (
            select(runs.c.id)
            .join(callbacks, callbacks.c.id == runs.c.callback_id)
            .where(runs.c.status == RunStatus.QUEUED.value, runs.c.attempt == 0, which)
        )
        skipped += conn.execute(
            update(runs)
            .where(runs.c.id.in_(unwanted), runs.c.status == RunStatus.QUEUED.value)
            .values(status=RunStatus.SKIPPED.value, reason=reason.dumps(), finished_at=now)
        ).rowcount
    if skipped:
        announce(conn, TOPIC)
    return skipped


def _running_on(conn: Connection, worker_id: str) -> Sequence[Any]:
    return conn.execute(
        select(*_LOST_COLUMNS)
        .join(attempts, (attempts.c.run_id == runs.c.id) & (attempts.c.number == runs.c.attempt))
        .outerjoin(
            callback_versions,
            (callback_versions.c.callback_id == runs.c.callback_id)
            & (callback_versions.c.version == runs.c.callback_version),
        )
        .where(runs.c.status == RunStatus.RUNNING.value, runs.c.worker_id == worker_id)
        .order_by(runs.c.id)
    ).all()


def _recover(
    conn: Connection, rows: Sequence[Any], why: Message, max_attempts: int | None, now: float, tokens: RunTokens
) -> Recovered:
    queued = ended = 0
    for row in rows:
        lost = OrphanedAttempt(row, why)
        outcome = _instead_of_a_restart(conn, row, why, max_attempts)
        if outcome is None:
            queued += requeue(conn, lost, now, tokens)
        else:
            ended += fail_orphaned(conn, lost, outcome, now, tokens)
    return Recovered(queued, ended)


def _instead_of_a_restart(conn: Connection, row: Any, why: Message, max_attempts: int | None) -> RunOutcome | None:
    """How a lost run ends; None when it is started again. `max_attempts` None = however often that was."""
    if row.cancel_requested_by is not None:
        return RunOutcome(RunStatus.CANCELLED, reason=cancelled_by(row.cancel_requested_by))
    if why in NOT_COUNTED:
        max_attempts = None
    if max_attempts is not None and (tries := row.attempt - _not_counted(conn, row.id)) >= max_attempts:
        return RunOutcome(RunStatus.FAILED, error=_attempts_exhausted(why, tries, max_attempts))
    if json.loads(row.spec or "{}").get("afterCrash") == "fail":
        return RunOutcome(RunStatus.FAILED, error=Message("restart_not_wanted", {"cause": why}))
    return None


def _attempts_exhausted(why: Message, tries: int, max_attempts: int) -> Message:
    return Message("attempts_exhausted", {"cause": why, "attempt": tries, "max_attempts": max_attempts})


def _not_counted(conn: Connection, run_id: str) -> int:
    """How many attempts of a run ended without any fault of its own: no number of deployments, and no outage of the
    database, may end a run that takes long."""
    ended = select(func.count()).where(
        attempts.c.run_id == run_id, attempts.c.error.in_([why.dumps() for why in NOT_COUNTED])
    )
    return int(conn.execute(ended).scalar_one())
