"""Runs as the API shows them, read from their rows.

Used by `web.api.runs` and `web.api.events`; every query takes the workspace.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, select

from hookyard.agents.profiles import DEFAULT
from hookyard.core.clock import iso
from hookyard.core.errors import NotFoundError
from hookyard.core.ids import RunId, WorkspaceId
from hookyard.core.message_catalog import stored_fields
from hookyard.runs.timeline import EntryKind
from hookyard.store import schema

MAX_ENTRIES = 5000
"""Entries of a timeline in one answer, the newest."""

_RUNS, _CALLBACKS = schema.runs.c, schema.callbacks.c


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs a list shows; None = all.

    Attributes:
        status: Only of this status.
        callback: Only of this callback.
        event: Only started by this event.
    """

    status: str | None = None
    callback: str | None = None
    event: str | None = None


def list_runs(
    conn: Connection, workspace_id: WorkspaceId, only: RunFilter, before: str | None, limit: int
) -> Sequence[dict[str, Any]]:
    """Return runs, newest first, beginning after the id `before`."""
    query = _summaries().where(_RUNS.workspace_id == workspace_id)
    wanted = ((_RUNS.status, only.status), (_RUNS.callback_id, only.callback), (_RUNS.event_id, only.event))
    for column, value in wanted:
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(_RUNS.id < before)
    return [_summary(row) for row in conn.execute(query.order_by(_RUNS.id.desc()).limit(limit))]


def get_run(conn: Connection, workspace_id: WorkspaceId, run_id: RunId) -> dict[str, Any]:
    """Return one run with everything stored about it.

    Raises:
        NotFoundError: No such run in the workspace.
    """
    query = _summaries().add_columns(_RUNS.prompt, _RUNS.context, _RUNS.cause, _RUNS.answer)
    row = conn.execute(query.where(_RUNS.workspace_id == workspace_id, _RUNS.id == run_id)).first()
    if row is None:
        raise NotFoundError("no such run", where=run_id)
    return {
        **_summary(row),
        "prompt": row.prompt,
        "event": {"id": row.event_id, **json.loads(row.context)},
        "cause": json.loads(row.cause) if row.cause else [],
        "answer": row.answer,
        "attempts": _attempts(conn, run_id),
        **_timeline(conn, run_id),
    }


def _summaries() -> Select[Any]:
    columns = [column for column in schema.runs.c if column.name not in ("prompt", "context", "cause", "answer")]
    return select(*columns, _CALLBACKS.name.label("callback_name")).outerjoin(
        schema.callbacks, (_CALLBACKS.id == _RUNS.callback_id) & (_CALLBACKS.workspace_id == _RUNS.workspace_id)
    )


def _summary(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "status": row.status,
        **stored_fields("reason", row.reason),
        "callbackId": row.callback_id,
        "callbackName": row.callback_name,
        "callbackVersion": row.callback_version,
        "eventId": row.event_id,
        "batchId": row.batch_id,
        "conversationId": row.conversation_id,
        "retryOf": row.retry_of,
        "agent": json.loads(row.agent) if row.agent.startswith("{") else row.agent or DEFAULT.name,
        "attempt": row.attempt,
        "queuedAt": iso(row.queued_at),
        "startedAt": _when(row.started_at),
        "finishedAt": _when(row.finished_at),
        "cancelRequestedBy": row.cancel_requested_by,
        **stored_fields("error", row.error),
        "snippet": row.snippet,
        "usage": {
            "inputTokens": row.input_tokens,
            "outputTokens": row.output_tokens,
            "toolCalls": row.tool_calls,
            "costUsd": row.cost_usd,
        },
        "denied": row.denied,
        "modified": row.modified,
    }


def _attempts(conn: Connection, run_id: RunId) -> list[dict[str, Any]]:
    table = schema.attempts
    return [
        {
            "number": row.number,
            "workerId": row.worker_id,
            "startedAt": iso(row.started_at),
            "finishedAt": _when(row.finished_at),
            "outcome": row.outcome,
            **stored_fields("error", row.error),
            "agent": {
                "kind": row.agent_kind,
                "version": row.agent_version,
                "model": row.model,
                "folder": row.folder,
            },
        }
        for row in conn.execute(select(table).where(table.c.run_id == run_id).order_by(table.c.number))
    ]


def _timeline(conn: Connection, run_id: RunId) -> dict[str, Any]:
    table = schema.run_entries
    newest = select(table).where(table.c.run_id == run_id).order_by(table.c.seq.desc()).limit(MAX_ENTRIES)
    total = conn.execute(select(func.count()).select_from(table).where(table.c.run_id == run_id)).scalar_one()
    messages: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    decisions: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    usage: list[dict[str, Any]] = []
    unanswered: dict[tuple[int, str], dict[str, Any]] = {}
    for row in reversed(conn.execute(newest).all()):
        data = json.loads(row.data)
        shown = {"at": iso(row.at), "attempt": row.attempt, **data}
        match row.kind:
            case EntryKind.MESSAGE:
                shown["content"] = shown.pop("text")
                messages.append(shown)
            case EntryKind.TOOL_CALL:
                unanswered[row.attempt, data["callId"]] = shown
                calls.append(shown)
            case EntryKind.TOOL_RESULT:
                # The call itself is there unless it is among what is left out.
                call = unanswered.pop((row.attempt, data["callId"]), None)
                (calls.append(shown) if call is None else call.update(data))
            case EntryKind.DECISION:
                decisions.append(shown)
            case EntryKind.USAGE:
                usage.append(shown)
            case _:
                notes.append(shown)
    return {
        "messages": messages,
        "toolCalls": calls,
        "decisions": decisions,
        "notes": notes,
        "usageByTurn": usage,
        "entriesLeftOut": max(0, total - MAX_ENTRIES),
    }


def _when(at: float | None) -> str | None:
    return None if at is None else iso(at)
