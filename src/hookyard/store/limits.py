"""How long anything may wait for the database, in seconds, and the deadline of the running thread.

Read by everything in `store` that waits. The limits build on each other, and all of them are shorter than the lease of
a worker (`worker.leaseSeconds`):

- A lock is waited for `LOCK_SECONDS`; then the transaction is rolled back and tried again, so a ring of waiting
  processes always comes apart.
- PostgreSQL ends a statement after `STATEMENT_SECONDS` and a transaction whose client says nothing after
  `IDLE_SECONDS`: that is how long a process that was frozen inside a transaction keeps its locks.
- A client gives up a connection when a transaction is not over after `WRITE_SECONDS` or `READ_SECONDS`: longer than
  PostgreSQL's own limits, so a server that is alive answers first, and only silence gets here.
- A caller gets an answer after `ANSWER_SECONDS` at the latest, whatever holds up the thread that does the work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOCK_SECONDS = 2.0
STATEMENT_SECONDS = 4.0
IDLE_SECONDS = 4.0
CONNECT_SECONDS = 3
WRITE_SECONDS = 5.0
READ_SECONDS = 8.0
ANSWER_SECONDS = 8.0
PATIENCE_SECONDS = 6.0
"""How long a write is tried again while another process holds the database; shorter than the caller waits."""

CLOSE_SECONDS = 6.0
"""What the writes that still wait get when the process ends."""

READ_STATEMENT_SECONDS = 7.0
PRUNE_SECONDS = 60.0
"""A look for rows that may be deleted; the deletions themselves are short, since events wait for them."""

MIGRATION_SECONDS = 3600.0
"""A migration may rewrite a large table; it runs before anything else does."""

_local = threading.local()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Bound every wait of this thread for PostgreSQL, all of them together, until the block ends."""
    before = getattr(_local, "until", None)
    until = time.monotonic() + seconds
    _local.until = until if before is None else min(before, until)
    try:
        yield
    finally:
        _local.until = before


def remaining() -> float | None:
    """Return the seconds that this thread may still wait; None when nothing bounds it."""
    until: float | None = getattr(_local, "until", None)
    return None if until is None else until - time.monotonic()
