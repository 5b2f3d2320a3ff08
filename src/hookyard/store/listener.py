"""Signals between processes on PostgreSQL: what one announces in a transaction, the others hear when it commits.

Used by `store.database` only. One connection of its own waits for notifications; when it is lost it is opened again,
and everybody is woken, since something may have been missed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Sequence

import psycopg
from sqlalchemy import URL, Connection, text

from hookyard.store import limits, postgres
from hookyard.store.signals import Signals

_CHANNEL = "hookyard"
_PAYLOAD_BYTES = 7000  # PostgreSQL refuses 8000
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")
_RECONNECT_SECONDS = 1.0
_STOP_CHECK_SECONDS = 5.0


def send_topics(conn: Connection, topics: Sequence[str], sender: str) -> None:
    """Tell the other processes when this transaction commits.

    Args:
        conn: In the transaction.
        topics: What to announce.
        sender: Who announces it; its own listener leaves it out.
    """
    part: list[str] = []
    size = 0
    for topic in dict.fromkeys(topics):
        size += len(topic.encode()) + 1
        if size > _PAYLOAD_BYTES:
            _send(conn, part, sender)
            part, size = [], len(topic.encode()) + 1
        part.append(topic)
    _send(conn, part, sender)


def _send(conn: Connection, topics: Sequence[str], sender: str) -> None:
    conn.execute(_NOTIFY, {"channel": _CHANNEL, "payload": "\n".join((sender, *topics))})


class NotificationListener:
    """The listening connection and its thread.

    Args:
        url: The PostgreSQL database.
        signals: Receives what other processes announce.
        ourselves: The sender that is left out, since it has notified the signals itself.
    """

    def __init__(self, url: URL, signals: Signals, ourselves: str) -> None:
        self._conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._parameters = postgres.kernel_options(url)
        self._session = postgres.connect_options(url)
        self._signals = signals
        self._ourselves = ourselves
        self._stopping = threading.Event()
        self._listening = threading.Event()
        self._connection: psycopg.Connection[tuple[object, ...]] | None = None
        self._thread = threading.Thread(target=self._work, name="db-listen", daemon=True)

    def start(self) -> None:
        """Begin to listen; returns when it does, or after five seconds without a database."""
        self._thread.start()
        self._listening.wait(5.0)

    def stop(self) -> None:
        """End the thread and the connection."""
        self._stopping.set()
        connection = self._connection
        if connection is not None and not connection.closed:
            # Ends the wait at once; a connection may not be closed by another thread than the one that waits on it.
            with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as own:
                own.shutdown(socket.SHUT_RDWR)
        self._thread.join(_STOP_CHECK_SECONDS + 2)

    def _work(self) -> None:
        while not self._stopping.is_set():
            try:
                self._listen()
            except (psycopg.Error, OSError):
                self._stopping.wait(_RECONNECT_SECONDS)

    def _listen(self) -> None:
        with postgres.connect(self._conninfo, self._session, autocommit=True, **self._parameters) as connection:
            self._connection = connection
            with limits.deadline(limits.WRITE_SECONDS):
                connection.execute(f"LISTEN {_CHANNEL}")
            if self._listening.is_set():
                self._signals.notify_all()
            self._listening.set()
            while not self._stopping.is_set():
                for notification in connection.notifies(timeout=_STOP_CHECK_SECONDS):
                    sender, *topics = notification.payload.split("\n")
                    if sender != self._ourselves:
                        self._signals.notify(*topics)
                # A connection that nothing comes from may be one that nothing can come from any more.
                with limits.deadline(limits.WRITE_SECONDS):
                    connection.execute("SELECT 1")
