"""Where every event enters: from the workspace, the API, the inbound webhooks, the agents.

The path of an event, each step calling the next:

1. `web.ingest` reads a request, `events.envelope` checks it: a `EventDraft` for each event. The workspace and the
  services'
   webhooks make drafts themselves.
2. `EventIntake.accept` gives each draft its id and time: an `Event`.
3. `match` names the callbacks that listen; the author gate and the conditions (`conditions.static_match`,
  `conditions.conditions`) are judged
   outside of any transaction: a `PendingEvent` with its `Match`es and the verdicts so far.
4. `gates` decides the rest in one transaction, shared by all events that wait at that moment: `dedup_gates`, `batches`,
   `loop_guard`, `backlog`. A `PendingOutcome` holds the final verdicts.
5. In the same transaction `event_repository` stores the event with its verdicts, and `run_requests` queues the runs.
6. After the commit the answer is an `Accepted`: there is no moment at which an accepted event exists without its runs.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection

from hookyard.conditions.conditions import Conditions
from hookyard.core.clock import Clock
from hookyard.core.errors import HookyardError, TemporaryError
from hookyard.core.ids import CallbackId, EventId, Ids, WorkspaceId
from hookyard.core.verdicts import GateVerdict
from hookyard.events.model import Event, EventDraft
from hookyard.intake.dedup_gates import event_dedup_key, own_dedup_key
from hookyard.intake.gates import GatePipeline, StaleIndexError
from hookyard.intake.match import (
    CallbackIndex,
    CallbackIndexes,
    ConditionPlan,
    EventListeners,
    merges,
    passes_author_gate,
)
from hookyard.intake.pending import Accepted, AcceptRequest, Match, PendingEvent
from hookyard.intake.run_requests import prepare
from hookyard.settings import LiveSettings
from hookyard.store.database import Database

MAX_TRIES = 20
"""Times that events are judged again because callbacks were changed meanwhile."""

_ERRORS_KEPT = 50
"""Errors of conditions that one event keeps in words; the others keep their letter."""

_SORTED = json.JSONEncoder(sort_keys=True)
"""The same variables always give the same text: it is stored, compared by event dedupe, and read by the conditions."""


class EventIntake:
    """Accepts events.

    Args:
        database: Where to.
        clock: Dates them.
        ids: Makes their ids.
        conditions: Judges them.
        live: The settings in effect.
        on_condition_error: Receives conditions that could not be judged, by callback id.
        on_stored: Receives every event that was stored, after the commit; returns at once and never fails.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: Ids,
        conditions: Conditions,
        live: Callable[[], LiveSettings],
        on_condition_error: Callable[[Event, Mapping[CallbackId, str]], Awaitable[None]] | None = None,
        on_stored: Callable[[Event, Accepted], None] | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._conditions = conditions
        self._live = live
        self._on_condition_error = on_condition_error
        self._on_stored = on_stored
        self._indexes = CallbackIndexes(database)
        self._gates = GatePipeline(ids)

    def accept(
        self,
        workspace_id: WorkspaceId,
        drafts: Sequence[EventDraft],
        *,
        apply: Callable[[Connection], None] | None = None,
        limited: bool = False,
    ) -> Coroutine[Any, Any, list[Accepted]]:
        """Store events and queue their runs: all of them or none.

        Args:
            workspace_id: Only its callbacks see them.
            drafts: In their order; of one operation, or of one request.
            apply: Writes the operation's own rows, in the same transaction and before the events. It may be run more
                than once. What it raises comes back, and nothing is stored.
            limited: Refuse when too many runs of the workspace wait.

        Returns:
            The outcome of each draft, after the commit.

        Raises:
            NotFoundError: No such workspace.
            LimitError: Too many runs wait.
            TemporaryError: Conditions cannot be judged, or the database cannot store; nothing was stored.
        """
        return self._accept(workspace_id, drafts, apply=apply, limited=limited)

    async def replay(self, event: Event, listeners: EventListeners | None = None) -> Accepted:
        """Accept a stored event once more, as a new operation that passes both dedupes.

        Args:
            event: As it was stored.
            listeners: The callbacks of then; None = those of now.
        """
        draft = EventDraft(
            event.name, event.variables, event.source, None, self._ids.operation(), event.occurred_at,
            event.author_trust, event.cause,
        )  # fmt: skip
        (accepted,) = await self._accept(event.workspace_id, (draft,), replay_of=event.id, listeners=listeners)
        return accepted

    async def _accept(
        self,
        workspace_id: WorkspaceId,
        drafts: Sequence[EventDraft],
        *,
        apply: Callable[[Connection], None] | None = None,
        limited: bool = False,
        replay_of: EventId | None = None,
        listeners: EventListeners | None = None,
    ) -> list[Accepted]:
        for _ in range(MAX_TRIES):
            index = self._indexes.known(workspace_id) or await self._indexes.load(workspace_id)
            live = self._live()
            candidates = []
            for draft in drafts:
                event = draft.accepted(self._ids.event(), workspace_id, self._clock.now())
                heard_by = listeners or index.by_event.get(event.name)
                candidates.append(await self._candidate(index, event, heard_by, live, replay_of))
            try:
                accepted = await self._database.write_grouped(
                    self._gates, AcceptRequest(index, candidates, apply, limited, live)
                )
            except StaleIndexError:
                self._indexes.forget(index)
                continue
            if self._on_stored is not None:
                for candidate, one in zip(candidates, accepted, strict=True):
                    if one.duplicate_of is None:
                        self._on_stored(candidate.event, one)
            if any(candidate.errors for candidate in candidates):
                await self._report_condition_errors(candidates)
            return accepted
        raise TemporaryError("the callbacks change faster than events can be judged", hint="send it again")

    async def _candidate(
        self,
        index: CallbackIndex,
        event: Event,
        listeners: EventListeners | None,
        live: LiveSettings,
        replay_of: EventId | None,
    ) -> PendingEvent:
        """Return the event with the verdicts of the author and condition gates, and the runs that may follow."""
        event_type = index.catalog.get(event.name)
        variables = _SORTED.encode(event.variables)
        claim = None if replay_of is not None else event_dedup_key(event, variables, live)
        if listeners is None:
            return PendingEvent(event, event_type, variables, None, (), {}, (), claim, replay_of)
        merging = live.flag("eventCallback.mergeEnabled")
        question = listeners.questions[passes_author_gate(event), merging]
        matched, errors = await self._judge(event, variables, question)
        matches = []
        for place in sorted(matched):
            listener = listeners.all[place]
            start = None if merges(listener, merging=merging) else prepare(listener, event, event_type, self._ids)
            matches.append(Match(place, listener, start, *own_dedup_key(listener, event, variables, live)))
        verdicts = _with_judgement(question.verdicts, matched, errors)
        kept = {listeners.all[n].callback_id: errors[n] for n in sorted(errors)[:_ERRORS_KEPT]}
        return PendingEvent(event, event_type, variables, listeners, verdicts, kept, matches, claim, replay_of)

    async def _judge(
        self, event: Event, variables: str, question: ConditionPlan
    ) -> tuple[Sequence[int], Mapping[int, str]]:
        """Return the indexes of the listeners that want an event, and by index why a condition could not be judged."""
        simple = question.simple
        matched = [*question.unconditional, *simple.matched(event.ctx if simple.common else event.variables)]
        if not question.judged:
            return matched, {}
        judgement = await self._conditions.evaluate(event.workspace_id, _ctx(event, variables), question.conditions)
        matched += [question.judged[index] for index in judgement.held]
        return matched, {question.judged[index]: error for index, error in judgement.errors.items()}

    async def _report_condition_errors(self, candidates: Sequence[PendingEvent]) -> None:
        if self._on_condition_error is None:
            return
        for candidate in candidates:
            if candidate.errors:
                # The event is stored: what goes wrong with a note about it may not look like a refusal.
                with suppress(HookyardError):
                    await self._on_condition_error(candidate.event, candidate.errors)


def _ctx(event: Event, variables: str) -> str:
    """Return the JSON of `event.ctx`, built on the variables' JSON."""
    common = f'{{"eventName":"{event.name}","timestamp":"{event.timestamp}","workspaceId":"{event.workspace_id}"'
    return f"{common}}}" if variables == "{}" else f"{common},{variables[1:]}"


def _with_judgement(
    before: Sequence[GateVerdict], matched: Sequence[int], errors: Mapping[int, str]
) -> Sequence[GateVerdict]:
    """Return the verdicts with what the conditions said added to what was known before."""
    if not matched and not errors:
        return before
    verdicts = list(before)
    for index in matched:
        verdicts[index] = GateVerdict.PENDING
    for index in errors:
        verdicts[index] = GateVerdict.CONDITION_ERROR
    return verdicts
