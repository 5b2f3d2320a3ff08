"""The database: one writer with group commit, and a few readers.

Called by everything that stores. All writes of a process go through one thread (`store.writer`), as functions of a
connection or as items of a group handler (`write_jobs`). An answer is given only after the commit.

On PostgreSQL other processes write too: uniqueness comes from unique keys, never from this thread.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from hookyard.core.errors import UnavailableError
from hookyard.settings import SQLITE
from hookyard.store.answer_deadline import AnswerDeadline
from hookyard.store.engine import database_url, is_sqlite, make_engine, translate
from hookyard.store.limits import ANSWER_SECONDS, PATIENCE_SECONDS, READ_SECONDS, WRITE_SECONDS, deadline
from hookyard.store.signals import Signals
from hookyard.store.write_jobs import FastPathHandler, GroupHandler, Item, Job, T, after_commit, announce
from hookyard.store.writer import Writer, lengthen, unexpected

if TYPE_CHECKING:
    from hookyard.store.listener import NotificationListener

__all__ = ["Database", "FastPathHandler", "GroupHandler", "after_commit", "announce"]


class Database:
    """The one database of the process.

    Args:
        url: `sqlite:///PATH` or `postgresql://…`.
        signals: Receives the topics of every commit; a hub of its own when None.
        readers: Reading transactions at once.
        patience_seconds: How long a write is tried again while another process holds the database.
    """

    def __init__(
        self, url: str, *, signals: Signals | None = None, readers: int = 4, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self.url = database_url(url)
        self.signals = signals or Signals()
        # A path is shown as it is, not as a URL would have it: `%E4%B8%AD` is no folder that anybody knows.
        self.where = f"{SQLITE}{self.url.database}" if self.sqlite else self.url.render_as_string(hide_password=True)
        self._sender = secrets.token_hex(8)
        engine = make_engine(self.url, connections=1)
        send = None if self.sqlite else self._send_topics
        self._writer = Writer(engine, self.signals, self.where, patience_seconds, send)
        self._reader = make_engine(self.url, connections=readers, read_only=True)
        self._read_pool = ThreadPoolExecutor(readers, thread_name_prefix="db-read")
        self._listener: NotificationListener | None = None
        self._deadline: AnswerDeadline | None = None

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
        """Listen to the announcements of other processes; return when listening, or after five seconds without a
        database."""
        if not self.sqlite and self._listener is None:
            from hookyard.store.listener import NotificationListener  # and psycopg, which SQLite does without

            self._listener = NotificationListener(self.url, self.signals, self._sender)
            self._listener.start()
        self._writer.start()
        self._writer.listening.wait(5.0)

    def close(self) -> None:
        """Finish the waiting writes, end the threads, close the connections."""
        self._writer.close()
        if self._listener is not None:
            self._listener.stop()
        self._read_pool.shutdown()
        self._reader.dispose()

    async def write(self, function: Callable[[Connection], T]) -> T:
        """Run a function in a transaction; its value once that is committed.

        Raises:
            UnavailableError: The database could not be written within `limits.ANSWER_SECONDS`; says whether it
                perhaps was.
            Exception: Whatever the function raised; nothing of it was stored.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        return await self._answer(Job(future, loop, function), future, loop)

    def write_grouped(self, handler: GroupHandler[Item, T], item: Item) -> Coroutine[Any, Any, T]:
        """Hand an item to a handler, together with the other items that wait for the same handler.

        The handler must be the same object each time.

        Raises:
            UnavailableError: The database could not be written within `limits.ANSWER_SECONDS`; says whether it
                perhaps was.
            Exception: What the handler gave or raised for this item.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        return self._answer(Job(future, loop, None, handler, item), future, loop)

    async def _answer(self, job: Job, future: asyncio.Future[T], loop: asyncio.AbstractEventLoop) -> T:
        """Return the outcome of a job, or fail after `limits.ANSWER_SECONDS`, however long the writer is held up."""
        deadline = self._deadline
        if deadline is None or deadline.loop is not loop:
            deadline = self._deadline = AnswerDeadline(loop, ANSWER_SECONDS, self._writer.withdraw)
        deadline.add(future, job)
        try:
            self._writer.put(job)
            return await future
        finally:
            deadline.discard(future)

    async def read(self, function: Callable[[Connection], T], *, seconds: float = READ_SECONDS) -> T:
        """Run a function in a read-only transaction that sees one snapshot, in a thread.

        Args:
            function: What to do with the connection.
            seconds: What it may take.

        Raises:
            UnavailableError: The database could not be read in that time.
        """
        reading = asyncio.get_running_loop().run_in_executor(
            self._read_pool, partial(self.read_sync, function, seconds=seconds)
        )
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await reading
        except TimeoutError:
            if not limit.expired():
                raise
            raise UnavailableError(
                "the database does not answer", where=self.where, hint="try again", retry_after=2.0
            ) from None

    def write_sync(self, function: Callable[[Connection], T], *, seconds: float = WRITE_SECONDS) -> T:
        """Run `write` in a thread that has no loop.

        Args:
            function: What to do with the connection.
            seconds: What the transaction may take.
        """
        future: Future[T] = Future()
        self._writer.put(Job(future, None, function, seconds=seconds))
        return future.result()

    def read_sync(self, function: Callable[[Connection], T], *, seconds: float = READ_SECONDS) -> T:
        """Run `read` in the calling thread."""
        try:
            with deadline(seconds), self._reader.connect() as conn:
                try:
                    with conn.begin():
                        if seconds > READ_SECONDS:
                            lengthen(conn, seconds)
                        return function(conn)
                except Exception as error:
                    if unexpected(error):
                        conn.invalidate()
                    raise
        except (DBAPIError, PoolTimeoutError) as error:
            raise translate(error, self.where) or error from error

    def _send_topics(self, conn: Connection, topics: Sequence[str]) -> None:
        from hookyard.store.listener import send_topics  # and psycopg, which SQLite does without

        send_topics(conn, topics, self._sender)
