"""What the outbox keeps after a delivery is done: listing, replay, and how much of it stays.

Called by `outbox` through its file's thread; each function runs inside one transaction. Pending deliveries stay.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from hookyard.hooks.delivery.delivery_log import Delivery, DeliveryState
from hookyard.hooks.outbox.schema import COLUMNS, delivery_of, insert

_AT_ONCE = 1000
_PAGES = ("page_count", "freelist_count", "page_size")


@dataclass(frozen=True, slots=True)
class HistoryLimits:
    """Which finished deliveries stay.

    Attributes:
        older_than: Wall clock; those made before go.
        most_rows: How many of each state stay.
        most_bytes: How much their bodies and answers may hold, for each state.
    """

    older_than: float
    most_rows: int
    most_bytes: int


def record(connection: sqlite3.Connection, delivery: Delivery) -> None:
    """Store a delivery that an agent waited for, or its newer state; a pending one is left alone."""
    insert(
        connection,
        delivery,
        None,
        "",
        "DO UPDATE SET state = excluded.state, attempts = excluded.attempts, result = excluded.result,"
        " message = excluded.message WHERE lane IS NULL",
    )


def record_all(connection: sqlite3.Connection, deliveries: Sequence[Delivery]) -> None:
    """Store several deliveries that agents waited for."""
    for delivery in deliveries:
        record(connection, delivery)


def list_deliveries(
    connection: sqlite3.Connection, state: DeliveryState | None, webhook: str | None, before: str | None, limit: int
) -> list[Delivery]:
    """Return deliveries, newest first; `before` is the id at which a page continues."""
    rows = connection.execute(
        f"SELECT {COLUMNS} FROM delivery WHERE (:state IS NULL OR state = :state)"  # noqa: S608 - constants
        " AND (:webhook IS NULL OR webhook = :webhook)"
        " AND (:before IS NULL OR seq < (SELECT seq FROM delivery WHERE id = :before)) ORDER BY seq DESC LIMIT :limit",
        {"state": state.value if state else None, "webhook": webhook, "before": before, "limit": limit},
    ).fetchall()
    return [delivery_of(row) for row in rows]


def get(connection: sqlite3.Connection, delivery_id: str) -> tuple[Delivery, int | None] | None:
    """Return a delivery and its queue, None for the queue when it is recorded only; None when there is none."""
    row = connection.execute(
        f"SELECT lane, {COLUMNS} FROM delivery WHERE id = ?",  # noqa: S608 - constants
        (delivery_id,),
    ).fetchone()
    return None if row is None else (delivery_of(row[1:]), row[0])


def replay(connection: sqlite3.Connection, delivery_id: str, new_id: str) -> None:
    """Owe a delivery once more, at the end of its lane, under a given id; with its own id it keeps its attempts."""
    if new_id == delivery_id:
        connection.execute(
            "UPDATE delivery SET state = 'pending', result = NULL, message = '',"
            " seq = (SELECT max(seq) + 1 FROM delivery) WHERE id = ?",
            (delivery_id,),
        )
        return
    connection.execute(
        "INSERT INTO delivery (id, lane, fingerprint, state, webhook, event, format, url, request, created_at,"
        " session_id, run_id, workspace_id) SELECT ?, lane, fingerprint, 'pending', webhook, event, format, url,"
        " request, created_at, session_id, run_id, workspace_id FROM delivery WHERE id = ?",
        (new_id, delivery_id),
    )


def prune(connection: sqlite3.Connection, keeping: HistoryLimits) -> int:
    """Delete finished deliveries that are too old or too many, oldest first; pending ones are never touched.

    Deletes at most a thousand at once, so that no caller waits long for the file. Returns how many.
    """
    deleted = 0
    find = _too_heavy if used_bytes(connection) > keeping.most_bytes else _too_many
    for state in ("delivered", "failed", "dead"):
        rows = find(connection, state, keeping, _AT_ONCE - deleted)
        connection.executemany("DELETE FROM delivery WHERE seq = ?", rows)
        deleted += len(rows)
    return deleted


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes that the file holds, without free pages."""
    pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in _PAGES)
    return int((pages - free) * size)


def _too_many(connection: sqlite3.Connection, state: str, keeping: HistoryLimits, limit: int) -> list[tuple[int]]:
    """Return the oldest of a state beyond the number or the age; looks at no more than the limit."""
    held = connection.execute("SELECT count(*) FROM delivery WHERE state = ?", (state,)).fetchone()[0]
    return connection.execute(
        "SELECT seq FROM (SELECT seq, created_at, row_number() OVER (ORDER BY seq) AS n"
        " FROM delivery WHERE state = ? ORDER BY seq LIMIT ?) WHERE n <= ? OR created_at < ?",
        (state, limit, held - keeping.most_rows, keeping.older_than),
    ).fetchall()


def _too_heavy(connection: sqlite3.Connection, state: str, keeping: HistoryLimits, limit: int) -> list[tuple[int]]:
    """Return the oldest of a state beyond the bytes that the newer ones hold; reads all of a state, so only when the
    file is large."""
    return connection.execute(
        "SELECT seq FROM (SELECT seq, created_at, row_number() OVER newest AS n,"
        " sum(length(request) + length(attempts)) OVER newest AS size"
        " FROM delivery WHERE state = ? WINDOW newest AS (ORDER BY seq DESC))"
        " WHERE created_at < ? OR n > ? OR size > ? ORDER BY seq LIMIT ?",
        (state, keeping.older_than, keeping.most_rows, keeping.most_bytes, limit),
    ).fetchall()
