"""Which workers are alive: by a lock that the kernel frees where all share one machine, by a lease elsewhere.

Used by `recovery`. A worker that is wrongly treated as dead harms no data, since every write is fenced by the attempt;
but its agents would go on in parallel to those of the next attempt, so both ways err on the side of alive.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from hookyard.core.clock import Clock
from hookyard.core.ids import WorkerId
from hookyard.runs.lease import heartbeat_seconds
from hookyard.store.engine import database_url, is_sqlite

LEASE_SECONDS = 45.0
"""How long a worker may be silent on PostgreSQL before its runs are started again, unless `worker.leaseSeconds` says
otherwise: long enough for a failover of the database (20 to 30 s), through which no run has to be given up."""


NO_DETAILS: Mapping[str, Any] = MappingProxyType({})


class Liveness(Protocol):
    """Tells dead workers from living ones."""

    @property
    def lease_seconds(self) -> float | None:
        """A worker that could not send its heartbeat for that long must stop its runs; None = it need not."""
        ...

    def hold(self, worker_id: WorkerId) -> None:
        """Mark this process as that worker, until it ends or releases."""
        ...

    def release(self) -> None:
        """Mark this process as no worker."""
        ...

    def details(self) -> Mapping[str, Any]:
        """Return what other workers need to know of this one, for its row."""
        ...

    def is_dead(self, worker_id: WorkerId, heartbeat_at: float, details: Mapping[str, Any] = NO_DETAILS) -> bool:
        """Return whether another worker has ended for good.

        Args:
            worker_id: Never this process's own.
            heartbeat_at: Its newest heartbeat, as stored.
            details: Those of its row.
        """
        ...


def liveness_for(url: str, clock: Clock, lease_seconds: float = LEASE_SECONDS) -> Liveness:
    """Return locks next to a SQLite file, since all its users are on one machine; leases on PostgreSQL."""
    ours = database_url(url)
    if is_sqlite(ours):
        path = Path(ours.database or "")
        return FileLocks(path.with_name(f"{path.stem}.workers"))
    return Leases(clock, lease_seconds)


class FileLocks:
    """A locked file for each worker; the kernel frees the lock however its holder ends, so death is known at once.

    POSIX locks belong to a process and are not inherited by children; a process must not open its own file again.

    Args:
        directory: Where the files are; made when it is not there.
    """

    lease_seconds: float | None = None

    def __init__(self, directory: Path) -> None:
        self._folder = directory
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

    def details(self) -> Mapping[str, Any]:
        """Return no details: the lock file is enough."""
        return NO_DETAILS

    def is_dead(self, worker_id: WorkerId, heartbeat_at: float, details: Mapping[str, Any] = NO_DETAILS) -> bool:
        """Return whether no process holds the lock of the worker's file."""
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
    """A worker is dead when its heartbeat has not changed for the length of its lease, on the observer's own clock; on
    the machine of the observer also when its process is gone, which the kernel knows at once.

    No two clocks are compared, so one that is wrong or jumps expires no lease. Time in which the observer itself could
    not look does not count: no heartbeat could have been stored while the database was away.

    Args:
        clock: The observer's; only its monotonic side is used.
        lease_seconds: The length of this worker's own lease, and of others that name none.
    """

    def __init__(self, clock: Clock, lease_seconds: float = LEASE_SECONDS) -> None:
        self.lease_seconds: float | None = lease_seconds
        self._length = lease_seconds
        self._clock = clock
        self._machine = _machine()
        self._held: socket.socket | None = None
        self._seen: dict[WorkerId, _Seen] = {}

    def hold(self, worker_id: WorkerId) -> None:
        """Take a name that the kernel frees with the process; the heartbeat holds the lease."""
        self._held = _named(worker_id) if self._machine else None

    def release(self) -> None:
        """Free the name. The worker's row is removed, and with it the lease."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def details(self) -> Mapping[str, Any]:
        """Return the length of the lease, and the machine when the name is held."""
        held = {"machine": self._machine} if self._held is not None else {}
        return {"leaseSeconds": self._length, **held}

    def is_dead(self, worker_id: WorkerId, heartbeat_at: float, details: Mapping[str, Any] = NO_DETAILS) -> bool:
        """Return whether the worker's process has ended, or its heartbeat has been the same for too long."""
        if self._machine and details.get("machine") == self._machine and _is_free(worker_id):
            return True
        now = self._clock.monotonic()
        length = float(details.get("leaseSeconds", self._length))
        seen = self._seen.get(worker_id)
        # After a longer pause between two looks the silence may have been the observer's own. A worker with a short
        # lease is looked at no more often than this worker's own heartbeat, which counts as an ordinary pause.
        blind_seconds = max(length / 3, 1.5 * heartbeat_seconds(self._length))
        if seen is None or seen.value != heartbeat_at or now - seen.looked_at > blind_seconds:
            self._seen[worker_id] = _Seen(heartbeat_at, now, now)
            return False
        self._seen[worker_id] = _Seen(heartbeat_at, seen.since, now)
        return now - seen.since >= length


@dataclass(frozen=True, slots=True)
class _Seen:
    """A heartbeat, since when it has been the same, and when it was last looked at."""

    value: float
    since: float
    looked_at: float


def _machine() -> str:
    """Return the running system and its network namespace, in which a name is unique; `""` where there are no such
    names."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{Path('/proc/self/ns/net').stat().st_ino}"
    except OSError:
        return ""


def _named(worker_id: WorkerId) -> socket.socket | None:
    """Hold the worker's name, an abstract socket; None when another process has it."""
    held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        held.bind(f"\0hookyard/{worker_id}")
    except OSError:
        held.close()
        return None
    return held


def _is_free(worker_id: WorkerId) -> bool:
    held = _named(worker_id)
    if held is None:
        return False
    held.close()
    return True
