"""What can be taken once for a while: an event's id or content (event dedupe), an operation by a callback (operation
dedupe).

Called by `accept` inside its transaction. The unique key of the table decides, so that it holds for several
servers. A claim that is over is taken over in place. One that was made in a future that the clock has been set back
from is over too, as soon as now lies further before it than its own length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy import Connection

from hookyard.core.ids import EventId
from hookyard.store.fast_sql import MAX_ROWS_PER_STATEMENT, execute, insert_into, placeholder_of, values_clause

KEPT_SECONDS = 7 * 86_400.0
"""How long ids and operations are remembered (contract, sections 4 and 5)."""

UNLESS_HELD = (
    "ON CONFLICT (key) DO UPDATE SET event_id = excluded.event_id, at = excluded.at, expires_at = excluded.expires_at"
    " WHERE claims.expires_at <= excluded.at OR claims.at - (claims.expires_at - claims.at) > excluded.at"
)
"""How an INSERT into `dedup` ends: what is free or over is taken, what is held stays untouched."""


class DedupKey(NamedTuple):
    """One wish to be the first. A named tuple, as one is made for every event: see `pending`.

    Attributes:
        key: What is claimed.
        event_id: The event that claims it.
        at: Seconds since the epoch.
        seconds: How long it holds.
    """

    key: bytes
    event_id: EventId
    at: float
    seconds: float


def hash_key(*parts: str) -> bytes:
    """Return the key of what the parts name; parts are kept apart whatever they contain."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(raw))
        digest.update(raw)
    return digest.digest()


def claim_all(conn: Connection, claims: Sequence[DedupKey]) -> list[EventId | None]:
    """Take what is free; of equal claims the first in the list has it.

    Returns:
        For each claim None when it was taken, else the event that holds it.
    """
    first: dict[bytes, int] = {}  # index of the first claim of each key
    for index, claim in enumerate(claims):
        first.setdefault(claim.key, index)
    # Sorted, so that two servers that claim the same things wait for each other in one order.
    wanted = [claims[first[name]] for name in sorted(first)]
    if _insert(conn, wanted) == len(wanted):
        if len(wanted) == len(claims):  # what nearly always happens
            return [None] * len(claims)
        holders = {claim.key: claim.event_id for claim in wanted}
    else:
        holders = _holders(conn, [claim.key for claim in wanted])
    return [
        None if first[claim.key] == index and holders[claim.key] == claim.event_id else holders[claim.key]
        for index, claim in enumerate(claims)
    ]


def _insert(conn: Connection, claims: Sequence[DedupKey]) -> int:
    """Insert the claims and return how many were new."""
    taken = 0
    for start in range(0, len(claims), MAX_ROWS_PER_STATEMENT):
        part = claims[start : start + MAX_ROWS_PER_STATEMENT]
        parameters: list[object] = []
        for claim in part:
            parameters += (claim.key, claim.event_id, claim.at, claim.at + claim.seconds)
        taken += execute(conn, _statement(len(part), placeholder_of(conn)), tuple(parameters)).rowcount
    return taken


@lru_cache(maxsize=256)
def _statement(rows: int, placeholder: str) -> str:
    return (
        f"{insert_into(placeholder)} claims (key, event_id, at, expires_at)"
        f" VALUES {values_clause(rows, 4, placeholder)} {UNLESS_HELD}"
    )


def _holders(conn: Connection, keys: Sequence[bytes]) -> dict[bytes, EventId]:
    held: dict[bytes, EventId] = {}
    for start in range(0, len(keys), MAX_ROWS_PER_STATEMENT):
        part = keys[start : start + MAX_ROWS_PER_STATEMENT]
        marks = ", ".join([placeholder_of(conn)] * len(part))
        rows = execute(conn, f"SELECT key, event_id FROM claims WHERE key IN ({marks})", tuple(part))  # noqa: S608
        held.update((bytes(k), EventId(e)) for k, e in rows)
    return held
