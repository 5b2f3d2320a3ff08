"""One SQLite file with a thread of its own: work posted from anywhere is committed in groups.

Used by `outbox`. The caller never touches the disk: it posts a function of the connection and gets a future that is
done when its transaction is. What it must not do: know what the rows mean.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hookyard.core.errors import PermanentError, TemporaryError
from hookyard.core.wal import use_wal

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]

_GROUP = 256
_BUSY_SECONDS = 5.0
_WAL_BYTES = 16 * 1024 * 1024


class FileFullError(TemporaryError):
    """The disk is full, or the file has reached its bound; what was committed before is safe."""


class FileBusyError(TemporaryError):
    """Another process held the file for too long; nothing was changed."""


class _Job:
    """Posted work and whom to tell: a future of a thread, or of an event loop."""

    __slots__ = ("future", "loop", "operation", "result")

    def __init__(self, operation: Operation[Any], loop: asyncio.AbstractEventLoop | None) -> None:
        self.operation = operation
        self.loop = loop
        self.future: Future[Any] | asyncio.Future[Any] = Future() if loop is None else loop.create_future()
        self.result: Any = None

    def begin(self) -> bool:
        """Return whether the job is still wanted; a job that was abandoned before it began is not run."""
        if isinstance(self.future, Future):
            return self.future.set_running_or_notify_cancel()
        return not self.future.cancelled()

    def finish(self) -> None:
        """Tell the result or the error; on the loop's own thread when there is one."""
        if self.loop is not None and self.future.done():
            return  # given up while it was done
        if isinstance(self.result, _Failure):
            self.future.set_exception(self.result.error)
        else:
            self.future.set_result(self.result)


@dataclass(frozen=True, slots=True)
class _Failure:
    error: Exception


class SqliteThread:
    """A file and its thread. The file is opened, and made when missing, with the first work.

    Args:
        path: The file; its folder is made with it, both readable by their owner only.
        schema: Statements that make the tables when they are missing; run whenever the file is opened.
        most_bytes: The file never grows beyond this; work that would fails with `FileFullError`.
        busy_seconds: How long to wait for another process that writes.
    """

    def __init__(self, path: Path, schema: str, *, most_bytes: int, busy_seconds: float = _BUSY_SECONDS) -> None:
        self.path = path
        self._schema = schema
        self._most_bytes = most_bytes
        self._busy_seconds = busy_seconds
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False

    @property
    def backlog(self) -> int:
        """Posted work that is not begun yet."""
        return self._jobs.qsize()

    def post(self, operation: Operation[T]) -> Future[T]:
        """Do something in a transaction of the file; the future is done when it is committed, or failed.

        Args:
            operation: Called with the connection inside a transaction, possibly a second time when its group failed; it
                must only read and write the file.

        Raises:
            PermanentError: The file was closed.
        """
        job = _Job(operation, None)
        self._submit(job)
        assert isinstance(job.future, Future)
        return job.future

    async def call(self, operation: Operation[T]) -> T:
        """Run an operation like `post`, awaited: cheaper, since the results of one commit reach the loop together."""
        job = _Job(operation, asyncio.get_running_loop())
        self._submit(job)
        assert isinstance(job.future, asyncio.Future)
        result: T = await job.future
        return result

    def _submit(self, job: _Job) -> None:
        with self._lock:
            if self._closed:
                raise PermanentError("the file is closed", where=str(self.path))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=f"sqlite {self.path.name}", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._jobs.put(job)

    def close(self) -> None:
        """Finish what was posted and close the file. Posting afterwards is an error."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._closed = True
        if thread is not None:
            atexit.unregister(self.close)
            self._jobs.put(None)
            thread.join()

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        open_for_more = True
        while open_for_more:
            jobs, open_for_more = self._next_group()
            jobs = [job for job in jobs if job.begin()]
            if not jobs:
                continue
            try:
                connection = connection or self._open()
            except Exception as error:
                failure = _Failure(self._translated(error))
                for job in jobs:
                    job.result = failure
            else:
                self._commit(connection, jobs)
            _tell(jobs)
        if connection is not None:
            connection.close()

    def _next_group(self) -> tuple[list[_Job], bool]:
        """Return the waiting jobs, and whether there may be more; blocks while there is none."""
        jobs: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            jobs.append(job)
            if len(jobs) >= _GROUP:
                return jobs, True
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def _commit(self, connection: sqlite3.Connection, jobs: list[_Job]) -> None:
        try:
            _transaction(connection, jobs)
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].result = _Failure(self._translated(error))
                return
            # One of the group failed: each on its own, so that it takes no other with it.
            for job in jobs:
                self._commit(connection, [job])

    def _open(self) -> sqlite3.Connection:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its side files the permissions of this one.
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.path, timeout=self._busy_seconds, isolation_level=None)
        try:
            use_wal(connection, patience_seconds=self._busy_seconds)
            # NORMAL: a commit survives the process at once, and the machine after the next checkpoint.
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_BYTES}")
            page_size = connection.execute("PRAGMA page_size").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={max(1, self._most_bytes // page_size)}")
            connection.executescript(self._schema)
        except BaseException:
            connection.close()
            raise
        return connection

    def _translated(self, error: Exception) -> Exception:
        """Return SQLite's error as ours: what, where, the hint."""
        if not isinstance(error, sqlite3.Error | OSError):
            return error
        where = str(self.path)
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return FileFullError(f"cannot write: {error}", where=where, hint="make room on the disk or prune the file")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return FileBusyError(
                f"another process has held the file for {self._busy_seconds:g} s", where=where, hint="try again"
            )
        return PermanentError(
            f"cannot use the file: {error}", where=where, hint="check its permissions, or move it aside"
        )


def _transaction(connection: sqlite3.Connection, jobs: list[_Job]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for job in jobs:
            job.result = job.operation(connection)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _tell(jobs: list[_Job]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        if job.loop is None:
            job.finish()
        else:
            by_loop.setdefault(job.loop, []).append(job)
    for loop, told in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop has been closed: no caller waits any more
            loop.call_soon_threadsafe(_finish, told)


def _finish(jobs: list[_Job]) -> None:
    for job in jobs:
        job.finish()
