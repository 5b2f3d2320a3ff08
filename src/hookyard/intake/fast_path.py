"""SQLite fast path: insert events that matched no callback in one statement.

Most events match no callback and repeat nothing: then nothing is left to decide, only to check, and SQLite can do that
itself. The rows go into a view; its trigger checks the revision, takes the claim and stores the event, or undoes it
all. View and trigger are temporary: they belong to the writer's connection and to no database. Called by `gates`, which
does the same in a transaction when this says no. Why: decision 0405.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from hookyard.intake.dedup import UNLESS_HELD
from hookyard.intake.event_repository import COLUMNS, event_row
from hookyard.intake.pending import PendingEvent, details_of
from hookyard.store.fast_sql import MAX_ROWS_PER_STATEMENT, execute, values_clause

_READY = "hookyard.unwanted"
_INTAKE = (*COLUMNS, "revision", "claim", "claimed_until")

_VIEW = f"CREATE TEMP VIEW IF NOT EXISTS intake AS SELECT {', '.join(f'NULL AS {name}' for name in _INTAKE)}"

# What RAISE says goes nowhere: the transaction that follows finds out for itself, and says it better.
_TRIGGER = f"""
CREATE TEMP TRIGGER IF NOT EXISTS intake_row INSTEAD OF INSERT ON intake BEGIN
    SELECT RAISE(ROLLBACK, 'moved')
    WHERE (SELECT revision FROM workspaces WHERE id = NEW.workspace_id) IS NOT NEW.revision;
    INSERT INTO claims (key, event_id, at, expires_at)
    SELECT NEW.claim, NEW.id, NEW.received_at, NEW.claimed_until WHERE NEW.claim IS NOT NULL
    {UNLESS_HELD};
    SELECT RAISE(ROLLBACK, 'held') WHERE changes() = 0 AND NEW.claim IS NOT NULL;
    INSERT INTO events ({", ".join(COLUMNS)}) VALUES ({", ".join(f"NEW.{name}" for name in COLUMNS)});
END
"""  # noqa: S608 - names of our own schema only


def store_unmatched(conn: Connection, judged: Sequence[tuple[int, PendingEvent]]) -> bool:
    """Store events, all or none.

    Args:
        conn: Of SQLite, in no transaction.
        judged: The revision of the callbacks that an event was judged by, and the event, judged.

    Returns:
        Whether they are stored, and committed; not when one of them is a duplicate, when callbacks have changed since,
        or when they are too many.

    Raises:
        DBAPIError: The database is locked, full or away; nothing was stored.
    """
    if not 0 < len(judged) <= MAX_ROWS_PER_STATEMENT:
        return False
    if _READY not in conn.info:
        execute(conn, _VIEW)
        execute(conn, _TRIGGER)
        conn.info[_READY] = True
    parameters: list[object] = []
    for revision, candidate in judged:
        parameters += event_row(candidate, candidate.verdicts, details_of(candidate))
        claim = candidate.claim
        parameters.append(revision)
        parameters += (None, None) if claim is None else (claim.key, claim.at + claim.seconds)
    try:
        execute(conn, _statement(len(judged)), parameters)
    except IntegrityError as error:
        if (
            isinstance(error.orig, sqlite3.IntegrityError)
            and error.orig.sqlite_errorname == "SQLITE_CONSTRAINT_TRIGGER"
        ):
            return False
        raise
    return True


@lru_cache(maxsize=MAX_ROWS_PER_STATEMENT)
def _statement(rows: int) -> str:
    return f"INSERT INTO intake VALUES {values_clause(rows, len(_INTAKE), '?')}"  # noqa: S608 - marks only
