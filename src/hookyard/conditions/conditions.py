"""Conditions: does a callback want this event?

`Conditions` is the server's side of the evaluator process: it keeps two lanes of evaluators, one for everybody and one
for workspaces whose conditions are slow or hang, so that none waits behind another's loop. Called by `intake.match` and
`intake.merge` (`judge`) and by saving and the editor (`check`). A condition that throws or breaks its limits is not
matched, with the reason; when judging is impossible a `TemporaryError` says so, and no caller may treat that as "not
matched".
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hookyard.conditions.condition_set import ConditionSet, single_condition, unusable
from hookyard.conditions.dispatcher import Dispatcher
from hookyard.conditions.evaluator import CHECK, HOLDS, JUDGE, OVER_LIMIT, THREW
from hookyard.conditions.expression import normal, read, reads_batch
from hookyard.conditions.fair_lock import KeyedLock
from hookyard.conditions.pool import EvalRequest, WorkerPool
from hookyard.core.clock import Clock, iso
from hookyard.core.errors import Problem
from hookyard.events.catalog import BATCH, EventType, Value

__all__ = ["ConditionSet", "Conditions", "Evaluation", "reads_batch", "single_condition"]

PATIENCE_SECONDS = 0.25
"""One call into an evaluator; conditions stop after 50 ms of CPU by themselves, and what does not stop is killed."""

SECOND_PATIENCE_SECONDS = 0.5
"""The same for a suspect that is judged once more, alone: the machine may have been busy."""

SLOW_SECONDS = 0.02
"""CPU time; a workspace whose conditions take longer for one event goes to the lane of the slow for a while."""

SLOW_FOR_SECONDS = 60.0
"""That while."""

SUSPECT_FOR_SECONDS = 5.0
"""The same when an evaluator had to be killed: it may have been the machine, and what is judged alone will tell."""

MAX_OFFENCES = 3
"""Times that a condition may break its limits before it is switched off for a while; hanging counts twice."""

OFF_FOR_SECONDS = 600.0
"""That while, and how long an offence is remembered."""

MAX_REDUCED = 4096
"""Sets of conditions that are remembered without those that are switched off."""

_PLACE = re.compile(r"\(?<input>:(\d+):(\d+)\)?")
_OUR_FRAME = "    at one (<input>"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Verdicts of several conditions.

    Attributes:
        held: Indexes of those that hold. A condition that could not be judged does not.
        errors: By index, why one could not be judged, with line and column where known.
    """

    held: Sequence[int]
    errors: Mapping[int, str]

    @property
    def matched(self) -> bool:
        """Whether the only condition holds."""
        return bool(self.held)


@dataclass(slots=True)
class _Violations:
    count: int
    last: float


