"""Merged events become runs: closes the windows that are over and queues one run for each batch.

`BatchMerger.run` is a task of every server. What it does is durable and can be interrupted anywhere: a batch is closed
in one transaction (nothing joins any more) and settled in another (its run is queued, or it was decided that there is
none); of two servers only one can settle it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, select, update

from hookyard.conditions.condition_set import ConditionSet
from hookyard.conditions.conditions import Conditions
from hookyard.core.clock import Clock
from hookyard.core.errors import HookyardError
from hookyard.core.ids import BatchId, CallbackId, Ids, WorkspaceId
from hookyard.core.verdicts import GateVerdict, pack
from hookyard.events.catalog import Catalog, Value
from hookyard.events.model import AuthorTrust, Event
from hookyard.intake.batches import TOPIC, is_over, lock_callbacks
from hookyard.intake.event_repository import read_event
from hookyard.intake.loop_guard import HourlyRunLimit
from hookyard.intake.match import CallbackListener, compile_listener, load_version, profiles_for_anyone
from hookyard.intake.run_requests import RunRequest, prepare, queue_runs
from hookyard.settings import LiveSettings
from hookyard.store import schema
from hookyard.store.database import Database, announce

POLL_INTERVAL_SECONDS = 5.0
"""How long a server sleeps at most: another one may have died with a batch that it had closed."""

RETRY_SECONDS = 1.0
"""After a failure, such as no evaluator to judge a merged event."""

_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class ClosedBatch:
    """A batch that nothing joins any more, with what its run is made of.

    Attributes:
        id: `bat_…`.
        workspace_id: Its workspace.
        listener: The version of the callback that its events matched; None when that is gone.
        events: Its events, oldest first.
        stopped: Why its run is not to be started, or None.
    """

    id: BatchId
    workspace_id: WorkspaceId
    callback_id: CallbackId
    listener: CallbackListener | None
    events: Sequence[Event]
    stopped: str | None


class BatchMerger:
    """Closes and settles batches.

    Args:
        database: Where they are.
        clock: When windows are over.
        ids: Makes ids of runs.
        conditions: Judges conditions on merged events.
        catalog: The event types known now.
        live: The settings in effect.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: Ids,
        conditions: Conditions,
        catalog: Callable[[], Catalog],
        live: Callable[[], LiveSettings],
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._conditions = conditions
        self._catalog = catalog
        self._live = live

    async def run(self) -> None:
        """Work until cancelled."""
        with self._database.signals.subscribe(TOPIC) as changed:
            while True:
                try:
                    pause = await self.step()
                except HookyardError as error:
                    logging.getLogger(__name__).warning("batches wait: %s", error)
                    pause = RETRY_SECONDS
                await changed.wait(pause)

    async def step(self) -> float:
        """Close what is over and settle what is closed.

        Returns:
            Seconds until the next window is over, `POLL_INTERVAL_SECONDS` at most.

        Raises:
            TemporaryError: A merged event cannot be judged now; nothing of it is decided.
        """
        open_until = await self._database.read(_open_windows)
        now = self._clock.now()
        if any(is_over(opened_at, closes_at, now) for opened_at, closes_at in open_until):
            await self._database.write(lambda conn: _close(conn, now))
        while batches := await self._database.read(_closed):
            for batch in batches:
                await self._close_batch(batch)
        waits = [closes_at - now for opened_at, closes_at in open_until if not is_over(opened_at, closes_at, now)]
        return max(0.0, min([*waits, POLL_INTERVAL_SECONDS]))

    async def _close_batch(self, batch: ClosedBatch) -> None:
        """Decide about one batch, as the gates do about an event."""
        if batch.listener is None or not batch.events:
            await self._database.write(lambda conn: _mark(conn, batch, self._clock.now(), GateVerdict.SKIPPED, _GONE))
            return
        listener, event = batch.listener, merged(batch.events)
        if listener.reads_batch and listener.spec.condition:
            question = ConditionSet.of(((listener.key, listener.spec.condition),))
            judgement = await self._conditions.evaluate(batch.workspace_id, event.ctx, question)
            if not judgement.matched:
                error = judgement.errors.get(0)
                verdict = GateVerdict.CONDITION if error is None else GateVerdict.CONDITION_ERROR
                await self._database.write(lambda conn: _mark(conn, batch, self._clock.now(), verdict, error))
                return
        start = prepare(listener, event, self._catalog().get(event.name), self._ids)
        live = self._live()
        await self._database.write(lambda conn: _queue(conn, batch, start, self._clock.now(), live))


_GONE = "its callback's version is gone"


