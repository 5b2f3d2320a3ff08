"""Who waits for what: a hub inside the process that wakes those who wait for a change in the database.

`store.database` tells it, after a commit, the topics that the transaction announced; admission, the pages' live
streams and the settings listen. A signal carries no data and may be spurious: who is woken looks into the database.

Topics: `runs` (a run was queued or ended), `run:ID`, `runs:WS`, `events:WS`, `batches`, `settings`, `callbacks:WS`.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from hookyard.core.errors import PermanentError


class Signals:
    """The hub. Safe to use from several threads and loops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscriptions: defaultdict[str, set[Subscription]] = defaultdict(set)

    def notify(self, *topics: str) -> None:
        """Wake everybody who waits for one of the topics. Never blocks."""
        with self._lock:
            woken = [(s, t) for t in topics for s in self._subscriptions.get(t, ())]
        for subscription, topic in woken:
            subscription.notify((topic,))

    def notify_all(self) -> None:
        """Wake all subscribers: something may have changed, and it is unknown what."""
        with self._lock:
            woken = {s for subscriptions in self._subscriptions.values() for s in subscriptions}
        for subscription in woken:
            subscription.notify(subscription.topics)

    def subscribe(self, *topics: str) -> Subscription:
        """Wait for topics, from the running loop: `with signals.subscribe("runs") as woken: await woken.wait(5)`.

        What is announced between two waits is not lost: the next wait returns at once.

        Raises:
            PermanentError: No topic was named.
        """
        if not topics:
            raise PermanentError("a subscription needs a topic")
        subscription = Subscription(self, frozenset(topics))
        with self._lock:
            for topic in topics:
                self._subscriptions[topic].add(subscription)
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Forget a subscription."""
        with self._lock:
            for topic in subscription.topics:
                waiting = self._subscriptions.get(topic)
                if waiting is not None:
                    waiting.discard(subscription)
                    if not waiting:
                        del self._subscriptions[topic]


class Subscription:
    """One who waits, in one loop.

    Attributes:
        topics: What it waits for.
    """

    def __init__(self, signals: Signals, topics: frozenset[str]) -> None:
        self.topics = topics
        self._signals = signals
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._lock = threading.Lock()
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop waiting."""
        self._signals.drop(self)

    def notify(self, topics: Iterable[str]) -> None:
        """Wake the subscriber; the hub calls this from any thread."""
        with self._lock:
            first = not self._told
            self._told.update(topics)
        if first:
            try:
                self._loop.call_soon_threadsafe(self._event.set)
            except RuntimeError:  # the loop is closed: no caller waits any more
                self.close()

    async def wait(self, timeout: float | None = None) -> frozenset[str]:
        """Return the topics announced since the last wait; empty when the time ran out.

        Args:
            timeout: Seconds; None waits without end.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            return frozenset()
        self._event.clear()
        with self._lock:
            told, self._told = frozenset(self._told), set()
        return told
