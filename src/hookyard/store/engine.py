"""Connections to the one database: SQLite in the data folder, or PostgreSQL.

Called by `store.database`; nothing else opens the database. The errors of both databases are translated here into
`hookyard.errors`.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from hookyard.errors import HookyardError, PermanentError, TemporaryError
from hookyard.settings import SQLITE, checked_database
from hookyard.store.rows import execute
from hookyard.wal import use_wal

BUSY_TIMEOUT_MS = 5000
"""How long SQLite itself waits for another connection's lock before it gives up."""

_PRAGMAS = (
    f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}",
    # FULL: a commit that was answered with 2xx is on the disk, not only in the system's memory, so that a loss of
    # power loses nothing either. Group commit pays for it: decision 0401 has the figures.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16000",  # KiB a connection
    "PRAGMA wal_autocheckpoint = 4000",  # pages
    "PRAGMA journal_size_limit = 67108864",  # bytes that the WAL keeps after a checkpoint
)

_FATAL = re.compile(r"FATAL: +(.{1,200})")  # as PostgreSQL refuses a connection, such as `database "x" does not exist`
_OPTION = re.compile(r'invalid connection option "([^"]*)"')
_LOCKED = frozenset({"55P03", "40001", "40P01"})  # lock not available, serialization failure, deadlock
_FULL = frozenset({"53100"})
_AWAY = frozenset({"08", "53", "57"})  # classes: connection, resources, operator intervention


def database_url(text: str) -> URL:
    """The URL with its driver.

    Args:
        text: `sqlite:///PATH`, `postgresql://…` or `postgres://…`.

    Raises:
        InvalidError: See `settings.checked_database`.
    """
    text = checked_database(text)
    if text.startswith(SQLITE):
        # Not by `make_url`, which would cut a path at ? and take %41 in it for A: another folder than the one meant.
        return URL.create("sqlite", database=text.removeprefix(SQLITE))
    return make_url("postgresql+psycopg://" + text.partition("://")[2])


def is_sqlite(url: URL) -> bool:
    """Whether the URL names a SQLite file."""
    return url.get_backend_name() == "sqlite"


def make_engine(url: URL, *, connections: int, read_only: bool = False) -> Engine:
    """An engine whose transactions are real ones on both databases.

    On SQLite a writing transaction takes the write lock when it begins (`BEGIN IMMEDIATE`), so that it can wait for it;
    a read-only one sees one snapshot. On PostgreSQL a writing transaction is READ COMMITTED, a read-only one
    REPEATABLE READ.

    Args:
        url: From `database_url`.
        connections: Most connections at once.
        read_only: Refuse writes.

    Raises:
        PermanentError: SQLite's folder cannot be made.
    """
    options: dict[str, Any] = {"poolclass": QueuePool, "pool_size": connections, "max_overflow": 0}
    if connections == 0:
        options = {"poolclass": NullPool}
    if is_sqlite(url):
        _make_place(Path(url.database or ""))
        engine = create_engine(
            url, connect_args={"check_same_thread": False, "cached_statements": 512, "timeout": 5.0}, **options
        )
        _prepare_sqlite(engine, read_only=read_only)
        return engine
    engine = create_engine(
        url,
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        connect_args={"connect_timeout": 5, "application_name": "hookyard"},
        pool_pre_ping=True,  # a restart of the server is noticed before a transaction is lost to it
        **options,
    )
    if read_only:

        @event.listens_for(engine, "connect")
        def _read_only(connection: Any, _record: object) -> None:
            connection.read_only = True

    return engine


def _prepare_sqlite(engine: Engine, *, read_only: bool) -> None:
    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _record: object) -> None:
        # The driver would begin transactions by its own rules: hand that over to SQLAlchemy's "begin" below.
        connection.isolation_level = None
        use_wal(connection, patience_seconds=BUSY_TIMEOUT_MS / 1000)
        for pragma in _PRAGMAS:
            connection.execute(pragma).close()
        if read_only:
            connection.execute("PRAGMA query_only = ON").close()

    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        execute(connection, begin)


def _make_place(path: Path) -> None:
    """The folder of a SQLite file, and the file: prompts and what agents said are nobody else's to read. SQLite gives
    the files beside it the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise PermanentError(
            f"cannot make the data folder: {error.strerror or error}",
            where=str(path.parent),
            mend="give a folder that can be written, with --data",
        ) from error
    with contextlib.suppress(OSError):  # it is there, or cannot be made, which SQLite says in a moment
        path.touch(mode=0o600, exist_ok=False)


def translate(error: BaseException, where: str) -> HookyardError | None:
    """The error of a database in hookyard's words; None for one that is a fault of ours and no state of the database.

    Args:
        error: What the driver or SQLAlchemy raised.
        where: The database, without credentials.
    """
    if not isinstance(error, DBAPIError):
        return None
    state = getattr(error.orig, "sqlstate", None)
    text = str(error.orig).lower()
    if state in _LOCKED or "database is locked" in text or "database table is locked" in text:
        return TemporaryError(
            "the database is locked by somebody else",
            where=where,
            mend="end the other program that holds it, or try again",
            retry_after=1.0,
        )
    if state in _FULL or "disk is full" in text or "no space left" in text:
        return TemporaryError(
            "the disk is full", where=where, mend="free some space; nothing was stored", retry_after=10.0
        )
    if "disk i/o error" in text:
        return TemporaryError(
            "the disk cannot be written", where=where, mend="check the disk; nothing was stored", retry_after=10.0
        )
    if "readonly database" in text or "unable to open database" in text:
        return PermanentError(
            "the database cannot be written", where=where, mend="give a data folder that can be written, with --data"
        )
    if "file is not a database" in text or "disk image is malformed" in text:
        return PermanentError(
            "the database is damaged, or is no database at all",
            where=where,
            mend="put a backup in its place, or give another with --data or HOOKYARD_DATABASE_URL",
        )
    if unknown := _OPTION.search(text):
        return PermanentError(
            f"PostgreSQL knows no option {unknown[1]!r} of a connection",
            where=where,
            mend="correct HOOKYARD_DATABASE_URL",
        )
    if error.connection_invalidated or str(state)[:2] in _AWAY or (state is None and _never_connected(error)):
        reason = _FATAL.search(str(error.orig))
        return TemporaryError(
            "the database cannot be reached" + (f": {reason[1]}" if reason else ""),
            where=where,
            mend="start it, or correct HOOKYARD_DATABASE_URL",
            retry_after=2.0,
        )
    return None


def is_contention(error: BaseException) -> bool:
    """Whether the same transaction may pass if it is simply run again."""
    if not isinstance(error, DBAPIError):
        return False
    text = str(error.orig).lower()
    return getattr(error.orig, "sqlstate", None) in _LOCKED or "is locked" in text


def _never_connected(error: DBAPIError) -> bool:
    # psycopg's connection errors carry no SQLSTATE.
    return type(error.orig).__name__ == "OperationalError" and type(error.orig).__module__.startswith("psycopg")
