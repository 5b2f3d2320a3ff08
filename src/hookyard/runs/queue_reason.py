"""Why a queued run has not started: the API and the run's page ask when it is shown, since writing it into
every waiting row would cost more than the runs.

Only the current obstacle is reported, in the order in which `admission` asks.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from hookyard.core.message_catalog import Message
from hookyard.core.run_status import RunStatus
from hookyard.core.verdicts import quota_hold
from hookyard.settings import LiveSettings
from hookyard.store.schema import runs, workers

ALIVE_SECONDS = 60.0
"""A worker without a heartbeat for that long is shown as gone."""

NO_WORKER = Message("waits_no_worker")
SLOTS_FULL = Message("waits_slots_full")
WORKERS_FULL = Message("waits_workers_full")


def explain_wait(conn: Connection, run_id: str, live: LiveSettings, now: float) -> Message | None:
    """Return why a run has not started yet.

    Args:
        conn: A read.
        run_id: The run.
        live: The settings in effect.
        now: Seconds since the epoch.

    Returns:
        None when it does not wait, or nothing holds it up.
    """
    waiting = select(runs.c.workspace_id, runs.c.concurrency_key, runs.c.reason).where(
        runs.c.id == run_id, runs.c.status == RunStatus.QUEUED.value
    )
    row = conn.execute(waiting).first()
    if row is None or row.reason is not None:
        return None if row is None else Message.loads(row.reason)
    alive = conn.execute(select(func.count()).where(workers.c.heartbeat_at > now - ALIVE_SECONDS)).scalar_one()
    if not alive:
        return NO_WORKER
    if row.concurrency_key is not None and (other := _with_key(conn, row.concurrency_key)) is not None:
        return Message("waits_concurrency_key", {"run": other})
    # Of a workspace that a quota holds up only the oldest run says so.
    quota = _of_the_oldest(conn, row.workspace_id)
    if quota is not None and quota_hold(RunStatus.QUEUED, quota) is not None:
        return Message.loads(quota)
    executing = conn.execute(select(func.count()).where(runs.c.status == RunStatus.RUNNING.value)).scalar_one()
    if executing >= live.number("eventCallback.maxQueueSize"):
        return SLOTS_FULL
    return WORKERS_FULL if executing >= alive * live.number("worker.maxRuns") else None


def _with_key(conn: Connection, key: str) -> str | None:
    """Return the run that executes with a concurrency key."""
    holder = select(runs.c.id).where(runs.c.status == RunStatus.RUNNING.value, runs.c.concurrency_key == key)
    return conn.execute(holder.limit(1)).scalar()


def _of_the_oldest(conn: Connection, workspace_id: str) -> str | None:
    """Return the reason of the run that has waited longest."""
    queued = (runs.c.workspace_id == workspace_id, runs.c.status == RunStatus.QUEUED.value)
    return conn.execute(select(runs.c.reason).where(*queued).order_by(runs.c.id).limit(1)).scalar()
