"""Rows in, many in one statement, by the driver itself: for the hottest statements.

Called by `callbacks.accept` and what it uses. Building them with SQLAlchemy costs more than the database does; and with
`executemany` Python's SQLite driver gives up the interpreter's lock and fights for it again for every single row. Every
value is a parameter; only names of our own schema become SQL text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite

AT_ONCE = 100
"""Rows of one statement: the databases allow some ten thousand parameters."""


def mark(conn: Connection) -> str:
    """The driver's placeholder of a parameter."""
    return "?" if conn.dialect.name == "sqlite" else "%s"


def insert_or_update(conn: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that takes `on_conflict_…`; each database has its own."""
    return sqlite.insert(table) if conn.dialect.name == "sqlite" else postgresql.insert(table)


def insert_rows(conn: Connection, table: Table, columns: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows, their values in the order of the columns.

    Args:
        conn: In a write.
        table: Where to.
        columns: Their names; the others must have defaults in the database or be nullable.
        rows: The values.
    """
    for start in range(0, len(rows), AT_ONCE):
        part = rows[start : start + AT_ONCE]
        statement = _insert(table, columns, len(part), mark(conn))
        conn.exec_driver_sql(statement, tuple(chain.from_iterable(part)))


@lru_cache(maxsize=1024)
def _insert(table: Table, columns: tuple[str, ...], rows: int, placeholder: str) -> str:
    for name in columns:
        assert name in table.c, f"{table.name} has no column {name}"
    names = ", ".join(columns)
    return f"INSERT INTO {table.name} ({names}) VALUES {values(rows, len(columns), placeholder)}"  # noqa: S608


def values(rows: int, columns: int, placeholder: str) -> str:
    """`(?, ?), (?, ?)`: the placeholders of rows for one statement."""
    row = "(" + ", ".join([placeholder] * columns) + ")"
    return ", ".join([row] * rows)
