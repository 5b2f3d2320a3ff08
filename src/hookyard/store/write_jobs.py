"""Write jobs and how a batch of them is executed.

Made by `store.database`, done by `store.writer`. A job may be run more than once (its transaction is rolled back in
between), so it changes nothing but the database and what it returns.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from hookyard.store.engine import is_contention, translate
from hookyard.store.limits import WRITE_SECONDS

T = TypeVar("T")
Item = TypeVar("Item")
GroupHandler = Callable[[Connection, Sequence[Item]], "Sequence[T | Exception]"]
"""Handles the items of one group commit together: one outcome an item, in order; an `Exception` among them is that
item's refusal, of which nothing may have been written."""


class FastPathHandler(ABC, Generic[Item, T]):
    """A `GroupHandler` that SQLite can mostly serve in one statement.

    Each statement gives the interpreter's lock away and waits for it again, as a rule until the loop has nothing to do.
    A group of one statement does so once, and is written while the loop answers and takes the next:
    decision 0405.
    """

    @abstractmethod
    def __call__(self, conn: Connection, items: Sequence[Item]) -> Sequence[T | Exception]:
        """Handle the items in a transaction, as every `GroupHandler` does."""

    @abstractmethod
    def try_fast_path(self, conn: Connection, items: Sequence[Item]) -> Sequence[T | Exception] | None:
        """Handle the items in one statement outside any transaction, which is its own.

        Args:
            conn: Of SQLite. May announce topics, as in a transaction.
            items: All that is to be done.

        Returns:
            The outcomes, all committed; None when it cannot be done so. Then nothing was stored, and the items are
            handled in a transaction, which also finds out what is wrong.
        """


EFFECTS = "hookyard.effects"
"""Where a connection keeps the `Effects` of its transaction."""


class Effects:
    """The effects of a transaction in addition to its rows, once it is committed."""

    __slots__ = ("after", "topics")

    def __init__(self) -> None:
        self.topics: list[str] = []
        self.after: list[Callable[[], None]] = []


def announce(conn: Connection, *topics: str) -> None:
    """Signal topics, in this and in other processes, when the transaction of a write commits."""
    cast("Effects", conn.info[EFFECTS]).topics.extend(topics)


def after_commit(conn: Connection, call: Callable[[], None]) -> None:
    """Call something quick in the writer's thread when the transaction of a write has committed."""
    cast("Effects", conn.info[EFFECTS]).after.append(call)


class Job:
    """One caller's work, and where its outcome goes."""

    __slots__ = ("function", "future", "handler", "item", "loop", "seconds", "withdrawn", "writing")

    def __init__(
        self,
        future: asyncio.Future[Any] | Future[Any],
        loop: asyncio.AbstractEventLoop | None,
        function: Callable[[Connection], Any] | None,
        handler: GroupHandler[Any, Any] | None = None,
        item: Any = None,
        seconds: float = WRITE_SECONDS,
    ) -> None:
        self.future = future
        self.loop = loop
        self.function = function
        self.handler = handler
        self.item = item
        self.seconds = seconds
        """What its transaction may take."""
        self.withdrawn = False
        """Its caller has been answered that it cannot be written now."""
        self.writing = False
        """It is in a transaction."""


def run_together(conn: Connection, group: Sequence[Job]) -> list[Any]:
    """Return the outcomes of jobs; an error of one of them ends the transaction for all."""
    outcomes: list[Any] = [None] * len(group)
    items: dict[GroupHandler[Any, Any], list[int]] = {}
    for index, job in enumerate(group):
        if job.handler is not None:
            items.setdefault(job.handler, []).append(index)
        else:
            assert job.function is not None
            outcomes[index] = job.function(conn)
    for handler, places in items.items():
        results = handler(conn, [group[index].item for index in places])
        for index, result in zip(places, results, strict=True):
            outcomes[index] = result
    return outcomes


def run_apart(conn: Connection, group: Sequence[Job]) -> list[Any]:
    """Return the outcomes of jobs, each in a savepoint of its own: an error is the outcome of its job only."""
    outcomes: list[Any] = []
    effects = cast("Effects", conn.info[EFFECTS])
    for job in group:
        topics, after = len(effects.topics), len(effects.after)
        try:
            with conn.begin_nested():
                outcomes.extend(run_together(conn, (job,)))
        except Exception as error:
            if is_contention(error) or (isinstance(error, DBAPIError) and translate(error, "") is not None):
                raise
            del effects.topics[topics:], effects.after[after:]
            outcomes.append(error)
    return outcomes


def deliver(group: Sequence[Job], outcomes: Sequence[Any]) -> None:
    """Give the outcomes out, with one wake-up a loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for job, outcome in zip(group, outcomes, strict=True):
        if job.loop is None:
            _resolve(cast("Future[Any]", job.future), outcome)
        else:
            by_loop.setdefault(job.loop, []).append((cast("asyncio.Future[Any]", job.future), outcome))
    for loop, settled in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve_all, settled)
        except RuntimeError:  # the loop was closed while the write ran: no caller waits for the answer
            continue


def _resolve_all(settled: Sequence[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, outcome in settled:
        if not future.done():
            _resolve(future, outcome)


def _resolve(future: asyncio.Future[Any] | Future[Any], outcome: Any) -> None:
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
