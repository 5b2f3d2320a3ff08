"""File locks, atomic writes and files that mark a living process: one implementation for every package.

Locks are `flock` locks on descriptors that child programs do not inherit, so the kernel releases them however the
holder ends. Every wait has a limit.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_POLL_SECONDS = 0.01


class FileLock:
    """An advisory lock on a file, held from `acquire` to `release`.

    Args:
        path: The lock file; `acquire` creates it, readable by its owner only, and never removes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def acquire(self, timeout_seconds: float = 0.0) -> bool:
        """Take the lock; return False when another holder has kept it for all of the timeout.

        Raises:
            OSError: The file cannot be opened.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock(descriptor, timeout_seconds):
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back; without effect when it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def write(self, text: str) -> None:
        """Replace the contents of the held lock file, such as by the holder's process id or address."""
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)


@contextlib.contextmanager
def locked(path: Path, timeout_seconds: float) -> Iterator[None]:
    """Hold a lock file inside the block.

    Raises:
        TimeoutError: Another holder kept it for all of the timeout.
        OSError: The file cannot be opened.
    """
    lock = FileLock(path)
    if not lock.acquire(timeout_seconds):
        raise TimeoutError(f"{path} stayed locked for {timeout_seconds:g} s")
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock file; False when there is no such file."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor, 0.0, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: str | bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace a file's contents in one step: readers see the old or the new file, never a part.

    Args:
        path: The file. An existing one keeps its permission bits; its directory must exist.
        content: The new contents; text is written as UTF-8.
        mode: Permission bits of a new file.
        durable: Wait until the contents are on the disk, so that a power cut leaves no empty file.

    Raises:
        OSError: The file could not be written; the old one stays.
    """
    with contextlib.suppress(OSError):
        mode = path.stat().st_mode & 0o777
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fchmod(descriptor, mode)
            if durable:
                os.fsync(descriptor)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _lock(descriptor: int, timeout_seconds: float, kind: int = fcntl.LOCK_EX) -> bool:
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True
