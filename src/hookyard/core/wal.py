"""SQLite's write-ahead log: switching a file to it while others open the same file.

Used by `store.engine` and `hooks.outbox.sqlite_thread`, which share nothing else. SQLite waits for other connections
nearly everywhere; of several that switch a new file at once it refuses all but one on the spot, since two that waited
for each other would never end ("database is locked", at random, at the first start of several processes).
"""

from __future__ import annotations

import sqlite3
import time

_RETRY_SECONDS = 0.005


def use_wal(connection: sqlite3.Connection, *, patience_seconds: float) -> None:
    """Switch the file of a connection to a write-ahead log.

    Args:
        connection: Outside a transaction.
        patience_seconds: How long to try while other connections are in the way.

    Raises:
        sqlite3.OperationalError: They still are, or the file cannot be used.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return
