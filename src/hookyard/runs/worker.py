"""One worker: admits runs, has them executed, notices cancellations and dead colleagues, until it is stopped.

Made by `wiring` inside `hookyard serve`, or alone by `hookyard worker`. It polls nothing quickly: commits and ends of
runs wake it through `store.signals`, and a slow look every `POLL_INTERVAL_SECONDS` covers a lost signal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from sqlalchemy import Connection, select

from hookyard.core.clock import Clock
from hookyard.core.errors import HookyardError, TemporaryError, UnavailableError
from hookyard.core.ids import RunId, WorkerId
from hookyard.core.message_catalog import Message
from hookyard.core.run_status import RunStatus
from hookyard.runs import recovery
from hookyard.runs.admission import TOPIC, Admitted, Limits, RunTokens, admit
from hookyard.runs.claim import AdmittedRun
from hookyard.runs.control import CANCEL_TOPIC
from hookyard.runs.executor import Executor
from hookyard.runs.lease import Lease, heartbeat_seconds
from hookyard.runs.liveness import Liveness
from hookyard.runs.queue import Execution, RunQueue
from hookyard.runs.quota import Quotas
from hookyard.settings import LiveSettings
from hookyard.store.database import Database
from hookyard.store.schema import runs

logger = logging.getLogger(__name__)

POLL_INTERVAL_SECONDS = 2.0
CONTENDED_SECONDS = 0.01
TROUBLE_SECONDS = 1.0
WATCH_SECONDS = 0.25
LAST_RESULTS_SECONDS = 5.0
"""What results that wait for the database get, beyond the grace of runs, when this worker stops."""

LEAVING_SECONDS = 3.0
"""What the last write of this worker gets; without it others take its runs over a little later."""


class Worker:
    """The worker of this process.

    Args:
        worker_id: Unique to this start of the process.
        database: Where runs wait and end.
        clock: Dates and measures.
        queue: Executes.
        executor: Does one attempt.
        tokens: Issues and revokes the tokens of runs.
        live: The live settings in effect.
        liveness: Tells which other workers are dead.
        lease: This worker's, which the executor asks too; one of its own when None.
    """

    def __init__(
        self,
        *,
        worker_id: WorkerId,
        database: Database,
        clock: Clock,
        queue: RunQueue,
        executor: Executor,
        tokens: RunTokens,
        live: Callable[[], LiveSettings],
        liveness: Liveness,
        lease: Lease | None = None,
    ) -> None:
        self.worker_id = worker_id
        self._database = database
        self._clock = clock
        self._queue = queue
        self._executor = executor
        self._tokens = tokens
        self._live = live
        self._liveness = liveness
        self._lease = lease or Lease(clock, liveness.lease_seconds)
        self._claims: dict[Execution, AdmittedRun] = {}
        self._starting: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._missing: frozenset[Execution] = frozenset()
        self._begun: set[Execution] = set()
        self._interrupted: set[Execution] = set()
        self._admit_handler = self._admit_in  # one object, by which the writer knows what belongs together

    async def start(self) -> None:
        """Launch the engine, take over what dead workers left, and begin to admit.

        Raises:
            HookyardError: The database or the engine cannot be used.
        """
        await self._queue.open(self._body)
        self._liveness.hold(self.worker_id)
        await self._register()
        await self._take_over_dead()
        self._loops = [
            asyncio.create_task(self._supervise(step), name=name)
            for name, step in (
                ("admission", self._admit),
                ("cancellations", self._cancel),
                ("heartbeat", self._heartbeat),
                ("lease", self._watch),
                ("recovery", self._recover),
            )
        ]

    async def stop(self, grace_seconds: float) -> None:
        """Admit nothing more, let runs finish for a while, queue the others again, and leave."""
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, *self._starting, return_exceptions=True)
        self._executor.set_shutdown_deadline(grace_seconds + LAST_RESULTS_SECONDS)
        await self._queue.close(grace_seconds)
        try:
            async with asyncio.timeout(LEAVING_SECONDS):
                await self._database.write(
                    lambda conn: recovery.deregister(conn, self.worker_id, self._clock.now(), self._tokens)
                )
        except (HookyardError, TimeoutError) as error:
            logger.warning("could not leave in good order", extra={"error": str(error)})
        self._liveness.release()

    @property
    def executing(self) -> Collection[Execution]:
        """What this worker executes at this moment."""
        return self._queue.executing()

    # -- loops -------------------------------------------------------------------------------------------------------

    async def _supervise(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step as the outermost loop: errors are logged, and the step is tried again."""
        while True:
            try:
                await step()
            except TemporaryError as error:
                logger.warning("the database cannot be used now", extra={"error": str(error)})
            except Exception:
                logger.exception("a step of the worker failed")
            await asyncio.sleep(TROUBLE_SECONDS)

    async def _admit(self) -> None:
        with self._database.signals.subscribe(TOPIC, "settings") as woken:
            while True:
                admitted = await self._database.write_grouped(self._admit_handler, None)
                for claim in admitted.claims:
                    self._claims[claim.execution] = claim
                    task = asyncio.create_task(self._start(claim))
                    self._starting.add(task)
                    task.add_done_callback(self._starting.discard)
                pause = CONTENDED_SECONDS if admitted.contended else POLL_INTERVAL_SECONDS
                await woken.wait(pause)

    def _admit_in(self, conn: Connection, asked: Sequence[None]) -> list[Admitted | Exception]:
        """Admit runs in a group, after the earlier results: their slots are reused in the same transaction."""
        if self._lease.is_over() or not recovery.is_registered(conn, self.worker_id):
            # Others may be taking this worker for dead: what it admitted now they would start a second time.
            return [Admitted() for _ in asked]
        live = self._live()
        limits = Limits(
            everywhere=live.number("eventCallback.maxQueueSize"),
            here=live.number("worker.maxRuns"),
            quotas=Quotas.of(live),
        )
        admitted = admit(conn, self.worker_id, limits, self._clock.now(), self._tokens)
        return [admitted, *(Admitted() for _ in asked[1:])]

    async def _start(self, claim: AdmittedRun) -> None:
        """Hand an admitted run to the engine; what cannot be started is noticed as stuck and admitted again."""
        try:
            started = await self._queue.start(claim.execution)
        except TemporaryError as error:
            logger.warning("a run could not be started", extra={"run": claim.run_id, "error": str(error)})
            started = False
        if not started:
            self._claims.pop(claim.execution, None)

    async def _body(self, execution: Execution) -> None:
        claim = self._claims.pop(execution, None)
        if claim is None:
            return
        self._begun.add(execution)
        try:
            await self._executor.execute(claim)
        except UnavailableError as error:
            logger.warning("a run was interrupted by the database", extra={"run": claim.run_id, "error": error.what})
            self._interrupted.add(execution)

    async def _cancel(self) -> None:
        with self._database.signals.subscribe(CANCEL_TOPIC) as woken:
            while True:
                for run_id, who in await self._database.read(self._to_be_cancelled):
                    self._executor.cancelled_by(run_id, who)
                    self._queue.cancel(run_id)
                await woken.wait(POLL_INTERVAL_SECONDS)

    def _to_be_cancelled(self, conn: Connection) -> list[tuple[RunId, str]]:
        if not self._queue.executing():
            return []
        wanted = select(runs.c.id, runs.c.cancel_requested_by).where(
            runs.c.status == RunStatus.RUNNING.value,
            runs.c.worker_id == self.worker_id,
            runs.c.cancel_requested_at.is_not(None),
        )
        return [(RunId(row[0]), row[1] or "") for row in conn.execute(wanted)]

    async def _heartbeat(self) -> None:
        while True:
            await asyncio.sleep(heartbeat_seconds(self._lease.seconds))
            sent_at = self._clock.monotonic()
            if await self._database.write(lambda conn: recovery.heartbeat(conn, self.worker_id, self._clock.now())):
                self._lease.renewed(sent_at)
            else:
                self._give_up("others took this worker for dead")
                await self._register(recovery.come_back)

    async def _watch(self) -> None:
        """End the agents before others may take this worker for dead, however its heartbeat fails: by an error, or by
        an answer that never comes."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            if self._lease.is_over():
                self._give_up("its heartbeat could not be stored for nearly as long as its lease")

    async def _recover(self) -> None:
        while True:
            await asyncio.sleep(heartbeat_seconds(self._lease.seconds))
            await self._take_over_dead()
            await self._requeue_stalled()
            await self._database.write(lambda conn: recovery.skip_unwanted(conn, self._clock.now()))

    # -- recovery ----------------------------------------------------------------------------------------------------

    async def _register(self, register: Callable[..., None] = recovery.register) -> None:
        details: Mapping[str, Any] = {
            "version": version("hookyard"),
            "maxRuns": self._live().number("worker.maxRuns"),
            **self._liveness.details(),
        }
        sent_at = self._clock.monotonic()
        await self._database.write(lambda conn: register(conn, self.worker_id, self._clock.now(), details))
        self._lease.renewed(sent_at)

    def _give_up(self, why: str) -> None:
        """End every agent: its run is, or will be, executed elsewhere, and nothing that it does here counts."""
        executing = [execution for execution in self._queue.executing() if execution not in self._interrupted]
        if executing:
            logger.error("this worker ends its runs", extra={"why": why, "runs": len(executing)})
        for execution in executing:
            self._interrupted.add(execution)
            self._queue.cancel(execution.run_id)

    async def _take_over_dead(self) -> None:
        for other in await self._database.read(lambda conn: recovery.list_workers(conn, self.worker_id)):
            if other.heartbeat_at is not None and not self._liveness.is_dead(
                other.worker_id, other.heartbeat_at, other.details
            ):
                continue
            recovered = await self._database.write(partial(self._take_over, other))
            if recovered is not None:
                told = {"worker": other.worker_id, "queued": recovered.queued, "ended": recovered.ended}
                logger.warning("took over from a dead worker", extra=told)

    def _take_over(self, dead: recovery.OtherWorker, conn: Connection) -> recovery.Recovered | None:
        return recovery.recover_worker(conn, dead, self._max_attempts(), self._clock.now(), self._tokens)

    async def _requeue_stalled(self) -> None:
        """Requeue a run that this worker should be executing and twice in a row was not."""
        said = frozenset(await self._database.read(lambda conn: recovery.running_here(conn, self.worker_id)))
        here = set(self._queue.executing())
        missing = said - here - set(self._claims)
        stuck, self._missing = missing & self._missing, missing
        interrupted, unconfirmed = stuck & self._interrupted, stuck - self._begun
        for why, executions in (
            (recovery.CUT_OFF, interrupted),
            (recovery.UNCONFIRMED, unconfirmed - interrupted),
            (recovery.STUCK, stuck - interrupted - unconfirmed),
        ):
            if executions:
                keys = [execution.key for execution in executions]
                logger.error("runs were stuck", extra={"runs": keys, "why": why.text()})
                await self._database.write(partial(self._free, executions, why))
        self._interrupted &= said | here
        self._begun &= said | here

    def _free(self, stuck: Collection[Execution], why: Message, conn: Connection) -> recovery.Recovered:
        return recovery.requeue_stalled(
            conn, self.worker_id, stuck, self._max_attempts(), self._clock.now(), self._tokens, why
        )

    def _max_attempts(self) -> int:
        return self._live().number("runs.maxAttempts")
