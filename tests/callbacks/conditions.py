"""A real evaluator for the tests of conditions."""

from collections.abc import Sequence
from dataclasses import dataclass

from hookyard.callbacks.condition import Conditions
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
        judgement = await self.conditions.judge(self.workspace, ctx, tuple((text, text) for text in expressions))
        assert {place for place, letter in enumerate(judgement.letters) if letter == "e"} == judgement.errors.keys()
        return [Judged(letter == "1", judgement.errors.get(n)) for n, letter in enumerate(judgement.letters)]

    async def one(self, expression: str, **ctx: Value) -> Judged:
        [judged] = await self.all([expression], **ctx)
        return judged