def merged(events: Sequence[Event]) -> Event:
    """Return the event that a batch stands for: the newest, with all of them in `events`; one alone is itself.

    Its author is trusted as far as the least trusted one, its chain of causes is the longest.
    """
    newest = events[-1]
    if len(events) == 1:
        return newest
    batch: dict[str, Value] = {
        "batch": True,
        "batchSize": len(events),
        "events": json.dumps([event.ctx for event in events], ensure_ascii=False),
    }
    return newest._replace(
        variables={**newest.variables, **batch},
        author_trust=AuthorTrust.least(event.author_trust for event in events),
        cause=max((event.cause for event in reversed(events)), key=len),
    )


def _open_windows(conn: Connection) -> list[tuple[float, float]]:
    table = schema.batches
    rows = conn.execute(
        select(table.c.opened_at, table.c.closes_at)
        .where(table.c.settled_at.is_(None), table.c.closed_at.is_(None))
        .order_by(table.c.closes_at)
    )
    return [(row.opened_at, row.closes_at) for row in rows]


def _close(conn: Connection, now: float) -> None:
    table = schema.batches
    rows = conn.execute(
        select(table.c.id, table.c.callback_id, table.c.opened_at, table.c.closes_at).where(
            table.c.settled_at.is_(None), table.c.closed_at.is_(None)
        )
    )
    due = [row for row in rows if is_over(row.opened_at, row.closes_at, now)]
    lock_callbacks(conn, [CallbackId(row.callback_id) for row in due])
    for row in due:
        conn.execute(
            update(table)
            .where(table.c.id == row.id, table.c.closed_at.is_(None))
            .values(closed_at=now, close_reason="window")
        )


def _closed(conn: Connection) -> list[ClosedBatch]:
    table = schema.batches
    rows = conn.execute(
        select(table)
        .where(table.c.settled_at.is_(None), table.c.closed_at.is_not(None))
        .order_by(table.c.id)
        .limit(_AT_ONCE)
    ).mappings()
    open_profiles = profiles_for_anyone(conn)
    return [_batch(conn, row, open_profiles) for row in rows.all()]


def _batch(conn: Connection, row: RowMapping, open_profiles: frozenset[str]) -> ClosedBatch:
    workspace_id, callback_id = WorkspaceId(row["workspace_id"]), CallbackId(row["callback_id"])
    spec = load_version(conn, workspace_id, callback_id, row["callback_version"])
    listener = None if spec is None else compile_listener(callback_id, row["callback_version"], spec, open_profiles)
    members = schema.batch_events
    events = conn.execute(
        select(schema.events)
        .join(members, members.c.event_id == schema.events.c.id)
        .where(members.c.batch_id == row["id"])
        .order_by(schema.events.c.id)
    ).mappings()
    table = schema.callbacks
    now_is = conn.execute(select(table.c.enabled, table.c.deleted_at).where(table.c.id == callback_id)).one_or_none()
    stopped = None
    if now_is is None or now_is.deleted_at is not None:
        stopped = "the callback was deleted before the run started"
    elif not now_is.enabled:
        stopped = "the callback was disabled before the run started"
    return ClosedBatch(
        BatchId(row["id"]), workspace_id, callback_id, listener, [read_event(event) for event in events], stopped
    )


def _mark(
    conn: Connection,
    batch: ClosedBatch,
    now: float,
    verdict: GateVerdict,
    reason: str | None = None,
    run_id: str | None = None,
) -> bool:
    """Settle a batch; False when another server already has."""
    table = schema.batches
    settled = conn.execute(
        update(table)
        .where(table.c.id == batch.id, table.c.settled_at.is_(None))
        .values(settled_at=now, outcome=pack((verdict,)), reason=reason, run_id=run_id)
    )
    announce(conn, f"events:{batch.workspace_id}")
    return settled.rowcount == 1


def _queue(conn: Connection, batch: ClosedBatch, start: RunRequest, now: float, live: LiveSettings) -> None:
    lock_callbacks(conn, (batch.callback_id,))
    batch_id = batch.id if len(batch.events) > 1 else None
    if batch.stopped is not None:
        if _mark(conn, batch, now, GateVerdict.SKIPPED, batch.stopped, start.run_id):
            queue_runs(conn, (start,), now, batch_id=batch_id, skipped=batch.stopped)
        return
    reason = HourlyRunLimit(conn, (start,), now, live).reason(start)
    if reason is not None:
        _mark(conn, batch, now, GateVerdict.LOOP, reason)
    elif _mark(conn, batch, now, GateVerdict.QUEUED, None, start.run_id):
        queue_runs(conn, (start,), now, batch_id=batch_id)
