"""An event on its way in: what `accept` has found out before the transaction, and what `gates` decides in it.

Named tuples, as several are made for every event: a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection

from hookyard.core.ids import BatchId, CallbackId, EventId, RunId
from hookyard.core.verdicts import GateVerdict
from hookyard.events.catalog import EventType
from hookyard.events.model import Event
from hookyard.intake.dedup import DedupKey
from hookyard.intake.match import CallbackIndex, CallbackListener, EventListeners
from hookyard.intake.run_requests import RunRequest
from hookyard.settings import LiveSettings


class Accepted(NamedTuple):
    """The outcome of an event.

    Attributes:
        event_id: Its id; a duplicate's is that of the event that it repeats.
        runs: Runs that were queued.
        batch_id: The batch that it waits in, or None; the first, when several callbacks merge.
        duplicate_of: The event that it repeats, or None; then nothing was stored.
        verdicts: One per listener.
    """

    event_id: EventId
    runs: tuple[RunId, ...] = ()
    batch_id: BatchId | None = None
    duplicate_of: EventId | None = None
    verdicts: Sequence[GateVerdict] = ()


class Match(NamedTuple):
    """A listener that wants the event, as far as can be said before the transaction.

    Attributes:
        place: Of the listener, in the listener set.
        listener: The callback.
        start: The run that it would be; None when the event will be merged.
        own_dedupe: It has an event dedupe of its own: the event's claim does not count for it.
        claim: What that claims; None when it is switched off.
    """

    place: int
    listener: CallbackListener
    start: RunRequest | None
    own_dedupe: bool = False
    claim: DedupKey | None = None


class PendingEvent(NamedTuple):
    """One event, judged.

    Attributes:
        event: With its id; it is gone when the event turns out to be a duplicate.
        event_type: Its type.
        variables: JSON of its variables.
        listeners: Who listens, or None.
        verdicts: What is decided so far, in the order of the listeners; `PENDING` for those in `matches`.
        errors: By callback id: why a condition could not be judged.
        matches: Whom the gates have yet to decide about.
        claim: What event dedupe claims, or None.
        replay_of: The event that is replayed, or None.
    """

    event: Event
    event_type: EventType | None
    variables: str
    listeners: EventListeners | None
    verdicts: Sequence[GateVerdict]
    errors: Mapping[CallbackId, str]
    matches: Sequence[Match] = ()
    claim: DedupKey | None = None
    replay_of: EventId | None = None


class AcceptRequest(NamedTuple):
    """Events that are accepted together or not at all.

    Attributes:
        judged_by: The index that they were judged with.
        candidates: The events.
        apply: Writes the rows of the operation that the events tell of.
        limited: Refuse when too many runs wait.
        live: The settings.
    """

    judged_by: CallbackIndex
    candidates: Sequence[PendingEvent]
    apply: Callable[[Connection], None] | None
    limited: bool
    live: LiveSettings


def details_of(candidate: PendingEvent) -> dict[str, dict[str, str]]:
    """Return by callback id the details that the verdicts of an event cannot carry."""
    return {callback_id: {"error": error} for callback_id, error in candidate.errors.items()}


@dataclass(slots=True, eq=False)
class PendingOutcome:
    """What the gates decide about a candidate, in one try of the transaction.

    Attributes:
        plan: Its plan.
        candidate: The candidate.
        verdicts: In the order of the listeners.
        details: By callback id: what the verdicts cannot say.
        accepted: The answer, in the end.
    """

    plan: AcceptRequest
    candidate: PendingEvent
    verdicts: list[GateVerdict] = field(init=False)
    details: dict[str, dict[str, str]] = field(init=False)
    accepted: Accepted | None = None

    def __post_init__(self) -> None:
        """Begin with what was decided before the transaction."""
        self.verdicts = list(self.candidate.verdicts)
        self.details = details_of(self.candidate)

    def decide(self, match: Match, verdict: GateVerdict, **detail: str) -> None:
        """Record the verdict on one listener."""
        self.verdicts[match.place] = verdict
        self.details[match.listener.callback_id] = detail

    def open(self) -> Iterator[Match]:
        """Return the matches about which no gate has decided yet."""
        return (match for match in self.candidate.matches if self.verdicts[match.place] is GateVerdict.PENDING)