class Conditions:
    """Judges conditions in processes of their own.

    Args:
        clock: Times limits and how long an offender stays switched off.
        python: The interpreter that evaluators run in.
    """

    def __init__(self, clock: Clock, python: str = sys.executable) -> None:
        self._clock = clock
        self._nursery = WorkerPool(python)
        self._fast = Dispatcher(self._nursery, PATIENCE_SECONDS, clock.monotonic, self._move_to_slow_queue)
        self._slow = Dispatcher(self._nursery, SECOND_PATIENCE_SECONDS, clock.monotonic)
        self._turns = KeyedLock()
        self._reduced: dict[tuple[bytes, frozenset[tuple[str, float]]], ConditionSet] = {}
        self._slow_until: dict[str, float] = {}
        self._offences: dict[str, dict[str, _Violations]] = {}

    async def start(self) -> None:
        """Start an evaluator and a spare one.

        Raises:
            TemporaryError: None can be started.
        """
        await self._fast.start()

    async def close(self) -> None:
        """End the evaluators; what is under way fails."""
        await self._fast.close()
        await self._slow.close()
        await self._nursery.close()

    async def evaluate(self, workspace_id: str, ctx: dict[str, Value] | str, conditions: ConditionSet) -> Evaluation:
        """Judge which conditions hold for an event.

        Args:
            workspace_id: The workspace; nothing is shared between two of them.
            ctx: Everything that the event carries (`NativeHook.ctx`), or its JSON in ASCII where that is there already.
            conditions: The conditions; the key of each names the callback and its version.

        Raises:
            LimitError: The workspace has too many events waiting.
            TemporaryError: They cannot be judged now. Never to be treated as "not matched".
        """
        active = self._exclude_disabled(workspace_id, conditions)
        if not active.texts:
            return Evaluation(active.held, active.errors)
        event = (ctx if isinstance(ctx, str) else json.dumps(ctx, allow_nan=False)).encode("ascii")
        if workspace_id not in self._slow_until or not self._is_slow(workspace_id):
            ask = EvalRequest(JUDGE, workspace_id, active.texts, event, digest=active.digest)
            self._fast.submit(ask)
            await ask.answer
            if not ask.deferred:
                if ask.taken > SLOW_SECONDS:
                    self._move_to_slow_queue(workspace_id, killed=False)
                return _evaluation(active, ask)
        async with self._turns.acquire(workspace_id):
            return await self._evaluate_in_slow_queue(workspace_id, event, conditions)

    async def _evaluate_in_slow_queue(self, workspace_id: str, event: bytes, conditions: ConditionSet) -> Evaluation:
        active = self._exclude_disabled(workspace_id, conditions)  # the events before may have switched off
        if not active.texts:
            return Evaluation(active.held, active.errors)
        ask = EvalRequest(JUDGE, workspace_id, active.texts, event, digest=active.digest, singly=True)
        self._slow.submit(ask)
        try:
            await ask.answer
        finally:
            for index, letter in enumerate(ask.letters):
                if letter == OVER_LIMIT:
                    self._record_violation(workspace_id, active.keys[index], 2 if index in ask.hung else 1)
            if ask.taken > SLOW_SECONDS or OVER_LIMIT in ask.letters:
                self._move_to_slow_queue(workspace_id, killed=False)
        return _evaluation(active, ask)

    async def check(self, expression: str, events: Sequence[EventType] = (), field: str = "condition") -> list[Problem]:
        """Return the errors of a condition without running it, then warnings about what is odd.

        Args:
            expression: Its text.
            events: The events that its callback listens to.
            field: The name of the text in problems.

        Raises:
            TemporaryError: It cannot be checked now.
        """
        text = normal(expression)
        if not text:
            return []
        if (refused := unusable(text)) is not None:
            return [Problem(field, refused)]
        ask = EvalRequest(CHECK, "", (text,))
        self._fast.submit(ask)
        complaint = await ask.answer
        if complaint:
            message, at = _syntax_error(complaint, text)
            line, column = _place(text, at)
            return [Problem(field, message, line=line, column=column)]
        return [
            Problem(field, message, severity="warning", line=line, column=column)
            for message, (line, column) in _warnings(expression, events)
        ]

    def _is_slow(self, workspace_id: str) -> bool:
        if self._clock.monotonic() < self._slow_until[workspace_id]:
            return True
        del self._slow_until[workspace_id]
        return False

    def _move_to_slow_queue(self, workspace_id: str, killed: bool) -> None:
        """Evaluate a workspace's conditions in the slow queue for a while."""
        until = self._clock.monotonic() + (SUSPECT_FOR_SECONDS if killed else SLOW_FOR_SECONDS)
        self._slow_until[workspace_id] = max(until, self._slow_until.get(workspace_id, 0.0))

    def _exclude_disabled(self, workspace_id: str, conditions: ConditionSet) -> ConditionSet:
        """Return the conditions without those that are switched off in the workspace."""
        offences = self._offences.get(workspace_id)
        if offences is None:
            return conditions
        now = self._clock.now()
        for key in [key for key, offence in offences.items() if now > offence.last + OFF_FOR_SECONDS]:
            del offences[key]
        if not offences:
            del self._offences[workspace_id]
        off = {key: offence.last for key, offence in offences.items() if offence.count >= MAX_OFFENCES}
        if off.keys().isdisjoint(conditions.keys):
            return conditions
        name = (conditions.digest, frozenset(off.items()))
        reduced = self._reduced.get(name)
        if reduced is None:
            if len(self._reduced) >= MAX_REDUCED:
                self._reduced.clear()
            reduced = self._reduced[name] = conditions.without({key: _switched_off(last) for key, last in off.items()})
        return reduced

    def _record_violation(self, workspace_id: str, key: str, weight: int) -> None:
        offence = self._offences.setdefault(workspace_id, {}).setdefault(key, _Violations(0, 0.0))
        offence.count += weight
        offence.last = self._clock.now()


