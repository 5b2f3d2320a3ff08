"""Rows in, many in one statement, by the driver itself: for the hottest statements.

Called by `intake.accept` and what it uses. Building them with SQLAlchemy costs more than the database does; and with
`executemany` Python's SQLite driver gives up the interpreter's lock and fights for it again for every single row. Every
value is a parameter; only names of our own schema become SQL text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Protocol, cast

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

MAX_ROWS_PER_STATEMENT = 100
"""Rows of one statement: the databases allow some ten thousand parameters."""


class SqlResult(Protocol):
    """What a statement gave, whichever way it was run."""

    @property
    def rowcount(self) -> int:
        """Rows that it inserted, updated or deleted."""
        ...

    def __iter__(self) -> Iterator[Any]: ...


def execute(conn: Connection, statement: str, parameters: Sequence[object] = ()) -> SqlResult:
    """Run a statement as it stands.

    On SQLite by the driver alone: what SQLAlchemy puts around a statement costs several times the statement. A round
    trip to PostgreSQL costs more than either, and there SQLAlchemy notices that a connection was lost.

    Args:
        conn: In a transaction.
        statement: With the driver's placeholders, see `placeholder_of`.
        parameters: Their values.

    Raises:
        DBAPIError: The driver's error, as SQLAlchemy raises it.
    """
    if conn.dialect.name != "sqlite":
        return conn.exec_driver_sql(statement, tuple(parameters))
    driver = cast("sqlite3.Connection", conn.connection.driver_connection)
    try:
        return driver.execute(statement, parameters)
    except sqlite3.Error as error:
        raise DBAPIError.instance(statement, None, error, sqlite3.Error, dialect=conn.dialect) from error


def placeholder_of(conn: Connection) -> str:
    """Return the driver's placeholder of a parameter."""
    return "?" if conn.dialect.name == "sqlite" else "%s"


def insert_or_update(conn: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT that takes `on_conflict_…`; each database has its own."""
    return sqlite.insert(table) if conn.dialect.name == "sqlite" else postgresql.insert(table)


def insert_rows(conn: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, their values in the order of the columns.

    Args:
        conn: In a write.
        table: Where to.
        columns: Their names; the others must have defaults in the database or be nullable.
        rows: The values.
    """
    for start in range(0, len(rows), MAX_ROWS_PER_STATEMENT):
        part = rows[start : start + MAX_ROWS_PER_STATEMENT]
        execute(conn, _insert(table, columns, len(part), placeholder_of(conn)), tuple(chain.from_iterable(part)))


@lru_cache(maxsize=1024)
def _insert(table: Table, columns: tuple[str, ...], rows: int, placeholder: str) -> str:
    for name in columns:
        assert name in table.c, f"{table.name} has no column {name}"
    names = ", ".join(columns)
    return f"{insert_into(placeholder)} {table.name} ({names}) VALUES {values_clause(rows, len(columns), placeholder)}"


def insert_into(placeholder: str) -> str:
    """Return the beginning of a statement that inserts several rows.

    By default SQLite can undo such a statement alone, and copies every page that it touches to be able to. We undo the
    transaction or the savepoint that it is in.
    """
    return "INSERT OR FAIL INTO" if placeholder == "?" else "INSERT INTO"


def values_clause(rows: int, columns: int, placeholder: str) -> str:
    """Return `(?, ?), (?, ?)`: the placeholders of rows for one statement."""
    row = "(" + ", ".join([placeholder] * columns) + ")"
    return ", ".join([row] * rows)
