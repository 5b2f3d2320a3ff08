"""The gates that need the database, in the contract's order, for all events of one group commit.

`accept` hands the events over; everything here happens in one transaction, together with the rows of the operations
that the events tell of. Whatever decides between several servers is a unique key or a lock of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from hookyard.core.errors import NotFoundError, TemporaryError
from hookyard.core.ids import BatchId, Ids, RunId, WorkspaceId
from hookyard.core.verdicts import GateVerdict
from hookyard.intake import fast_path
from hookyard.intake.backlog import Backlog
from hookyard.intake.batches import Batches, lock_callbacks, lock_workspaces, window_seconds
from hookyard.intake.dedup_gates import decide_duplicates, decide_operations
from hookyard.intake.event_repository import ListenerSets, store_events
from hookyard.intake.loop_guard import HourlyRunLimit, lineage_reason
from hookyard.intake.pending import Accepted, AcceptRequest, Match, PendingEvent, PendingOutcome
from hookyard.intake.run_requests import RunRequest, queue_runs
from hookyard.store.database import FastPathHandler, announce
from hookyard.store.fast_sql import execute, placeholder_of

AcceptOutcome = list[Accepted] | Exception


class StaleIndexError(TemporaryError):
    """The callbacks have changed since the events were judged: judge them again."""


class GatePipeline(FastPathHandler[AcceptRequest, list[Accepted]]):
    """Decides and stores. Keeps nothing of a try that failed: a transaction may be run again.

    Args:
        ids: Makes the ids of batches.
    """

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._listener_sets = ListenerSets()
        self._backlog = Backlog()

    def __call__(self, conn: Connection, plans: Sequence[AcceptRequest]) -> list[AcceptOutcome]:
        """Store the events of some plans; a `GroupHandler`."""
        refusals = self._refusals(conn, plans)
        decisions = [
            [] if refusal is not None else [PendingOutcome(plan, candidate) for candidate in plan.candidates]
            for plan, refusal in zip(plans, refusals, strict=True)
        ]
        going = [decision for of_plan in decisions for decision in of_plan]
        decide_duplicates(conn, going)
        stored = [decision for decision in going if decision.accepted is None]
        matched = [decision for decision in stored if decision.candidate.matches]
        if matched:
            self._decide_matches(conn, matched)
        store_events(conn, stored, self._listener_sets)
        return [
            refusal or [_answer(decision) for decision in of_plan]
            for refusal, of_plan in zip(refusals, decisions, strict=True)
        ]

    def try_fast_path(self, conn: Connection, plans: Sequence[AcceptRequest]) -> list[AcceptOutcome] | None:
        """Store unmatched events, unless they are duplicates or anything else has to be decided."""
        judged: list[tuple[int, PendingEvent]] = []
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
                if candidate.matches:
                    return None
                if listeners is not None and self._listener_sets.lacks(listeners, candidate.event.received_at):
                    return None
                judged.append((judged_by.revision, candidate))
        if not fast_path.store_unmatched(conn, judged):
            return None
        announce(conn, *[f"events:{name}" for name in {plan.judged_by.workspace_id for plan in plans}])
        return [[Accepted(one.event.id, verdicts=one.verdicts) for one in plan.candidates] for plan in plans]

    def _refusals(self, conn: Connection, plans: Sequence[AcceptRequest]) -> list[Exception | None]:
        """Return why each plan cannot go on; those that can (None) have written their own rows."""
        revisions = _revisions(conn, plans)
        return [self._refusal(conn, plan, revisions.get(plan.judged_by.workspace_id)) for plan in plans]

    def _refusal(self, conn: Connection, plan: AcceptRequest, revision: int | None) -> Exception | None:
        workspace_id = plan.judged_by.workspace_id
        if revision is None:
            return NotFoundError("there is no such workspace", where=workspace_id)
        if revision != plan.judged_by.revision:
            return StaleIndexError("the callbacks have changed", hint="try again")
        if plan.limited:
            limit = plan.live.number("eventCallback.maxBacklog")
            now = plan.candidates[0].event.received_at if plan.candidates else 0.0
            if (full := self._backlog.refusal(conn, workspace_id, limit, now)) is not None:
                return full
        if plan.apply is not None and (error := _apply(conn, plan.apply)) is not None:
            return error
        for candidate in plan.candidates:
            if candidate.matches:
                self._backlog.queued(workspace_id, len(candidate.matches))
        return None

    def _decide_matches(self, conn: Connection, matched: Sequence[PendingOutcome]) -> None:
        """Decide the gates operation, merge, loop and queue for the matches."""
        lock_callbacks(conn, [m.listener.callback_id for d in matched for m in d.candidate.matches])
        decide_operations(conn, matched)
        now = max(d.candidate.event.received_at for d in matched)
        waiting = [(decision, match) for decision in matched for match in decision.open()]
        stop = HourlyRunLimit(conn, [m.start for _, m in waiting if m.start is not None], now, matched[0].plan.live)
        merging = [m.listener.callback_id for _, m in waiting if m.start is None]
        batches = Batches(conn, merging, self._ids, now) if merging else None
        starts: list[RunRequest] = []
        for decision, match in waiting:
            if (start := _decide(decision, match, stop, batches)) is not None:
                starts.append(start)
        queue_runs(conn, starts, now)
        if batches is not None:
            batches.store(conn)


def _decide(decision: PendingOutcome, match: Match, stop: HourlyRunLimit, batches: Batches | None) -> RunRequest | None:
    """Decide loop, merge and queue for one match; return the run to be queued, if any."""
    event, live = decision.candidate.event, decision.plan.live
    # The chain is looked at before merging, so that a looping event cannot drag a batch of others with it.
    if (reason := lineage_reason(match.listener, event.cause, live)) is not None:
        decision.decide(match, GateVerdict.LOOP, reason=reason)
        return None
    if match.start is None:
        assert batches is not None
        size, window = len(decision.candidate.variables), window_seconds(match.listener, live)
        batch_id = batches.join(match.listener, event.workspace_id, event.name, event.id, size, window)
        decision.decide(match, GateVerdict.MERGED, batch=batch_id)
        return None
    if (reason := stop.reason(match.start)) is not None:
        decision.decide(match, GateVerdict.LOOP, reason=reason)
        return None
    decision.decide(match, GateVerdict.QUEUED, run=match.start.run_id)
    return match.start


def _revisions(conn: Connection, plans: Sequence[AcceptRequest]) -> dict[WorkspaceId, int]:
    """Return the revision of each workspace, which does not change until the transaction ends."""
    workspaces = {plan.judged_by.workspace_id for plan in plans}
    lock_workspaces(conn, workspaces)
    marks = ", ".join([placeholder_of(conn)] * len(workspaces))
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


def _answer(decision: PendingOutcome) -> Accepted:
    if decision.accepted is not None:
        return decision.accepted
    if not decision.details:
        return Accepted(decision.candidate.event.id, verdicts=decision.verdicts)
    details = decision.details.values()
    return Accepted(
        decision.candidate.event.id,
        tuple(RunId(detail["run"]) for detail in details if "run" in detail),
        next((BatchId(detail["batch"]) for detail in details if "batch" in detail), None),
        verdicts=decision.verdicts,
    )
