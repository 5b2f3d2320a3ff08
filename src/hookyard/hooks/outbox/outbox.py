"""The outbox: background and batched deliveries, on disk, sent in the order of each webhook.

Filled by `dispatch` (an agent waits for the commit, not for the webhook), emptied by whichever process runs `run` or
`drain`: the command that filled it, the next one, the relay or the server. Any number of processes may do so at once.
It is also the command line's `DeliveryLog`.

What holds: what `put` has accepted is sent at least once, and a repeat has the id of the first (`webhook-id`). A
webhook's deliveries go out one after the other, by one process at a time, under a lease in monotonic time. What it must
not do: know addresses, headers or secrets, or decide how often to try: that is the sender's, which looks both up.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TypeVar

from hookyard.core.clock import Clock
from hookyard.core.errors import ConflictError, HookyardError, NotFoundError
from hookyard.core.ids import Ids
from hookyard.hooks.delivery.delivery_log import Delivery, DeliveryState
from hookyard.hooks.formats.base import Rate
from hookyard.hooks.outbox import history, process_owner
from hookyard.hooks.outbox import queue as rows
from hookyard.hooks.outbox.limits import OutboxLimits
from hookyard.hooks.outbox.models import NewDelivery, QueuedDelivery, SendResult, UnknownOriginError
from hookyard.hooks.outbox.schema import SCHEMA
from hookyard.hooks.outbox.sqlite_thread import FileFullError, SqliteThread
from hookyard.hooks.warning import Warn

T = TypeVar("T")

FILE_NAME = "outbox.db"
"""Its name in HOOKYARD_HOME."""

_GATHER_SECONDS = 0.005
# How long outcomes are gathered while more is being sent: each write wakes a thread, which costs as much as a request.
# A crash repeats what was sent in that time, under the same ids.

Send = Callable[[QueuedDelivery], Awaitable[SendResult]]
"""Sends one parcel. Raises `UnknownOriginError` when this process cannot; every other failure is in what it gives
back."""


class Outbox:
    """One outbox file.

    Args:
        path: The file; made when missing.
        clock: The time.
        ids: Makes the ids of batches and of replays.
        warn: Receives what the user should see.
        send: Sends one parcel; None for a process that only puts, lists or replays.
        bounds: How much it holds.
    """

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        ids: Ids,
        warn: Callable[[str], None],
        send: Send | None = None,
        bounds: OutboxLimits | None = None,
    ) -> None:
        self._bounds = bounds or OutboxLimits()
        self._file = SqliteThread(path, SCHEMA, most_bytes=self._bounds.most_bytes)
        self._clock = clock
        self._ids = ids
        self._send = send
        self._warn = Warn.of(warn)
        self._owner = process_owner.new_owner()
        self._active: dict[int, asyncio.Task[None]] = {}
        self._held_until: dict[int, float] = {}
        self._aside_until: dict[int, float] = {}
        self._wake: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._flush = False
        self._lanes: dict[rows.LaneKey, int] = {}
        self._unmeasured = self._bounds.most_bytes  # the first put measures the file
        self._unpruned = 0
        self._dropped = 0
        self._unreadable = ""  # why, so that it is reported once

    # Putting in, and looking.

    async def put(self, owed: NewDelivery) -> None:
        """Accept a delivery; when this returns, a crash of the process does not lose it.

        Raises:
            FileFullError: The file is full; nothing was accepted.
            FileBusyError: Another process held the file for too long; nothing was accepted.
        """
        lane = await self._file.call(self._putting(owed))
        self._put_done(owed, lane)

    def put_nowait(self, owed: NewDelivery) -> Future[int]:
        """Store a delivery like `put`, from any thread: the future is done when the delivery is accepted, or failed."""
        future = self._file.post(self._putting(owed))

        def done(put: Future[int]) -> None:
            if not put.cancelled() and put.exception() is None:
                self._put_done(owed, put.result())

        future.add_done_callback(done)
        return future

    def _putting(self, owed: NewDelivery) -> Callable[[sqlite3.Connection], int]:
        self._unmeasured += len(owed.delivery.request)
        measure = self._unmeasured > self._bounds.most_bytes // 100
        if measure:
            self._unmeasured = 0
        lane = self._lanes.get(rows.lane_key(owed))
        return partial(rows.put, owed=owed, lane=lane, most_bytes=self._bounds.most_bytes if measure else None)

    def _put_done(self, owed: NewDelivery, lane: int) -> None:
        """Remember the lane, and wake the loop that sends unless it is at that lane already."""
        self._lanes[rows.lane_key(owed)] = lane
        loop, wake = self._loop, self._wake
        if loop is not None and wake is not None and lane not in self._active and not wake.is_set():
            with contextlib.suppress(RuntimeError):  # the loop is closing
                loop.call_soon_threadsafe(wake.set)

    def record(self, delivery: Delivery) -> None:
        """Keep a delivery that an agent waited for. Returns at once and never fails the caller."""
        self.record_all((delivery,))

    def record_all(self, deliveries: Sequence[Delivery]) -> None:
        """Record many deliveries at once: the calling thread pays for one."""
        if self._file.backlog >= self._bounds.most_unwritten:
            self._dropped += len(deliveries)
            if self._dropped == len(deliveries):
                self._warn("the disk is too slow to keep a record of every delivery: some are left out")
            return
        with contextlib.suppress(HookyardError):
            future = self._file.post(partial(history.record_all, deliveries=deliveries))
            future.add_done_callback(partial(self._recorded, len(deliveries)))

    def _recorded(self, count: int, future: Future[None]) -> None:
        error = future.exception()
        if error is not None:
            self._dropped += count
            if self._dropped == count:
                self._warn(f"deliveries are not recorded: {error}")
            return
        self._count_finished(count)

    async def listed(
        self,
        *,
        state: DeliveryState | None = None,
        webhook: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> list[Delivery]:
        """Return deliveries, newest first: of one state or webhook, and those before a given id."""
        return await self._call(
            partial(history.list_deliveries, state=state, webhook=webhook, before=before, limit=limit)
        )

    async def get(self, delivery_id: str) -> Delivery:
        """Return one delivery.

        Raises:
            NotFoundError: There is none of that id.
        """
        return (await self._got(delivery_id))[0]

    async def replay(self, delivery_id: str) -> str:
        """Send a finished delivery once more, after the pending ones of its webhook.

        A dead letter keeps its id, so that a receiver that did get it can tell; one that was delivered gets a new one,
        since its receiver would rightly ignore the old.

        Returns:
            The id under which it goes out.

        Raises:
            NotFoundError: There is none of that id.
            ConflictError: It is still pending, or an agent waited for it, so that there is nothing to send later.
        """
        delivery, lane = await self._got(delivery_id)
        if delivery.state is DeliveryState.PENDING:
            raise ConflictError("it has not been delivered yet and needs no replay", where=delivery_id)
        if lane is None:
            raise ConflictError(
                "an agent waited for this answer, so it is not sent again",
                where=delivery_id,
                hint="hookyard hooks test NAME sends a sample",
            )
        new_id = delivery_id if delivery.state is DeliveryState.DEAD else self._ids.delivery()
        await self._call(partial(history.replay, delivery_id=delivery_id, new_id=new_id))
        if self._wake is not None:
            self._wake.set()
        return new_id

    async def reserve(self, endpoint: str, rates: Sequence[Rate]) -> float:
        """Take a place under a service's limits for a message that does not go through the outbox.

        Returns:
            0 when there was one, else the seconds until there is; then none was taken.
        """
        return await self._call(partial(rows.reserve, endpoint=endpoint, rates=rates, now_mono=self._clock.monotonic()))

    async def left(self) -> int:
        """Return the number of requests and batched events that are not sent yet."""
        return await self._call(rows.count_pending)

    async def _got(self, delivery_id: str) -> tuple[Delivery, int | None]:
        found = await self._call(partial(history.get, delivery_id=delivery_id))
        if found is None:
            raise NotFoundError("no such delivery", where=delivery_id, hint="hookyard hooks deliveries lists them")
        return found

    async def _call(self, operation: Callable[..., T]) -> T:
        return await self._file.call(operation)

    def close(self) -> None:
        """Write what was handed in and close the file."""
        self._file.close()

    # Sending.

    async def run(self) -> None:
        """Send pending deliveries until cancelled. Queues are released at the end."""
        self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        renewing = asyncio.create_task(self._renew())
        try:
            while True:
                self._wake.clear()
                await self._start_ready()
                # Not wait_for: on Python 3.11 it may swallow a cancellation.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._bounds.poll_seconds):
                        await self._wake.wait()
        finally:
            self._loop = None
            await _end([renewing, *self._active.values()])
            with contextlib.suppress(HookyardError):
                await self._call(partial(rows.release, owner=self._owner))

    async def drain(self, seconds: float) -> int:
        """Send what can be sent within a time; for a command that is about to end. Batches do not wait for more.

        Works in parallel to `run` in the same process as well as alone.

        Args:
            seconds: The most that this may take.

        Returns:
            How much is left for the next process.
        """
        self._flush = True
        if self._wake is not None:
            self._wake.set()
        # Where `run` is at it already, it goes on: two of them would send what is under way twice.
        sending = [] if self._loop is not None else [asyncio.create_task(self.run())]
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while self._active or await self._ready_queues():
                        tasks = [*self._active.values()]
                        if tasks:
                            await asyncio.wait(tasks, timeout=0.05, return_when=asyncio.FIRST_COMPLETED)
                        else:
                            await asyncio.sleep(0.005)
        finally:
            self._flush = False
            await _end(sending)
        return await self.left()

    async def _ready_queues(self) -> list[int]:
        """Return the queues that this process could send for now."""
        now = self._clock.monotonic()
        found = await self._call(partial(rows.ready, lease=self._lease(), is_gone=process_owner.is_gone))
        return [lane for lane in found if self._aside_until.get(lane, now) <= now]

    async def _start_ready(self) -> None:
        try:
            ready = await self._ready_queues()
        except HookyardError as error:
            if str(error) != self._unreadable:
                self._unreadable = str(error)
                self._warn(f"the outbox cannot be read: {error}")
            return
        self._unreadable = ""
        for lane in ready:
            if lane not in self._active and len(self._active) < self._bounds.lanes_at_once:
                task = asyncio.create_task(self._drain_queue(lane))
                self._active[lane] = task
                task.add_done_callback(partial(self._queue_done, lane))

    def _queue_done(self, lane: int, task: asyncio.Task[None]) -> None:
        del self._active[lane]
        self._held_until.pop(lane, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # The outermost loop of a lane: whatever went wrong, the others go on and this one is tried again later.
            self._postpone(lane)
            self._warn(f"background deliveries of one webhook are held back: {str(error) or type(error).__name__}")
        elif self._wake is not None:
            self._wake.set()

    def _postpone(self, lane: int) -> None:
        self._aside_until[lane] = self._clock.monotonic() + self._bounds.aside_seconds

    async def _drain_queue(self, lane: int) -> None:
        """Send what one lane holds, until it is empty or has to wait."""
        try:
            while True:
                claim = await self._claim(lane)
                if claim.wait_seconds is not None:
                    # In short steps: a batch may fill up before its time.
                    await asyncio.sleep(min(claim.wait_seconds, self._bounds.poll_seconds))
                elif not claim.parcels or not await self._send_all(lane, claim):
                    return
        except UnknownOriginError:
            self._postpone(lane)
        finally:
            with contextlib.suppress(HookyardError):  # the file is closed already: the lease ends by itself
                self._file.post(partial(rows.release, owner=self._owner, lane=lane))

    async def _claim(self, lane: int) -> rows.QueueLease:
        lease = self._lease()
        taking = rows.BatchLimits(
            now=self._clock.now(),
            new_id=self._ids.delivery,
            most=self._bounds.chunk,
            most_bytes=self._bounds.chunk_bytes,
            flush=self._flush,
        )
        claim = await self._call(partial(rows.claim, lane=lane, lease=lease, taking=taking))
        self._held_until[lane] = lease.now_mono + lease.seconds
        return claim

    async def _send_all(self, lane: int, claim: rows.QueueLease) -> bool:
        """Send a claim's parcels in order; False when the lane has to wait for long.

        The next parcel goes out while the last one's outcome is written: a crash in between repeats it, under its id.
        """
        assert self._send is not None, "an outbox without a sender sends nothing"
        writer = _ResultWriter(self, lane)
        try:
            for parcel in claim.parcels:
                if claim.rates and not await self._wait_for_rate_limit(lane, claim):
                    return False
                if self._clock.monotonic() >= self._held_until[lane]:
                    return True  # this process was asleep for so long that another may be at it: claim again
                sent = await self._send(parcel)
                pending = sent.delivery.state is DeliveryState.PENDING
                writer.add(sent.delivery, self._clock.monotonic() + sent.again_in if pending else None)
                if pending:
                    return sent.again_in <= self._bounds.longest_nap
            return True
        finally:
            await writer.written()

    async def store_results(self, lane: int, outcomes: list[Delivery], due: float | None) -> None:
        """Store outcomes; while the disk is full, keep them in memory and send nothing more."""
        warned = False
        while True:
            try:
                await self._call(partial(rows.store_results, lane=lane, outcomes=outcomes, due_mono=due))
            except FileFullError as error:
                if not warned:
                    names = ", ".join(delivery.id for delivery in outcomes)
                    self._warn(f"{outcomes[0].webhook}: {names} sent, but that cannot be written down: {error}")
                warned = True
                await asyncio.sleep(self._bounds.poll_seconds)
            else:
                break
        self._count_finished(len(outcomes))

    async def _wait_for_rate_limit(self, lane: int, claim: rows.QueueLease) -> bool:
        """Wait for a place under the service's limits; False when that takes long, and the lane is due then."""
        while True:
            now = self._clock.monotonic()
            wait = await self._call(
                partial(rows.reserve, endpoint=claim.endpoint or str(lane), rates=claim.rates, now_mono=now)
            )
            if wait <= 0:
                return True
            if wait > self._bounds.longest_nap:
                await self._call(partial(rows.postpone, lane=lane, due_mono=now + wait))
                return False
            await asyncio.sleep(wait)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._bounds.lease_seconds / 3)
            lease = self._lease()
            with contextlib.suppress(HookyardError):
                kept = await self._call(partial(rows.renew, lanes=list(self._active), lease=lease))
                for lane in kept & self._held_until.keys():
                    self._held_until[lane] = lease.now_mono + lease.seconds

    def _lease(self) -> rows.Lease:
        return rows.Lease(self._owner, self._clock.monotonic(), self._bounds.lease_seconds)

    def _count_finished(self, count: int) -> None:
        """Prune once in a while, so that the file stays within its bounds."""
        self._unpruned += count
        if self._unpruned >= 500:
            self._unpruned = 0
            keeping = history.HistoryLimits(
                older_than=self._clock.now() - self._bounds.kept_days * 86_400,
                most_rows=self._bounds.kept_rows,
                most_bytes=self._bounds.kept_bytes,
            )
            with contextlib.suppress(HookyardError):
                self._file.post(partial(history.prune, keeping=keeping))


class _ResultWriter:
    """Writes the outcomes of one lane while the next parcel is on its way: what gathers during one write goes into the
    next, so that writing never takes longer than sending.
    """

    def __init__(self, outbox: Outbox, lane: int) -> None:
        self._outbox = outbox
        self._lane = lane
        self._gathered: list[Delivery] = []
        self._due: float | None = None
        self._ending = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def add(self, delivery: Delivery, due: float | None) -> None:
        """Add an outcome, and when the queue continues if it has to wait."""
        self._gathered.append(delivery)
        self._due = due
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())

    async def written(self) -> None:
        """Wait until everything is on disk."""
        self._ending.set()
        if self._task is not None:
            await self._task

    async def _write(self) -> None:
        while self._gathered:
            if not self._ending.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GATHER_SECONDS):
                        await self._ending.wait()
            outcomes, self._gathered = self._gathered, []
            await self._outbox.store_results(self._lane, outcomes, self._due)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait for them."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
