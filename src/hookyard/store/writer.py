"""The one thread that writes, with group commit.

Used by `store.database`. It takes every job that waits and runs them in one transaction, so that the price of a commit
that is safe on the disk is shared. An answer is given only after the commit.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from hookyard.core.errors import HookyardError, TemporaryError, UnavailableError
from hookyard.store.engine import is_contention, is_sqlite, translate, unconfirmed
from hookyard.store.limits import CLOSE_SECONDS, WRITE_SECONDS, deadline
from hookyard.store.signals import Signals
from hookyard.store.write_jobs import EFFECTS, Effects, FastPathHandler, Job, deliver, run_apart, run_together

_GROUP_LIMIT = 1000
_SMALL_GROUP = 8  # of so few none is left for later: a commit would cost more than it gains
_WAITING_LIMIT = 20_000
_BACK_OFF_SECONDS = (0.01, 0.03, 0.1, 0.3)
_POLL_INTERVAL_SECONDS = 1.0


class Writer:
    """The thread, its connection and what waits for it.

    Args:
        engine: Of one connection.
        signals: Receives the topics of every commit.
        where: The database, without credentials.
        patience_seconds: How long a write is tried again while another process holds the database.
        send_topics: Receives the topics too, in the transaction; for the other processes of PostgreSQL.
    """

    def __init__(
        self,
        engine: Engine,
        signals: Signals,
        where: str,
        patience_seconds: float,
        send_topics: Callable[[Connection, Sequence[str]], None] | None = None,
    ) -> None:
        self._engine = engine
        self._sqlite = is_sqlite(engine.url)
        self._signals = signals
        self._where = where
        self._patience = patience_seconds
        self._send_topics = send_topics
        self._jobs: deque[Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._sleeping = False
        self._kicked = False
        self._committing = False
        self._last_group = 0
        self._seen: tuple[object, int] | None = None
        self.listening = threading.Event()
        """From now on it is noticed what other processes commit; on PostgreSQL that is not its work."""
        self._connected: Connection | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, unless it runs."""
        with self._wake:
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._work, name="db-write", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Finish what waits, end the thread, close the connection."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
            if self._thread.is_alive():  # it ends with the process
                logging.getLogger(__name__).warning("writes were left undone: %s does not answer", self._where)
                return
        self._release()
        self._engine.dispose()

    def put(self, job: Job) -> None:
        """Queue a job.

        Raises:
            TemporaryError: Too many wait, or the thread is to end.
        """
        if self._thread is None:
            self.start()
        with self._wake:
            if self._closing:
                raise self._refusal("the server is shutting down")
            if len(self._jobs) >= _WAITING_LIMIT:
                raise self._refusal("too many writes are waiting")
            self._jobs.append(job)
            if not self._sleeping or self._kicked:
                return
            if job.loop is None:
                self._wake.notify()
                return
            self._kicked = True
        # At the end of the loop's turn: what else this turn puts is taken along, and the writer does not fight with it
        # for the interpreter's lock meanwhile.
        job.loop.call_soon(self._wake_loop)

    def withdraw(self, job: Job) -> UnavailableError:
        """Leave a job undone whose caller waits no longer; the error for the caller."""
        with self._wake:
            job.withdrawn = True
            if job.writing:
                return unconfirmed(self._where)
        return UnavailableError(
            "the database does not answer", where=self._where, hint="nothing was stored: try again", retry_after=2.0
        )

    def _refusal(self, why: str) -> TemporaryError:
        return TemporaryError(why, where=self._where, hint="try again", retry_after=2.0)

    def _wake_loop(self) -> None:
        with self._wake:
            self._kicked = False
            self._wake.notify()

    def _next_batch(self) -> list[Job] | None:
        """Return the waiting jobs; empty when the poll is due; None at the end."""
        with self._wake:
            if not self._jobs and not self._closing:
                self._last_group = 0
                self._sleeping = True
                self._wake.wait(_POLL_INTERVAL_SECONDS)
                self._sleeping = False
            if not self._jobs:
                return None if self._closing else []
            most = self._batch_size()
            group: list[Job] = []
            while self._jobs and len(group) < most:
                group.append(self._jobs.popleft())
            self._last_group = len(group)
            return group

    def _batch_size(self) -> int:
        """Return the number of jobs for the next group.

        Where one statement may do, half of those under way, which are the waiting ones and those just answered, whose
        callers will be back: one half is written while the loop answers the other. If all were taken, writer and loop
        would wait for each other in turn.
        """
        if not self._sqlite or not isinstance(self._jobs[0].handler, FastPathHandler):
            return _GROUP_LIMIT
        return min(max(_SMALL_GROUP, (len(self._jobs) + self._last_group + 1) // 2), _GROUP_LIMIT)

    def _work(self) -> None:
        if self._sqlite:  # or what others commit until it has nothing to do would be read as what was there before
            self._poll_data_version()
        self.listening.set()
        while (group := self._next_batch()) is not None:
            if group:
                deliver(group, self._commit(group))
                del group
            elif self._sqlite:
                self._poll_data_version()

    def _commit(self, group: Sequence[Job]) -> list[Any]:
        """Return the outcomes of a group, values and exceptions; retried while another process holds the database."""
        until = time.monotonic() + self._patience
        tries = 0
        while True:
            try:
                return self._written(group)
            except Exception as error:
                maybe = self._committing and is_lost(error)
                if not maybe and is_contention(error) and time.monotonic() < until:
                    time.sleep(_BACK_OFF_SECONDS[min(tries, len(_BACK_OFF_SECONDS) - 1)])
                    tries += 1
                    continue
                # One exception object must not be raised in several tasks: each gets its own.
                return [translate(error, self._where, maybe_stored=maybe) or error for _ in group]

    def _written(self, group: Sequence[Job]) -> list[Any]:
        """Return the outcomes of jobs whose callers still wait, written once; None for the others."""
        with self._wake:
            places = [index for index, job in enumerate(group) if not job.withdrawn]
            wanted = [group[index] for index in places]
            for job in wanted:
                job.writing = True
        self._committing = False
        outcomes: list[Any] = [None] * len(group)
        if not wanted:
            return outcomes
        seconds = max(job.seconds for job in wanted)
        try:
            with deadline(seconds):
                for index, outcome in zip(places, self._transaction(wanted, seconds), strict=True):
                    outcomes[index] = outcome
        finally:
            with self._wake:
                for job in wanted:
                    job.writing = False
        return outcomes

    def _transaction(self, group: Sequence[Job], seconds: float) -> list[Any]:
        """Run all jobs in one transaction; when one of them fails, repeat with a savepoint for each."""
        if self._sqlite and (outcomes := self._try_fast_path(group)) is not None:
            return outcomes
        try:
            return self._once(group, run_together, seconds)
        except Exception as error:
            if len(group) == 1 or translate(error, self._where) is not None:
                raise
        return self._once(group, run_apart, seconds)

    def _try_fast_path(self, group: Sequence[Job]) -> list[Any] | None:
        """Return the outcomes of jobs that one statement could do; None when it could not."""
        handler = group[0].handler
        if not isinstance(handler, FastPathHandler) or any(job.handler is not handler for job in group):
            return None
        effects = Effects()
        conn = self._connection()
        conn.info[EFFECTS] = effects
        try:
            outcomes = handler.try_fast_path(conn, [job.item for job in group])
        except Exception as error:
            if is_contention(error):
                raise
            self._release(spoiled=unexpected(error))
            return None  # a transaction finds out which of the items it was
        if outcomes is None:
            return None
        self._publish(effects)
        return list(outcomes)

    def _once(
        self, group: Sequence[Job], run: Callable[[Connection, Sequence[Job]], list[Any]], seconds: float
    ) -> list[Any]:
        effects = Effects()
        conn = self._connection()
        conn.info[EFFECTS] = effects
        try:
            with conn.begin():
                if seconds > WRITE_SECONDS:
                    lengthen(conn, seconds)
                outcomes = run(conn, group)
                if effects.topics and self._send_topics is not None:
                    self._send_topics(conn, effects.topics)
                self._committing = True
        except BaseException as error:
            self._release(spoiled=unexpected(error))
            raise
        if not self._sqlite or any(map(unexpected, outcomes)):
            self._release(spoiled=self._sqlite)
        self._publish(effects)
        return outcomes

    def _connection(self) -> Connection:
        """Return the writer's connection. SQLite's is kept, as the pool's bookkeeping costs as much as a row;
        PostgreSQL's may have been lost since the last transaction, which the pool notices."""
        if self._connected is None:
            self._connected = self._engine.connect()
        return self._connected

    def _release(self, *, spoiled: bool = False) -> None:
        if self._connected is not None:
            if spoiled:
                self._connected.invalidate()
            self._connected.close()
            self._connected = None

    def _publish(self, effects: Effects) -> None:
        """Publish the effects of a commit. It has happened: no failure here may be reported as the write's failure."""
        if effects.topics:
            self._signals.notify(*dict.fromkeys(effects.topics))
        for call in effects.after:
            try:
                call()
            except Exception:
                logging.getLogger(__name__).exception("a call after a commit failed")

    def _poll_data_version(self) -> None:
        """Notice other connections' commits on SQLite: the number changes when one has committed, without saying what
        changed. A new connection's number tells nothing about earlier commits."""
        try:
            driver = self._connection().connection.driver_connection
            assert driver is not None
            seen = (driver, driver.execute("PRAGMA data_version").fetchone()[0])
        except (DBAPIError, sqlite3.Error):
            return
        if self._seen is not None and seen != self._seen:
            self._signals.notify_all()
        self._seen = seen


def lengthen(conn: Connection, seconds: float) -> None:
    """Let the statements of a transaction on PostgreSQL take longer."""
    if conn.dialect.name != "sqlite":
        from hookyard.store import postgres

        postgres.lengthen(conn, seconds)


def is_lost(error: BaseException) -> bool:
    """Return whether the connection broke, so that the server's last action is unknown."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def unexpected(outcome: object) -> bool:
    """Return whether a connection must not be used again: an error that is neither ours nor the database's may have
    left a result half read, and on SQLite its statement holds the snapshot."""
    return isinstance(outcome, BaseException) and not isinstance(outcome, HookyardError | DBAPIError)
