"""Stored events, read back: for merging, replays, the trace and the time machine."""

from __future__ import annotations

import json

from sqlalchemy import Connection, RowMapping, select

from hookyard.errors import NotFoundError
from hookyard.events.model import NO_CAUSE, AuthorTrust, Cause, Event
from hookyard.ids import EventId, WorkspaceId
from hookyard.store import schema


def read_event(row: RowMapping) -> Event:
    """The event of a row of `events`."""
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
    """The row of an event.

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
    """The newest events of a workspace, newest first."""
    table = schema.events
    query = select(table).where(table.c.workspace_id == workspace_id).order_by(table.c.id.desc()).limit(limit)
    return list(conn.execute(query).mappings())
