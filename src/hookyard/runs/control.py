"""What people do to runs: cancel, and retry.

Called by the API, the pages and the command line through `wiring`. Every function takes the workspace and never looks
beyond it.
"""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from hookyard.core.errors import ConflictError, NotFoundError
from hookyard.core.ids import Ids, RunId, WorkspaceId
from hookyard.core.message_catalog import Message
from hookyard.core.run_status import FINAL, RunStatus, check
from hookyard.runs.admission import TOPIC
from hookyard.store.database import announce
from hookyard.store.schema import runs

CANCEL_TOPIC = "cancels"
"""Signalled when the cancellation of a running run was requested."""

_KEPT = (
    "workspace_id",
    "callback_id",
    "callback_version",
    "event_id",
    "batch_id",
    "prompt",
    "context",
    "agent",
    "timeout_seconds",
    "concurrency_key",
    "subject",
    "cause",
)
"""What a retry has in common with the run that it repeats."""


def cancelled_by(name: str) -> Message:
    """Return the reason of a run that a person cancelled."""
    return Message("run_cancelled", {"by": name})


def cancel(conn: Connection, workspace_id: WorkspaceId, run_id: RunId, *, by: str, now: float) -> RunStatus:
    """Cancel a run: at once while it waits; by its worker, soon, while it runs.

    Returns:
        The status after the call: `cancelled`, or `running` until its agent has ended.

    Raises:
        NotFoundError: No such run in the workspace.
        ConflictError: It has ended.
    """
    run = (runs.c.id == run_id) & (runs.c.workspace_id == workspace_id)
    waiting = conn.execute(
        update(runs)
        .where(run, runs.c.status == RunStatus.QUEUED.value)
        .values(
            status=RunStatus.CANCELLED.value,
            reason=cancelled_by(by).dumps(),
            cancel_requested_at=now,
            cancel_requested_by=by,
            finished_at=now,
        )
    ).rowcount
    if waiting:
        announce(conn, TOPIC, f"run:{run_id}", f"runs:{workspace_id}")
        return RunStatus.CANCELLED
    asked = conn.execute(
        update(runs)
        .where(run, runs.c.status == RunStatus.RUNNING.value, runs.c.cancel_requested_at.is_(None))
        .values(cancel_requested_at=now, cancel_requested_by=by)
    ).rowcount
    if not asked:
        check(_status(conn, workspace_id, run_id), RunStatus.CANCELLED)
    announce(conn, CANCEL_TOPIC, f"run:{run_id}")
    return RunStatus.RUNNING


def retry(conn: Connection, workspace_id: WorkspaceId, run_id: RunId, *, ids: Ids, now: float) -> RunId:
    """Queue a run again as a new one: the same event, version and prompt, in a new conversation.

    Returns:
        The new run's id.

    Raises:
        NotFoundError: No such run in the workspace.
        ConflictError: It has not ended.
    """
    status = _status(conn, workspace_id, run_id)
    if status not in FINAL:
        raise ConflictError("run_not_ended", status=status.value)
    row = conn.execute(select(*(runs.c[name] for name in _KEPT)).where(runs.c.id == run_id)).one()
    again = ids.run()
    conn.execute(
        insert(runs).values(
            **row._mapping,  # noqa: SLF001 - SQLAlchemy's public name of a row as a mapping
            id=again,
            conversation_id=ids.conversation(),
            status=RunStatus.QUEUED.value,
            retry_of=run_id,
            queued_at=now,
        )
    )
    announce(conn, TOPIC, f"runs:{workspace_id}")
    return again


def _status(conn: Connection, workspace_id: WorkspaceId, run_id: RunId) -> RunStatus:
    found = conn.execute(select(runs.c.status).where(runs.c.id == run_id, runs.c.workspace_id == workspace_id)).scalar()
    if found is None:
        raise NotFoundError("run_not_found", id=run_id)
    return RunStatus(found)
