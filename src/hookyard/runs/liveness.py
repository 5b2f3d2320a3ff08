"""Which workers are alive: by a lock that the kernel frees where all share one machine, by a lease elsewhere.

Used by `recovery`. A worker that is wrongly taken for dead harms no data, since every write is fenced by the attempt;
but its agents would go on beside those of the next attempt, so both ways err on the side of alive.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

from hookyard.clock import Clock
from hookyard.ids import WorkerId
from hookyard.store.engine import database_url, is_sqlite

LEASE_SECONDS = 15.0
"""How long a worker may be silent on PostgreSQL before its runs are started again."""


class Liveness(Protocol):
    """Tells dead workers from living ones."""

    @property
    def lease_seconds(self) -> float | None:
        """A worker that could not send its heartbeat for that long must stop its runs; None = it need not."""
        ...

    def hold(self, worker_id: WorkerId) -> None:
        """This process is that worker, until it ends or releases."""
        ...

    def release(self) -> None:
        """This process is a worker no more."""
        ...

    def is_dead(self, worker_id: WorkerId, heartbeat_at: float) -> bool:
        """Whether another worker is gone for good.

        Args:
            worker_id: Never this process's own.
            heartbeat_at: Its newest heartbeat, as stored.
        """
        ...


def liveness_for(url: str, clock: Clock) -> Liveness:
    """Locks beside a SQLite file, since all that use it are on one machine; leases on PostgreSQL."""
    ours = database_url(url)
    if is_sqlite(ours):
        path = Path(ours.database or "")
        return FileLocks(path.with_name(f"{path.stem}.workers"))
    return Leases(clock)


class FileLocks:
    """A locked file for each worker; the kernel frees the lock however its holder ends, so death is known at once.

    POSIX locks belong to a process and are not inherited by children; a process must not open its own file again.

    Args:
        folder: Where the files are; made when it is not there.
    """

    lease_seconds: float | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: tuple[int, Path] | None = None

    def hold(self, worker_id: WorkerId) -> None:
        """Lock the worker's file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / worker_id
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._held = (file, path)

    def release(self) -> None:
        """Remove the file, then the lock."""
        if self._held is not None:
            file, path = self._held
            self._held = None
            path.unlink(missing_ok=True)
            os.close(file)

    def is_dead(self, worker_id: WorkerId, heartbeat_at: float) -> bool:
        """Nobody holds the lock of its file."""
        path = self._folder / worker_id
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            path.unlink(missing_ok=True)
            return True
        finally:
            os.close(file)


class Leases:
    """A worker is dead when its heartbeat has not changed for the length of the lease, on the observer's own clock.

    No two clocks are compared, so one that is wrong or jumps kills nobody.

    Args:
        clock: The observer's; only its monotonic side is used.
        lease_seconds: The length.
    """

    def __init__(self, clock: Clock, lease_seconds: float = LEASE_SECONDS) -> None:
        self.lease_seconds: float | None = lease_seconds
        self._length = lease_seconds
        self._clock = clock
        self._seen: dict[WorkerId, tuple[float, float]] = {}

    def hold(self, worker_id: WorkerId) -> None:
        """The heartbeat holds the lease."""

    def release(self) -> None:
        """The row of the worker goes, and with it the lease."""

    def is_dead(self, worker_id: WorkerId, heartbeat_at: float) -> bool:
        """Its heartbeat has been the same for too long."""
        now = self._clock.monotonic()
        value, since = self._seen.get(worker_id, (None, now))
        if value != heartbeat_at:
            self._seen[worker_id] = (heartbeat_at, now)
            return False
        return now - since >= self._length
