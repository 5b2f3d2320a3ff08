"""The gates that need the database, in the contract's order, for all events of one group commit.

`accept` hands the events over; everything here happens in one transaction, together with the rows of the operations
that the events tell of. Whatever decides between several servers is a unique key or a lock of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Connection, bindparam
from sqlalchemy.exc import OperationalError

from hookyard.callbacks import letters, unwanted
from hookyard.callbacks.backlog import Backlog
from hookyard.callbacks.batches import Batches, lock_callbacks, lock_workspaces, window_seconds
from hookyard.callbacks.candidate import Accepted, Candidate, Decision, Match, Plan, operation_claim
from hookyard.callbacks.claims import Claim, take
from hookyard.callbacks.event_row import COLUMNS, event_row
from hookyard.callbacks.loop import HourlyStop, lineage_reason
from hookyard.callbacks.match import Listeners
from hookyard.callbacks.start import Start, queue_runs
from hookyard.errors import NotFoundError, TemporaryError
from hookyard.events.model import Event
from hookyard.ids import BatchId, Ids, RunId, WorkspaceId
from hookyard.store import schema
from hookyard.store.database import OneStatement, after_commit, announce
from hookyard.store.rows import execute, insert_or_update, insert_rows, mark

Outcome = list[Accepted] | Exception

_SET_SECONDS = 3600.0
_SETS_KEPT = 10_000


class MovedError(TemporaryError):
    """The callbacks have changed since the events were judged: judge them again."""


class Gates(OneStatement[Plan, list[Accepted]]):
    """Decides and stores. Keeps nothing of a try that failed: a transaction may be run again.

    Args:
        ids: Makes the ids of batches.
    """

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._sets: dict[str, float] = {}
        self._backlog = Backlog()

    def __call__(self, conn: Connection, plans: Sequence[Plan]) -> list[Outcome]:
        """Store the events of some plans; a `GroupHandler`."""
        refusals = self._refusals(conn, plans)
        decisions = {
            id(plan): [Decision(plan, candidate) for candidate in plan.candidates]
            for plan in plans
            if id(plan) not in refusals
        }
        going = [decision for of_plan in decisions.values() for decision in of_plan]
        _decide_duplicates(conn, going)
        stored = [decision for decision in going if decision.accepted is None]
        matched = [decision for decision in stored if decision.candidate.matches]
        if matched:
            self._decide_matches(conn, matched)
        self._store(conn, stored)
        return [refusals.get(id(plan)) or [_answer(one) for one in decisions[id(plan)]] for plan in plans]

    def in_one_statement(self, conn: Connection, plans: Sequence[Plan]) -> list[Outcome] | None:
        """Store events that nobody wants, unless they are duplicates or anything else has to be decided."""
        judged: list[tuple[int, Candidate]] = []
        for plan in plans:
            judged_by = plan.judged_by
            if plan.apply is not None or not plan.candidates:
                return None
            if plan.limited:
                limit = plan.live.number("eventCallback.maxBacklog")
                if not self._backlog.has_room(judged_by.workspace_id, limit, plan.candidates[0].event.received_at):
                    return None
            for candidate in plan.candidates:
                listeners = candidate.listeners
                if candidate.matches or (listeners is not None and self._lacks_set(listeners, candidate.event)):
                    return None
                judged.append((judged_by.revision, candidate))
        if not unwanted.store(conn, judged):
            return None
        announce(conn, *[f"events:{name}" for name in {plan.judged_by.workspace_id for plan in plans}])
        return [[Accepted(one.event.id, verdicts=one.letters) for one in plan.candidates] for plan in plans]

    def _refusals(self, conn: Connection, plans: Sequence[Plan]) -> dict[int, Exception]:
        """Which plans cannot go on; those that can have written their own rows."""
        revisions = _revisions(conn, plans)
        refusals: dict[int, Exception] = {}
        for plan in plans:
            workspace_id = plan.judged_by.workspace_id
            revision = revisions.get(workspace_id)
            refusal: Exception | None = None
            if revision is None:
                refusal = NotFoundError("there is no such workspace", where=workspace_id)
            elif revision != plan.judged_by.revision:
                refusal = MovedError("the callbacks have changed", mend="try again")
            elif plan.limited:
                limit = plan.live.number("eventCallback.maxBacklog")
                now = plan.candidates[0].event.received_at if plan.candidates else 0.0
                refusal = self._backlog.refusal(conn, workspace_id, limit, now)
            if refusal is None and plan.apply is not None:
                refusal = _apply(conn, plan.apply)
            if refusal is not None:
                refusals[id(plan)] = refusal
                continue
            for candidate in plan.candidates:
                if candidate.matches:
                    self._backlog.queued(workspace_id, len(candidate.matches))
        return refusals

    def _decide_matches(self, conn: Connection, matched: Sequence[Decision]) -> None:
        """Operation, merge, loop and queue, for those that a listener wants."""
        lock_callbacks(conn, [m.listener.callback_id for d in matched for m in d.candidate.matches])
        _decide_operations(conn, matched)
        now = max(d.candidate.event.received_at for d in matched)
        waiting = [(decision, match) for decision in matched for match in decision.open()]
        stop = HourlyStop(conn, [m.start for _, m in waiting if m.start is not None], now, matched[0].plan.live)
        merging = [m.listener.callback_id for _, m in waiting if m.start is None]
        batches = Batches(conn, merging, self._ids, now) if merging else None
        starts: list[Start] = []
        for decision, match in waiting:
            if (start := _decide(decision, match, stop, batches)) is not None:
                starts.append(start)
        queue_runs(conn, starts, now)
        if batches is not None:
            batches.store(conn)

    def _store(self, conn: Connection, decisions: Sequence[Decision]) -> None:
        if not decisions:
            return
        self._store_sets(conn, decisions)
        rows = [event_row(one.candidate, one.letters, one.details) for one in decisions]
        insert_rows(conn, schema.events, COLUMNS, rows)
        announce(conn, *[f"events:{name}" for name in {one.candidate.event.workspace_id for one in decisions}])

    def _lacks_set(self, listeners: Listeners, event: Event) -> bool:
        """Whether this process has not stored the listener set within the hour."""
        return event.received_at - self._sets.get(listeners.id, 0.0) > _SET_SECONDS

    def _store_sets(self, conn: Connection, decisions: Sequence[Decision]) -> None:
        """The listener sets that are lacking. (Unused ones are pruned after a day.)"""
        sets: dict[str, tuple[object, ...]] = {}
        for decision in decisions:
            listeners, event = decision.candidate.listeners, decision.candidate.event
            if listeners is not None and self._lacks_set(listeners, event):
                sets[listeners.id] = (listeners.id, event.workspace_id, listeners.row, event.received_at)
        if not sets:
            return
        statement = insert_or_update(conn, schema.listener_sets)
        renewed = statement.on_conflict_do_update(
            index_elements=["id"], set_={"created_at": statement.excluded.created_at}
        )
        names = ("id", "workspace_id", "listeners", "created_at")
        # Sorted, so that two servers that store the same ones wait for each other in one order.
        conn.execute(renewed, [dict(zip(names, sets[name], strict=True)) for name in sorted(sets)])
        now = decisions[0].candidate.event.received_at
        after_commit(conn, lambda: self._remember(sets, now))

    def _remember(self, sets: Iterable[str], now: float) -> None:
        if len(self._sets) > _SETS_KEPT:
            self._sets.clear()
        self._sets.update(dict.fromkeys(sets, now))


def _decide(decision: Decision, match: Match, stop: HourlyStop, batches: Batches | None) -> Start | None:
    """Loop, merge and queue for one listener; the run that is to be queued, if any."""
    event, live = decision.candidate.event, decision.plan.live
    # The chain is looked at before merging, so that a looping event cannot drag a batch of others with it.
    if (reason := lineage_reason(match.listener, event.cause, live)) is not None:
        decision.settle(match, letters.LOOP, reason=reason)
        return None
    if match.start is None:
        assert batches is not None
        size, window = len(decision.candidate.variables), window_seconds(match.listener, live)
        batch_id = batches.join(match.listener, event.workspace_id, event.name, event.id, size, window)
        decision.settle(match, letters.MERGED, batch=batch_id)
        return None
    if (reason := stop.reason(match.start)) is not None:
        decision.settle(match, letters.LOOP, reason=reason)
        return None
    decision.settle(match, letters.QUEUED, run=match.start.run_id)
    return match.start


def _revisions(conn: Connection, plans: Sequence[Plan]) -> dict[WorkspaceId, int]:
    """The revision of each workspace, which stays until the transaction ends."""
    workspaces = {plan.judged_by.workspace_id for plan in plans}
    lock_workspaces(conn, workspaces)
    marks = ", ".join([mark(conn)] * len(workspaces))
    statement = f"SELECT id, revision FROM workspaces WHERE id IN ({marks})"  # noqa: S608 - marks only
    return {WorkspaceId(row[0]): row[1] for row in execute(conn, statement, tuple(sorted(workspaces)))}


def _apply(conn: Connection, apply: Callable[[Connection], None]) -> Exception | None:
    """Let the operation write its rows; what it raises is its caller's, and undoes them."""
    try:
        with conn.begin_nested():
            apply(conn)
    except TemporaryError as error:
        return error
    except OperationalError:
        raise  # locked, full, away: of the whole transaction
    except Exception as error:
        return error
    return None


