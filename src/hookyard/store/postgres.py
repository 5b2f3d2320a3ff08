"""Connections to PostgreSQL on which no wait is without an end.

Used by `store.engine` and `store.listener`; imported only where PostgreSQL is used. Silence ends in three ways, since
each catches what the others cannot see: PostgreSQL's own timeouts end statements and idle transactions; the kernels of
both sides probe for a peer that is gone; and the client looks at its own deadline, because a proxy or a firewall may go
on answering for a peer that it has lost.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from typing import Any, TypeVar

import psycopg
from sqlalchemy import URL, Connection, text

from hookyard.store import limits

T = TypeVar("T")

_KERNEL: Mapping[str, str | int] = {
    "connect_timeout": limits.CONNECT_SECONDS,
    "application_name": "hookyard",
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5000,
}
"""Parameters of libpq; one that the URL gives itself holds instead."""

_SESSION: Mapping[str, str] = {
    "lock_timeout": f"{limits.LOCK_SECONDS * 1000:.0f}",
    "statement_timeout": f"{limits.STATEMENT_SECONDS * 1000:.0f}",
    "idle_in_transaction_session_timeout": f"{limits.IDLE_SECONDS * 1000:.0f}",
    # The server's side: it frees the locks of a client whose machine is gone. Its default is two hours.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "5000",
}


class SilentError(psycopg.OperationalError):
    """The server did not answer before the thread's deadline; the connection is closed."""


class LimitedConnection(psycopg.Connection[Any]):
    """A connection that is closed when an answer does not come before `limits.deadline`."""

    def wait(self, gen: Generator[Any, Any, T], *args: Any, **kwargs: Any) -> T:
        """Wait with the thread's deadline; every wait of an open psycopg connection passes through here."""
        left = limits.remaining()
        if left is None:
            return super().wait(gen, *args, **kwargs)
        try:
            return super().wait(_ending(gen, time.monotonic() + left), *args, **kwargs)
        except SilentError:
            self.pgconn.finish()
            raise


def _ending(gen: Generator[Any, Any, T], until: float) -> Generator[Any, Any, T]:
    """Wrap a generator so that it raises when it is resumed after a moment without anything to read or write. psycopg
    resumes it every tenth of a second."""
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if not ready and time.monotonic() >= until:
                raise SilentError("the server does not answer")
            wanted = gen.send(ready)
    except StopIteration as end:
        value: T = end.value
        return value


def connect_options(url: URL, *, read_only: bool = False) -> dict[str, str]:
    """Return the settings of a session by name.

    Args:
        url: Of the database; what its `options` set themselves is left alone.
        read_only: For the reading transactions, whose statements may take longer.
    """
    given = str(url.query.get("options", ""))
    wanted = dict(_SESSION)
    if read_only:
        wanted["statement_timeout"] = f"{limits.READ_STATEMENT_SECONDS * 1000:.0f}"
    return {name: value for name, value in wanted.items() if name not in given}


def kernel_options(url: URL) -> dict[str, str | int]:
    """Return libpq's parameters that the URL does not give itself."""
    return {name: value for name, value in _KERNEL.items() if name not in url.query}


def connect(conninfo: str, session: Mapping[str, str], **parameters: Any) -> LimitedConnection:
    """Open a connection, with the limits of its session set.

    The limits are set by a statement, since poolers such as PgBouncer refuse most startup parameters.

    Raises:
        psycopg.Error: It cannot be opened within `limits.CONNECT_SECONDS` for each address.
    """
    with limits.deadline(limits.WRITE_SECONDS):
        connection = LimitedConnection.connect(conninfo, **{**parameters, "autocommit": True})
        try:
            if session:
                calls = ", ".join(["set_config(%s, %s, false)"] * len(session))
                connection.execute(f"SELECT {calls}".encode(), [word for pair in session.items() for word in pair])
            connection.autocommit = bool(parameters.get("autocommit", False))
        except BaseException:
            connection.close()
            raise
        return connection


def lengthen(conn: Connection, seconds: float) -> None:
    """Let the statements of this transaction take longer; its locks are waited for as long."""
    value = f"{seconds * 1000:.0f}"
    idle = f"{min(seconds, 60.0) * 1000:.0f}"
    conn.execute(
        text(
            "SELECT set_config('statement_timeout', :value, true), set_config('lock_timeout', :idle, true),"
            " set_config('idle_in_transaction_session_timeout', :idle, true)"
        ),
        {"value": value, "idle": idle},
    )
