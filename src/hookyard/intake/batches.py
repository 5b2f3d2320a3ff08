"""Batches that are open: events of one type for one callback, waiting to become one run.

Called by `gates` inside the transaction of an event. The window opens with the first event and does not slide; it
closes early at 100 events or 256 KiB. Closing only means that nothing can join any more; `merge` makes the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from hookyard.core.ids import BatchId, CallbackId, EventId, Ids, WorkspaceId
from hookyard.intake.match import CallbackListener
from hookyard.settings import LiveSettings
from hookyard.store import schema
from hookyard.store.database import announce
from hookyard.store.fast_sql import insert_rows

MAX_EVENTS = 100
MAX_BYTES = 256 * 1024

TOPIC = "batches"
"""Announced when a batch was opened or closed; the closing task listens."""


@dataclass(slots=True)
class EventBatch:
    """One batch, as the transaction leaves it."""

    id: BatchId
    workspace_id: WorkspaceId
    callback_id: CallbackId
    version: int
    event_name: str
    opened_at: float
    closes_at: float
    size: int
    bytes: int
    new: bool
    closed_at: float | None = None
    close_reason: str | None = None
    touched: bool = False

    def close(self, now: float, reason: str) -> None:
        """Close the batch: no event joins any more."""
        self.closed_at, self.close_reason, self.touched = now, reason, True


def is_over(opened_at: float, closes_at: float, now: float) -> bool:
    """Return whether a window is over; also when the clock was set back to before it could have opened."""
    return now >= closes_at or now < opened_at - (closes_at - opened_at)


def window_seconds(listener: CallbackListener, live: LiveSettings) -> float:
    """Return the merge window of a callback in seconds."""
    own = listener.spec.merge.window_ms
    return (live.number("eventCallback.mergeWindowMs") if own is None else own) / 1000


class Batches:
    """The open batches of some callbacks within one transaction. No other process may hold them: `gates` has the locks.

    Args:
        conn: The transaction.
        callbacks: The callbacks that events may be merged for.
        ids: Makes the ids of new batches.
        now: Seconds since the epoch.
    """

    def __init__(self, conn: Connection, callbacks: Iterable[CallbackId], ids: Ids, now: float) -> None:
        self._ids = ids
        self._now = now
        self._open: dict[tuple[CallbackId, str], EventBatch] = {}
        self._all: list[EventBatch] = []
        self._members: list[tuple[BatchId, EventId]] = []
        table = schema.batches
        rows = conn.execute(
            select(
                table.c.id, table.c.workspace_id, table.c.callback_id, table.c.callback_version, table.c.event_name,
                table.c.opened_at, table.c.closes_at, table.c.size, table.c.bytes,
            ).where(table.c.closed_at.is_(None), table.c.callback_id.in_(sorted(set(callbacks))))
        )  # fmt: skip
        for row in rows:
            batch = EventBatch(
                BatchId(row.id), WorkspaceId(row.workspace_id), CallbackId(row.callback_id), row.callback_version,
                row.event_name, row.opened_at, row.closes_at, row.size, row.bytes, new=False,
            )  # fmt: skip
            self._open[batch.callback_id, batch.event_name] = batch
            self._all.append(batch)

    def join(
        self,
        listener: CallbackListener,
        workspace_id: WorkspaceId,
        event_name: str,
        event_id: EventId,
        size: int,
        window: float,
    ) -> BatchId:
        """Put an event into the open batch, or into a new one.

        Args:
            listener: The callback.
            workspace_id: The workspace.
            event_name: The event's type.
            event_id: The event.
            size: Bytes of its variables.
            window: Seconds, for a new batch.
        """
        place = (listener.callback_id, event_name)
        batch = self._open.get(place)
        if batch is not None and (reason := self._full(batch, listener, size)):
            batch.close(self._now, reason)
            batch = None
        if batch is None:
            batch = EventBatch(
                self._ids.batch(), workspace_id, listener.callback_id, listener.version, event_name, self._now,
                self._now + window, 0, 0, new=True,
            )  # fmt: skip
            self._open[place] = batch
            self._all.append(batch)
        batch.size += 1
        batch.bytes += size
        batch.touched = True
        self._members.append((batch.id, event_id))
        if batch.size >= MAX_EVENTS or batch.bytes >= MAX_BYTES:
            batch.close(self._now, "size" if batch.size >= MAX_EVENTS else "bytes")
            del self._open[place]
        return batch.id

    def _full(self, batch: EventBatch, listener: CallbackListener, size: int) -> str | None:
        """Return why the open batch cannot take an event."""
        if is_over(batch.opened_at, batch.closes_at, self._now):
            return "window"
        if batch.version != listener.version:
            return "edited"
        return "bytes" if batch.bytes + size > MAX_BYTES else None

    def store(self, conn: Connection) -> None:
        """Write what has changed."""
        touched = [batch for batch in self._all if batch.touched]
        table = schema.batches
        # Those that were closed first: there is one open batch at a time.
        for batch in touched:
            if not batch.new:
                conn.execute(
                    table.update()
                    .where(table.c.id == batch.id)
                    .values(
                        size=batch.size, bytes=batch.bytes, closed_at=batch.closed_at, close_reason=batch.close_reason
                    )
                )
        insert_rows(conn, table, _COLUMNS, [_row(batch) for batch in touched if batch.new])
        insert_rows(conn, schema.batch_events, ("batch_id", "event_id"), self._members)
        if any(batch.new or batch.closed_at is not None for batch in touched):
            announce(conn, TOPIC)


_COLUMNS = (
    "id", "workspace_id", "callback_id", "callback_version", "event_name", "opened_at", "closes_at", "closed_at",
    "close_reason", "size", "bytes",
)  # fmt: skip


def _row(batch: EventBatch) -> tuple[object, ...]:
    return (
        batch.id, batch.workspace_id, batch.callback_id, batch.version, batch.event_name, batch.opened_at,
        batch.closes_at, batch.closed_at, batch.close_reason, batch.size, batch.bytes,
    )  # fmt: skip


def close_batches(conn: Connection, callback_id: CallbackId, now: float, reason: str) -> None:
    """Close whatever is open for a callback, because it is changed."""
    table = schema.batches
    closed = conn.execute(
        table.update()
        .where(table.c.callback_id == callback_id, table.c.closed_at.is_(None))
        .values(closed_at=now, close_reason=reason)
    )
    if closed.rowcount:
        announce(conn, TOPIC)


def lock_callbacks(conn: Connection, callbacks: Sequence[CallbackId]) -> None:
    """Keep other servers from counting and merging for these callbacks until the transaction ends.

    On SQLite the transaction has the database to itself anyway.
    """
    if conn.dialect.name == "sqlite" or not callbacks:
        return
    conn.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(hashtextextended(id, 1)) FROM unnest(%s::text[]) AS id",
        (sorted(set(callbacks)),),
    )


def lock_workspaces(conn: Connection, workspaces: Iterable[WorkspaceId], *, changing: bool = False) -> None:
    """Keep the callbacks of these workspaces as they are until the transaction ends; or change them alone.

    On SQLite the transaction has the database to itself anyway.
    """
    if conn.dialect.name == "sqlite":
        return
    function = "pg_advisory_xact_lock" if changing else "pg_advisory_xact_lock_shared"
    conn.exec_driver_sql(
        f"SELECT {function}(hashtextextended(id, 2)) FROM unnest(%s::text[]) AS id",  # noqa: S608
        (sorted(set(workspaces)),),
    )