def _decide_duplicates(conn: Connection, going: Sequence[Decision]) -> None:
    """Event dedupe: by the event's own claim, and by those of callbacks that have a dedupe of their own."""
    claims: list[Claim] = []
    for decision in going:
        if decision.candidate.claim is not None:
            claims.append(decision.candidate.claim)
        claims.extend(m.claim for m in decision.candidate.matches if m.claim is not None)
    if not claims:
        return
    taken = take(conn, claims)
    if not any(taken):  # what nearly always happens
        return
    holders = {id(claim): holder for claim, holder in zip(claims, taken, strict=True)}
    repeated = []
    for decision in going:
        own = decision.candidate.claim
        holder = None if own is None else holders[id(own)]
        for match in decision.candidate.matches:
            held = (None if match.claim is None else holders[id(match.claim)]) if match.own_dedupe else holder
            if held is not None:
                decision.settle(match, letters.DUPLICATE, event=held)
        if holder is not None and not any(decision.open()):
            decision.accepted = Accepted(holder, duplicate_of=holder)
            repeated.append({"holder": holder, "now": decision.candidate.event.received_at})
    if repeated:
        conn.execute(_COUNT_DUPLICATE, repeated)


def _decide_operations(conn: Connection, matched: Sequence[Decision]) -> None:
    """Operation dedupe: of the events of one operation each callback takes the first whose condition holds."""
    asked = [
        (decision, match, claim)
        for decision in matched
        for match in decision.open()
        if (claim := operation_claim(match.listener, decision.candidate.event)) is not None
    ]
    for (decision, match, _), holder in zip(asked, take(conn, [claim for _, _, claim in asked]), strict=True):
        if holder is not None:
            decision.settle(match, letters.OPERATION, event=holder)


def _answer(decision: Decision) -> Accepted:
    if decision.accepted is not None:
        return decision.accepted
    if not decision.details:
        return Accepted(decision.candidate.event.id, verdicts=decision.letters)
    details = decision.details.values()
    return Accepted(
        decision.candidate.event.id,
        tuple(RunId(detail["run"]) for detail in details if "run" in detail),
        next((BatchId(detail["batch"]) for detail in details if "batch" in detail), None),
        verdicts=decision.letters,
    )


_COUNT_DUPLICATE = (
    schema.events.update()
    .where(schema.events.c.id == bindparam("holder"))
    .values(duplicates=schema.events.c.duplicates + 1, last_duplicate_at=bindparam("now"))
)