def _evaluation(conditions: ConditionSet, ask: EvalRequest) -> Evaluation:
    """Read an answer, which has one letter for each condition that was run."""
    held = [conditions.indexes[n] for n, letter in enumerate(ask.letters) if letter == HOLDS]
    held += conditions.held
    if not ask.errors:
        return Evaluation(held, conditions.errors)
    errors = dict(conditions.errors)
    failures = iter(ask.errors)
    for n, letter in enumerate(ask.letters):
        if letter in (THREW, OVER_LIMIT):
            message, stack = next(failures)
            errors[conditions.indexes[n]] = _runtime_error(message, stack, conditions.texts[n])
    return Evaluation(held, errors)


def _switched_off(last_offence: float) -> str:
    return f"switched off until {iso(last_offence + OFF_FOR_SECONDS)}: it broke its limits repeatedly"


def _syntax_error(complaint: str, text: str) -> tuple[str, int]:
    """Return the message for people, and the index in the text."""
    message = complaint.partition("\n")[0].removeprefix("SyntaxError: ")
    place = _PLACE.search(complaint)
    if place is None:
        return message, 0
    lines = text.split("\n")
    line = int(place[1]) - 2
    if line >= len(lines):
        return "the condition ends too early; complete it or close its brackets", len(text)
    return message, sum(len(earlier) + 1 for earlier in lines[:line]) + _characters(lines[line], int(place[2]))


def _runtime_error(message: str, stack: str, text: str) -> str:
    """Return the message with its place in the text as `(line:column)`, when the engine reported one."""
    if message.startswith("SyntaxError: SyntaxError: "):
        message, at = _syntax_error(message.removeprefix("SyntaxError: ").replace("\\n", "\n"), text)
        line, column = _place(text, at)
        return f"SyntaxError: {message} ({line}:{column})"
    place = _PLACE.search(stack.partition(_OUR_FRAME)[0])
    lines = text.split("\n")
    if place is None or not 2 <= int(place[1]) < len(lines) + 2:
        return message
    line = int(place[1]) - 1
    return f"{message} ({line}:{_characters(lines[line - 1], int(place[2])) + 1})"


def _characters(line: str, column: int) -> int:
    """Return the index of a character in a line; the engine gives a 1-based column of UTF-8 bytes."""
    return len(line.encode()[: column - 1].decode(errors="ignore"))


def _place(text: str, at: int) -> tuple[int, int]:
    """Return the 1-based line and column of an index."""
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def _warnings(expression: str, events: Sequence[EventType]) -> list[tuple[str, tuple[int, int]]]:
    reading = read(expression)
    found = [
        (f"{name} knows no locale here (there is no Intl); its result may differ from a browser's", at)
        for name, at in reading.locale.items()
    ]
    batch = {v.name for v in BATCH}
    readable = batch.union(*(event.readable for event in events))
    found += [
        (f"a variable is read as ctx.{name}; alone it is not defined", at)
        for name, at in reading.alone.items()
        if name in readable
    ]
    if events and not any(reading.variables.keys() <= event.readable | batch for event in events):
        missing = {name: at for name, at in reading.variables.items() if name not in readable}
        if missing:
            found += [(f"no chosen event carries {name}: it is always undefined", at) for name, at in missing.items()]
        else:
            names = ", ".join(reading.variables)
            found.append((f"no single chosen event carries all of {names}; for each of them something is undefined", 0))
    return [(message, _place(expression, at)) for message, at in sorted(found, key=lambda each: each[1])]
