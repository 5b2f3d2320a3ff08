"""Connections to the one database: SQLite in the data folder, or PostgreSQL.

Called by `store.database`; nothing else opens the database. The errors of both databases are translated here into
`hookyard.core.errors`.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import NullPool, QueuePool

from hookyard.core.errors import HookyardError, PermanentError, UnavailableError
from hookyard.core.wal import use_wal
from hookyard.settings import SQLITE, checked_database
from hookyard.store import limits
from hookyard.store.fast_sql import execute

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
# Lock not available, serialization failure, deadlock, and a transaction that PostgreSQL ended because this process was
# held up in it: the same transaction may pass now.
_LOCKED = frozenset({"55P03", "40001", "40P01", "25P03"})
_FULL = frozenset({"53100"})
_READ_ONLY = frozenset({"25006"})
_SLOW = frozenset({"57014"})
# What a pooler says when it hands over a connection on which our prepared statements are not, or others are.
_POOLER = frozenset({"42P05", "26000", "08P01"})
_NOTHING_STORED = "nothing was stored"
# Of SQLite's error codes those that say that the statement is wrong, or its values; every other is a state of the file.
_OUR_FAULT = frozenset(
    {
        sqlite3.SQLITE_ERROR, sqlite3.SQLITE_INTERNAL, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH,
        sqlite3.SQLITE_MISUSE, sqlite3.SQLITE_RANGE, sqlite3.SQLITE_TOOBIG,
    }
)  # fmt: skip


def database_url(text: str) -> URL:
    """Return the URL with its driver.

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
    """Return whether the URL names a SQLite file."""
    return url.get_backend_name() == "sqlite"


def make_engine(url: URL, *, connections: int, read_only: bool = False) -> Engine:
    """Return an engine whose transactions are real ones on both databases.

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
    from hookyard.store import postgres  # and psycopg, which SQLite does without

    engine = create_engine(
        url,
        isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        connect_args=postgres.kernel_options(url),
        pool_pre_ping=True,  # a restart of the server is noticed before a transaction is lost to it
        pool_timeout=limits.READ_SECONDS,
        **options,
    )
    session = postgres.connect_options(url, read_only=read_only)

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: object, _record: object, arguments: Any, parameters: Any) -> Any:
        return postgres.connect(arguments[0] if arguments else "", session, **parameters)

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
    """Create the directory of a SQLite file, and the file, readable by the owner only: prompts and agents' texts are
    private. SQLite gives the files next to it the same mode."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise PermanentError(
            f"cannot make the data folder: {error.strerror or error}",
            where=str(path.parent),
            hint="give a folder that can be written, with --data",
        ) from error
    with contextlib.suppress(OSError):  # it is there, or cannot be made, which SQLite says in a moment
        path.touch(mode=0o600, exist_ok=False)


def translate(error: BaseException, where: str, *, maybe_stored: bool = False) -> HookyardError | None:
    """Return a database's error in hookyard's words; None for one that is our bug and not a state of the database.

    What is known to be a fault of a statement is none of the database's states; all else that a driver reports about
    its server is treated as an outage, which passes, because no list of such states is ever complete.

    Args:
        error: What the driver or SQLAlchemy raised.
        where: The database, without credentials.
        maybe_stored: The error came when a commit was under way.
    """
    if isinstance(error, PoolTimeoutError):
        return UnavailableError(
            "the database does not answer", where=where, hint=_NOTHING_STORED, retry_after=_AGAIN_SECONDS
        )
    if not isinstance(error, DBAPIError):
        return None
    if maybe_stored:
        return unconfirmed(where)
    state = getattr(error.orig, "sqlstate", None)
    text = str(error.orig).lower()
    if found := _permanent(text, where):
        return found
    for holds, what, hint, retry_after in _STATES:
        if holds(state, text):
            return UnavailableError(what, where=where, hint=hint, retry_after=retry_after)
    if not _is_outage(error, state):
        return None
    reason = _FATAL.search(str(error.orig))
    return UnavailableError(
        "the database cannot be reached" + (f": {reason[1]}" if reason else ""),
        where=where,
        hint="start it, or correct HOOKYARD_DATABASE_URL",
        retry_after=_AGAIN_SECONDS,
    )


def unconfirmed(where: str) -> UnavailableError:
    """Return the error of a write that may or may not have been committed."""
    return UnavailableError(
        "the database did not confirm the write, which perhaps was stored",
        where=where,
        hint="look for it, or send it again with the same id: then it is stored once",
        retry_after=_AGAIN_SECONDS,
        maybe_stored=True,
    )


_AGAIN_SECONDS = 2.0
_STATES: tuple[tuple[Callable[[str | None, str], bool], str, str, float], ...] = (
    (
        lambda state, text: state in _LOCKED or "database is locked" in text or "table is locked" in text,
        "the database is locked by somebody else",
        "end the other program that holds it, or try again",
        1.0,
    ),
    (
        lambda state, text: state in _FULL or "disk is full" in text or "no space left" in text,
        "the disk is full",
        "free some space; nothing was stored",
        10.0,
    ),
    (
        lambda _state, text: "disk i/o error" in text,
        "the disk cannot be written",
        "check the disk; nothing was stored",
        10.0,
    ),
    (
        lambda state, text: state in _READ_ONLY or "readonly database" in text or "unable to open database" in text,
        "the database cannot be written",
        "let it be written again (a standby has to be promoted, a data folder needs its permissions); "
        + _NOTHING_STORED,
        5.0,
    ),
    (
        lambda state, _text: state in _SLOW,
        "the database is too slow to answer",
        _NOTHING_STORED + "; try again when it has less to do",
        _AGAIN_SECONDS,
    ),
)
"""States that have a better answer than the general one: when it holds, what and what to do, seconds until the next
try."""


def _permanent(text: str, where: str) -> PermanentError | None:
    if "file is not a database" in text or "disk image is malformed" in text:
        return PermanentError(
            "the database is damaged, or is no database at all",
            where=where,
            hint="put a backup in its place, or give another with --data or HOOKYARD_DATABASE_URL",
        )
    if unknown := _OPTION.search(text):
        return PermanentError(
            f"PostgreSQL knows no option {unknown[1]!r} of a connection",
            where=where,
            hint="correct HOOKYARD_DATABASE_URL",
        )
    return None


def _is_outage(error: DBAPIError, state: str | None) -> bool:
    """Return whether the driver reports a state of its server rather than a mistake in a statement or its values."""
    if error.connection_invalidated or state in _POOLER:
        return True
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return isinstance(error.orig, sqlite3.OperationalError) and code & 0xFF not in _OUR_FAULT
    kinds = {kind.__name__ for kind in type(error.orig).__mro__}
    return bool(kinds & {"OperationalError", "InternalError", "InterfaceError"}) and not isinstance(
        error.orig, sqlite3.Error
    )


def is_contention(error: BaseException) -> bool:
    """Return whether the same transaction may pass when it is run again."""
    if not isinstance(error, DBAPIError):
        return False
    text = str(error.orig).lower()
    return getattr(error.orig, "sqlstate", None) in _LOCKED or "is locked" in text
