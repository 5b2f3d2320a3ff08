"""`/workspaces/{w}/events`: what happened, and the verdict of every gate for every callback; replay.

Sending an event is `web.ingest`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from sqlalchemy import Connection, select

from hookyard.core.clock import iso
from hookyard.core.ids import EventId, WorkspaceId
from hookyard.intake.event_repository import StoredEvent
from hookyard.intake.trace import CallbackVerdict, read_traces
from hookyard.store import schema
from hookyard.web.api.access import MemberAccess, ServicesDep
from hookyard.web.api.bodies import Body
from hookyard.web.api.paging import DEFAULT_LIMIT, Cursor, page, unpack

router = APIRouter(tags=["events"])

_PATH = "/workspaces/{workspace}/events"


class Replay(Body):
    """How an event is replayed."""

    callbacks: Literal["now", "then"] = "now"


@router.get(_PATH)
async def list_events(
    services: ServicesDep,
    access: MemberAccess,
    limit: Annotated[int, Query(ge=1, le=100, description="Items of one page")] = DEFAULT_LIMIT,
    cursor: Cursor = None,
    name: str | None = None,
    subject: str | None = None,
) -> dict[str, Any]:
    """List events, newest first, with the verdict of the gates for every callback."""
    (before,) = unpack(cursor, str) or (None,)
    found = await services.database.read(
        lambda conn: _list(conn, access.workspace_id, name, subject, before, limit + 1)
    )
    return page(found, limit, lambda event: event, lambda event: (event["id"],))


@router.get(_PATH + "/{event}")
async def get_event(services: ServicesDep, access: MemberAccess, event: str) -> dict[str, Any]:
    """Return one event, with the verdict of the gates for every callback of the workspace."""
    stored, verdicts = await services.history.get(access.workspace_id, EventId(event))
    return show(stored, verdicts)


@router.post(_PATH + "/{event}/replay", status_code=HTTPStatus.ACCEPTED)
async def replay_event(
    services: ServicesDep, access: MemberAccess, event: str, body: Replay | None = None
) -> dict[str, Any]:
    """Accept an event once more, as a new operation, for the callbacks of now or of then."""
    wanted = "now" if body is None else body.callbacks
    accepted = await services.history.replay(access.workspace_id, EventId(event), callbacks=wanted)
    answer: dict[str, Any] = {"id": accepted.event_id, "replayOf": event, "runs": list(accepted.runs)}
    return answer if accepted.batch_id is None else {**answer, "batchId": accepted.batch_id}


def _list(
    conn: Connection, workspace_id: WorkspaceId, name: str | None, subject: str | None, before: str | None, limit: int
) -> list[dict[str, Any]]:
    table = schema.events
    query = select(table).where(table.c.workspace_id == workspace_id)
    for column, value in ((table.c.name, name), (table.c.subject, subject)):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(table.c.id < before)
    rows = conn.execute(query.order_by(table.c.id.desc()).limit(limit)).mappings().all()
    traces = read_traces(conn, rows)
    return [show(StoredEvent.of(row), verdicts) for row, verdicts in zip(rows, traces, strict=True)]


def show(stored: StoredEvent, verdicts: Sequence[CallbackVerdict]) -> dict[str, Any]:
    """Return an event as the API shows it: its facts, its variables in `variables`, and its outcomes."""
    event = stored.event
    return {
        "id": event.id,
        "eventName": event.name,
        "timestamp": event.timestamp,
        "workspaceId": event.workspace_id,
        "receivedAt": iso(event.received_at),
        "source": event.source,
        "sourceId": event.source_id,
        "operationId": event.operation_id,
        "authorTrust": event.author_trust.value,
        "causes": event.cause.as_list(),
        "replayOf": stored.replay_of,
        "duplicates": stored.duplicates,
        "variables": dict(event.variables),
        "callbacks": [verdict.as_dict() for verdict in verdicts],
    }
