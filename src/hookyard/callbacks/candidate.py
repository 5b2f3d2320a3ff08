"""An event on its way in: what `accept` has found out before the transaction, and what `gates` decides in it.

Named tuples, as several are made for every event: a frozen dataclass takes three times as long to make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from hookyard.callbacks import letters
from hookyard.callbacks.claims import KEPT_SECONDS, Claim, key
from hookyard.callbacks.match import Index, Listener, Listeners
from hookyard.callbacks.start import Start
from hookyard.events.catalog import EventType
from hookyard.events.model import Event
from hookyard.ids import BatchId, CallbackId, EventId, RunId
from hookyard.settings import LiveSettings


class Accepted(NamedTuple):
    """What became of an event.

    Attributes:
        event_id: Its id; a duplicate's is that of the event that it repeats.
        runs: Runs that were queued.
        batch_id: The batch that it waits in, or None; the first, when several callbacks merge.
        duplicate_of: The event that it repeats, or None; then nothing was stored.
        verdicts: Letters, one a listener, see `letters`.
    """

    event_id: EventId
    runs: tuple[RunId, ...] = ()
    batch_id: BatchId | None = None
    duplicate_of: EventId | None = None
    verdicts: str = ""


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
    listener: Listener
    start: Start | None
    own_dedupe: bool = False
    claim: Claim | None = None


class Candidate(NamedTuple):
    """One event, judged.

    Attributes:
        event: With its id; it is gone when the event turns out to be a duplicate.
        event_type: Its type.
        variables: JSON of its variables.
        listeners: Who listens, or None.
        letters: The verdicts so far, in the order of the listeners.
        errors: By callback id: why a condition could not be judged.
        matches: Whom the gates have yet to decide about.
        claim: What event dedupe claims, or None.
        replay_of: The event that is replayed, or None.
    """

    event: Event
    event_type: EventType | None
    variables: str
    listeners: Listeners | None
    letters: str
    errors: Mapping[CallbackId, str]
    matches: Sequence[Match] = ()
    claim: Claim | None = None
    replay_of: EventId | None = None


class Plan(NamedTuple):
    """Events that are accepted together or not at all.

    Attributes:
        judged_by: The index that they were judged with.
        candidates: The events.
        apply: Writes the rows of the operation that the events tell of.
        limited: Refuse when too many runs wait.
        live: The settings.
    """

    judged_by: Index
    candidates: Sequence[Candidate]
    apply: Callable[[Connection], None] | None
    limited: bool
    live: LiveSettings


def event_claim(event: Event, variables: str, live: LiveSettings) -> Claim | None:
    """What event dedupe claims for an event: its id in the source, or its content (`variables`: sorted JSON)."""
    if event.source_id is not None:
        name = key("id", event.workspace_id, event.source, event.source_id)
        return Claim(name, event.id, event.received_at, KEPT_SECONDS)
    window = live.number("eventCallback.dedupWindowMs") / 1000
    if not live.flag("eventCallback.dedupEnabled") or window <= 0:
        return None
    return Claim(_content(event, variables), event.id, event.received_at, window)


def _content(event: Event, variables: str, *by: str) -> bytes:
    """What two events share that are taken for one. Operations are kept apart: two of them are two facts."""
    operation = () if event.operation_id is None else (event.source, event.operation_id)
    return key("content", event.workspace_id, event.name, variables, *operation, *by)


def own_claim(listener: Listener, event: Event, variables: str, live: LiveSettings) -> tuple[bool, Claim | None]:
    """Whether a callback has an event dedupe of its own, and what that claims; None when it is switched off."""
    own = listener.spec.dedupe
    if event.source_id is not None or (own.enabled is None and own.window_ms is None):
        return False, None
    enabled = live.flag("eventCallback.dedupEnabled") if own.enabled is None else own.enabled
    window = (live.number("eventCallback.dedupWindowMs") if own.window_ms is None else own.window_ms) / 1000
    if not enabled or window <= 0:
        return True, None
    name = _content(event, variables, "by", listener.callback_id)
    return True, Claim(name, event.id, event.received_at, window)


def operation_claim(listener: Listener, event: Event) -> Claim | None:
    """What operation dedupe claims for a callback; None for an event without operation."""
    if event.operation_id is None:
        return None
    name = key("operation", listener.callback_id, event.source, event.operation_id)
    return Claim(name, event.id, event.received_at, KEPT_SECONDS)


def details_of(candidate: Candidate) -> dict[str, dict[str, str]]:
    """By callback id: what the candidate's letters cannot say."""
    return {callback_id: {"error": error} for callback_id, error in candidate.errors.items()}


class Decision:
    """What the gates decide about a candidate, in one try of the transaction.

    Attributes:
        plan: Its plan.
        candidate: The candidate.
        letters: The verdicts, in the order of the listeners.
        details: By callback id: what the letters cannot say.
        accepted: The answer, in the end.
    """

    __slots__ = ("accepted", "candidate", "details", "letters", "plan")

    def __init__(self, plan: Plan, candidate: Candidate) -> None:
        self.plan = plan
        self.candidate = candidate
        self.letters = candidate.letters
        self.details = details_of(candidate)
        self.accepted: Accepted | None = None

    def settle(self, match: Match, letter: str, **detail: str) -> None:
        """Write down the verdict on one listener."""
        self.letters = self.letters[: match.place] + letter + self.letters[match.place + 1 :]
        self.details[match.listener.callback_id] = detail

    def open(self) -> Iterator[Match]:
        """Those about whom no gate has decided yet."""
        return (match for match in self.candidate.matches if self.letters[match.place] == letters.MATCHED)
