"""A real evaluator for the tests of conditions."""

from collections.abc import Sequence
from dataclasses import dataclass

from hookyard.conditions.condition_set import ConditionSet
from hookyard.conditions.conditions import Conditions
from hookyard.events.catalog import Value


class FakeClock:
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
class TestedCondition:
    """What became of one condition."""

    matched: bool
    error: str | None


@dataclass
class ConditionTester:
    """One workspace that asks."""

    conditions: Conditions
    clock: FakeClock
    workspace: str = "ws"

    async def all(self, expressions: Sequence[str], **ctx: Value) -> list[TestedCondition]:
        conditions = ConditionSet.of([(text, text) for text in expressions])
        judgement = await self.conditions.evaluate(self.workspace, ctx, conditions)
        assert judgement.errors.keys().isdisjoint(judgement.held)
        return [TestedCondition(n in judgement.held, judgement.errors.get(n)) for n in range(len(expressions))]

    async def one(self, expression: str, **ctx: Value) -> TestedCondition:
        [judged] = await self.all([expression], **ctx)
        return judged
