"""The database: one writer with group commit, and a few readers.

Called by everything that stores. All writes of a process go through one thread. It takes every job that waits and runs
them in one transaction, so that the price of a commit that is safe on the disk is shared. A job is a function of a
connection; it may be run more than once (its transaction is rolled back in between), so it changes nothing but the
database and what it returns. An answer is given only after the commit.

On PostgreSQL other processes write too: uniqueness comes from unique keys, never from this thread.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from hookyard.errors import HookyardError, TemporaryError
from hookyard.store.engine import database_url, is_contention, is_sqlite, make_engine, translate
from hookyard.store.signals import Signals

if TYPE_CHECKING:
    from hookyard.store.listener import Listener

T = TypeVar("T")
Item = TypeVar("Item")
GroupHandler = Callable[[Connection, Sequence[Item]], "Sequence[T | Exception]"]
"""Handles the items of one group commit together: one outcome an item, in order; an `Exception` among them is that
item's refusal, of which nothing may have been written."""

_EFFECTS = "hookyard.effects"
_GROUP_LIMIT = 1000
_WAITING_LIMIT = 20_000
_BACK_OFF_SECONDS = (0.01, 0.03, 0.1, 0.3)
_LOOK_SECONDS = 1.0


class _Effects:
    """What a transaction does beside rows, once it is committed."""

    __slots__ = ("after", "topics")

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.after: list[Callable[[], None]] = []


def announce(conn: Connection, *topics: str) -> None:
    """Signal topics, in this and in other processes, when the transaction of a write commits."""
    cast("_Effects", conn.info[_EFFECTS]).topics.extend(topics)


def after_commit(conn: Connection, call: Callable[[], None]) -> None:
    """Call something quick in the writer's thread when the transaction of a write has committed."""
    cast("_Effects", conn.info[_EFFECTS]).after.append(call)


class _Job:
    """One caller's work, and where its outcome goes."""

    __slots__ = ("function", "future", "handler", "item", "loop")

    def __init__(
        self,
        future: asyncio.Future[Any] | Future[Any],
        loop: asyncio.AbstractEventLoop | None,
        function: Callable[[Connection], Any] | None,
        handler: GroupHandler[Any, Any] | None = None,
        item: Any = None,
    ) -> None:
        self.future = future
        self.loop = loop
        self.function = function
        self.handler = handler
        self.item = item


