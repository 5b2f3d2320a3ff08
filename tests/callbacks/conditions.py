"""A real evaluator for the tests of conditions."""

from collections.abc import Sequence
from dataclasses import dataclass

from hookyard.callbacks.condition import Conditions
from hookyard.callbacks.condition_set import ConditionSet
from hookyard.events.catalog import Value


class Clock:
    """Real monotonic time, a wall clock that the test sets."""

    def __init__(self) -> None:
        self.at = 1_768_467_600.0
        self.ahead = 0.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        import time

        return time.monotonic() + self.ahead


@dataclass(frozen=True)
class Judged:
    """What became of one condition."""

    matched: bool
    error: str | None


@dataclass
class Judge:
    """One workspace that asks."""

    conditions: Conditions
    clock: Clock
    workspace: str = "ws"

    async def all(self, expressions: Sequence[str], **ctx: Value) -> list[Judged]:
        conditions = ConditionSet.of([(text, text) for text in expressions])
        judgement = await self.conditions.judge(self.workspace, ctx, conditions)
        assert judgement.errors.keys().isdisjoint(judgement.held)
        return [Judged(n in judgement.held, judgement.errors.get(n)) for n in range(len(expressions))]

    async def one(self, expression: str, **ctx: Value) -> Judged:
        [judged] = await self.all([expression], **ctx)
        return judged
