"""The gates `duplicate` and `operation`: what an event claims, and the effect of a claim that is already held.

`accept` makes the claims of an event before its transaction; `gates` takes them in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection

from hookyard.core.ids import EventId
from hookyard.core.verdicts import GateVerdict
from hookyard.events.model import Event
from hookyard.intake.dedup import KEPT_SECONDS, DedupKey, claim_all, hash_key
from hookyard.intake.event_repository import count_duplicates
from hookyard.intake.match import CallbackListener
from hookyard.intake.pending import Accepted, PendingOutcome
from hookyard.settings import LiveSettings


def event_dedup_key(event: Event, variables: str, live: LiveSettings) -> DedupKey | None:
    """Return what event dedupe claims for an event: its id in the source, or its content (`variables`: sorted JSON)."""
    if event.source_id is not None:
        name = hash_key("id", event.workspace_id, event.source, event.source_id)
        return DedupKey(name, event.id, event.received_at, KEPT_SECONDS)
    window = live.number("eventCallback.dedupWindowMs") / 1000
    if not live.flag("eventCallback.dedupEnabled") or window <= 0:
        return None
    return DedupKey(_content(event, variables), event.id, event.received_at, window)


def _content(event: Event, variables: str, *by: str) -> bytes:
    """Name what two events share that are duplicates. Operations are kept apart: two of them are two facts."""
    operation = () if event.operation_id is None else (event.source, event.operation_id)
    return hash_key("content", event.workspace_id, event.name, variables, *operation, *by)


def own_dedup_key(
    listener: CallbackListener, event: Event, variables: str, live: LiveSettings
) -> tuple[bool, DedupKey | None]:
    """Return whether a callback has an event dedupe of its own, and what that claims; None when it is switched off."""
    own = listener.spec.dedupe
    if event.source_id is not None or (own.enabled is None and own.window_ms is None):
        return False, None
    enabled = live.flag("eventCallback.dedupEnabled") if own.enabled is None else own.enabled
    window = (live.number("eventCallback.dedupWindowMs") if own.window_ms is None else own.window_ms) / 1000
    if not enabled or window <= 0:
        return True, None
    name = _content(event, variables, "by", listener.callback_id)
    return True, DedupKey(name, event.id, event.received_at, window)


def _operation_claim(listener: CallbackListener, event: Event) -> DedupKey | None:
    """Return what operation dedupe claims for a callback; None for an event without operation."""
    if event.operation_id is None:
        return None
    name = hash_key("operation", listener.callback_id, event.source, event.operation_id)
    return DedupKey(name, event.id, event.received_at, KEPT_SECONDS)


def decide_duplicates(conn: Connection, decisions: Sequence[PendingOutcome]) -> None:
    """Decide event dedupe, by the event's own claim and by those of callbacks that have a dedupe of their own.

    An event that no callback wants any more because it repeats another one gets its answer here, and is counted there.
    """
    claims = [claim for decision in decisions for claim in _claims_of(decision)]
    if not claims:
        return
    taken = claim_all(conn, claims)
    if not any(taken):  # what nearly always happens
        return
    holders = iter(taken)  # in the order of `_claims_of`
    repeated: list[tuple[EventId, float]] = []
    for decision in decisions:
        original = _decide_duplicate(decision, holders)
        if original is not None and not any(decision.open()):
            decision.accepted = Accepted(original, duplicate_of=original)
            repeated.append((original, decision.candidate.event.received_at))
    count_duplicates(conn, repeated)


def _claims_of(decision: PendingOutcome) -> Iterator[DedupKey]:
    """Yield the claims of an event: its own first, then those of its matches that have one."""
    if decision.candidate.claim is not None:
        yield decision.candidate.claim
    for match in decision.candidate.matches:
        if match.claim is not None:
            yield match.claim


def _decide_duplicate(decision: PendingOutcome, holders: Iterator[EventId | None]) -> EventId | None:
    """Settle the matches for which an event is a duplicate, and return the holder of the event's own claim.

    Args:
        decision: The event.
        holders: Yields the holder of each of its claims, in the order of `_claims_of`.
    """
    original = None if decision.candidate.claim is None else next(holders)
    for match in decision.candidate.matches:
        own = None if match.claim is None else next(holders)
        holder = own if match.own_dedupe else original
        if holder is not None:
            decision.decide(match, GateVerdict.DUPLICATE, event=holder)
    return original


def decide_operations(conn: Connection, decisions: Sequence[PendingOutcome]) -> None:
    """Decide operation dedupe: of the events of one operation each callback takes the first whose condition holds."""
    wanted = [
        (decision, match, claim)
        for decision in decisions
        for match in decision.open()
        if (claim := _operation_claim(match.listener, decision.candidate.event)) is not None
    ]
    holders = claim_all(conn, [claim for _, _, claim in wanted])
    for (decision, match, _), holder in zip(wanted, holders, strict=True):
        if holder is not None:
            decision.decide(match, GateVerdict.OPERATION, event=holder)