class Database:
    """The one database of the process.

    Args:
        url: `sqlite:///PATH` or `postgresql://…`.
        signals: Told the topics of every commit; a hub of its own when None.
        readers: Reading transactions at once.
        patience_seconds: How long a write is tried again while somebody else holds the database.
    """

    def __init__(
        self, url: str, *, signals: Signals | None = None, readers: int = 4, patience_seconds: float = 10.0
    ) -> None:
        self.url = database_url(url)
        self.signals = signals or Signals()
        self.where = self.url.render_as_string(hide_password=True)
        self._patience = patience_seconds
        self._sender = secrets.token_hex(8)
        self._writer = make_engine(self.url, connections=1)
        self._reader = make_engine(self.url, connections=readers, read_only=True)
        self._read_pool = ThreadPoolExecutor(readers, thread_name_prefix="db-read")
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._sleeping = False
        self._kicked = False
        self._seen_version: int | None = None
        self._writing: Connection | None = None
        self._thread: threading.Thread | None = None
        self._listener: Listener | None = None

    @property
    def sqlite(self) -> bool:
        """Whether it is a SQLite file."""
        return is_sqlite(self.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def listen(self) -> None:
        """Hear what other processes announce, from now on."""
        if not self.sqlite and self._listener is None:
            from hookyard.store.listener import Listener  # and psycopg, which SQLite does without

            self._listener = Listener(self.url, self.signals, self._sender)
            self._listener.start()
        self._start()

    def close(self) -> None:
        """Finish the waiting writes, end the threads, close the connections."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()
        self._give_back()
        if self._listener is not None:
            self._listener.stop()
        self._read_pool.shutdown()
        self._writer.dispose()
        self._reader.dispose()

    # -- what callers do ---------------------------------------------------------------------------------------------

    async def write(self, function: Callable[[Connection], T]) -> T:
        """Run a function in a transaction; its value once that is committed.

        Raises:
            TemporaryError: The database is locked, full or away; nothing was stored.
            Exception: Whatever the function raised; nothing of it was stored.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(_Job(future, loop, function))
        return await future

    async def write_grouped(self, handler: GroupHandler[Item, T], item: Item) -> T:
        """Hand an item to a handler, together with the other items that wait for the same handler.

        The handler must be the same object each time.

        Raises:
            TemporaryError: The database is locked, full or away; nothing was stored.
            Exception: What the handler gave or raised for this item.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._put(_Job(future, loop, None, handler, item))
        return await future

    async def read(self, function: Callable[[Connection], T]) -> T:
        """Run a function in a read-only transaction that sees one snapshot, in a thread.

        Raises:
            TemporaryError: The database is locked or away.
        """
        return await asyncio.get_running_loop().run_in_executor(self._read_pool, self.read_sync, function)

    def write_sync(self, function: Callable[[Connection], T]) -> T:
        """`write` for a thread that has no loop."""
        future: Future[T] = Future()
        self._put(_Job(future, None, function))
        return future.result()

    def read_sync(self, function: Callable[[Connection], T]) -> T:
        """`read` in the calling thread."""
        try:
            with self._reader.connect() as conn:
                try:
                    with conn.begin():
                        return function(conn)
                except Exception as error:
                    if _unexpected(error):
                        conn.invalidate()
                    raise
        except DBAPIError as error:
            raise translate(error, self.where) or error from error

    # -- the writer --------------------------------------------------------------------------------------------------

    def _put(self, job: _Job) -> None:
        if self._thread is None:
            self._start()
        with self._wake:
            if self._closing:
                raise TemporaryError("the server is shutting down", where=self.where, mend="try again", retry_after=2.0)
            if len(self._jobs) >= _WAITING_LIMIT:
                raise TemporaryError("too many writes are waiting", where=self.where, mend="try again", retry_after=2.0)
            self._jobs.append(job)
            if not self._sleeping or self._kicked:
                return
            if job.loop is None:
                self._wake.notify()
                return
            self._kicked = True
        # At the end of the loop's turn: what else this turn puts is taken along, and the writer does not fight with it
        # for the interpreter's lock meanwhile.
        job.loop.call_soon(self._kick)

    def _kick(self) -> None:
        with self._wake:
            self._kicked = False
            self._wake.notify()

    def _start(self) -> None:
        with self._wake:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._work, name="db-write", daemon=True)
                self._thread.start()

    def _take(self) -> list[_Job] | None:
        """The waiting jobs; empty when the poll is due; None at the end."""
        with self._wake:
            if not self._jobs and not self._closing:
                self._sleeping = True
                self._wake.wait(_LOOK_SECONDS)
                self._sleeping = False
            if not self._jobs:
                return None if self._closing else []
            group: list[_Job] = []
            while self._jobs and len(group) < _GROUP_LIMIT:
                group.append(self._jobs.popleft())
            return group

    def _work(self) -> None:
        while (group := self._take()) is not None:
            if group:
                _deliver(group, self._commit(group))
                del group
            elif self.sqlite:
                self._look_for_other_processes()

    def _commit(self, group: Sequence[_Job]) -> list[Any]:
        """Outcomes of a group, values and exceptions; tried again while the database is held by somebody else."""
        deadline = time.monotonic() + self._patience
        tries = 0
        while True:
            try:
                return self._transaction(group)
            except Exception as error:
                if is_contention(error) and time.monotonic() < deadline:
                    time.sleep(_BACK_OFF_SECONDS[min(tries, len(_BACK_OFF_SECONDS) - 1)])
                    tries += 1
                    continue
                # One exception object must not be raised in several tasks: each gets its own.
                return [translate(error, self.where) or error for _ in group]

    def _transaction(self, group: Sequence[_Job]) -> list[Any]:
        """All jobs in one transaction; when one of them fails, again with each in a savepoint of its own."""
        try:
            return self._once(group, _run_together)
        except Exception as error:
            if len(group) == 1 or translate(error, self.where) is not None:
                raise
        return self._once(group, _run_apart)

    def _once(self, group: Sequence[_Job], run: Callable[[Connection, Sequence[_Job]], list[Any]]) -> list[Any]:
        effects = _Effects()
        conn = self._connection()
        conn.info[_EFFECTS] = effects
        try:
            with conn.begin():
                outcomes = run(conn, group)
                if effects.topics and not self.sqlite:
                    from hookyard.store.listener import send_topics

                    send_topics(conn, effects.topics, self._sender)
        except BaseException as error:
            self._give_back(spoiled=_unexpected(error))
            raise
        if not self.sqlite or any(map(_unexpected, outcomes)):
            self._give_back(spoiled=self.sqlite)
        self._tell(effects)
        return outcomes

    def _connection(self) -> Connection:
        """The writer's connection. SQLite's is kept, as the pool's bookkeeping costs as much as a row; PostgreSQL's may
        have been lost since the last transaction, which the pool notices."""
        if self._writing is None:
            self._writing = self._writer.connect()
        return self._writing

    def _give_back(self, *, spoiled: bool = False) -> None:
        if self._writing is not None:
            if spoiled:
                self._writing.invalidate()
            self._writing.close()
            self._writing = None

    def _tell(self, effects: _Effects) -> None:
        """What follows a commit. It has happened: nothing that fails here may be taken for its failure."""
        if effects.topics:
            self.signals.notify(*dict.fromkeys(effects.topics))
        for call in effects.after:
            try:
                call()
            except Exception:
                logging.getLogger(__name__).exception("a call after a commit failed")

    def _look_for_other_processes(self) -> None:
        """SQLite: the number changes when another connection has committed; what it changed nobody can say."""
        try:
            driver = self._connection().connection.driver_connection
            assert driver is not None
            (version,) = driver.execute("PRAGMA data_version").fetchone()
        except (DBAPIError, sqlite3.Error):
            return
        if self._seen_version is not None and version != self._seen_version:
            self.signals.notify_all()
        self._seen_version = version


def _unexpected(outcome: object) -> bool:
    """Whether a connection must not be used again after this: an error of neither ours nor the database's may have left
    a result half read, and on SQLite its statement holds the snapshot (and keeps the write lock away) for as long as
    somebody keeps the error's traceback."""
    return isinstance(outcome, BaseException) and not isinstance(outcome, HookyardError | DBAPIError)


def _run_together(conn: Connection, group: Sequence[_Job]) -> list[Any]:
    outcomes: list[Any] = [None] * len(group)
    items: dict[GroupHandler[Any, Any], list[int]] = {}
    for place, job in enumerate(group):
        if job.handler is not None:
            items.setdefault(job.handler, []).append(place)
        else:
            assert job.function is not None
            outcomes[place] = job.function(conn)
    for handler, places in items.items():
        results = handler(conn, [group[place].item for place in places])
        for place, result in zip(places, results, strict=True):
            outcomes[place] = result
    return outcomes


def _run_apart(conn: Connection, group: Sequence[_Job]) -> list[Any]:
    outcomes: list[Any] = []
    effects = cast("_Effects", conn.info[_EFFECTS])
    for job in group:
        topics, after = len(effects.topics), len(effects.after)
        try:
            with conn.begin_nested():
                outcomes.extend(_run_together(conn, (job,)))
        except Exception as error:
            if is_contention(error) or (isinstance(error, DBAPIError) and error.connection_invalidated):
                raise
            del effects.topics[topics:], effects.after[after:]
            outcomes.append(error)
    return outcomes


def _deliver(group: Sequence[_Job], outcomes: Sequence[Any]) -> None:
    """Give the outcomes out, with one wake-up a loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for job, outcome in zip(group, outcomes, strict=True):
        if job.loop is None:
            _settle(cast("Future[Any]", job.future), outcome)
        else:
            by_loop.setdefault(job.loop, []).append((cast("asyncio.Future[Any]", job.future), outcome))
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle_all, settled)
        except RuntimeError:  # the loop was closed while the write ran: nobody waits for the answer
            continue


def _settle_all(settled: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in settled:
        if not future.done():
            _settle(future, outcome)


def _settle(future: asyncio.Future[Any] | Future[Any], outcome: Any) -> None:
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
