"""Conditions of one workspace that never end, and what others notice of it: nothing."""

import asyncio
import time

import pytest

from hookyard.conditions.conditions import Conditions
from hookyard.core.errors import LimitError
from tests.conditions.conditions import ConditionTester, FakeClock
from tests.conditions.test_condition_attacks import QUADRATIC

LOOP = "(()=>{while(true);})()"
BUSY = "(()=>{let s=0;for(let i=0;i<200000;i++)s+=i%7;return s>0})()"  # some 5 to 20 ms of CPU
SECONDS = 2.0
"""Within these everybody else is judged, on a loaded machine too."""


def another(judge: ConditionTester, workspace: str) -> ConditionTester:
    return ConditionTester(judge.conditions, judge.clock, workspace)


async def judged_meanwhile(judge: ConditionTester) -> None:
    """Twenty events of a workspace that minds its own business."""

    async def one(n: int) -> None:
        began = time.monotonic()
        judged = await another(judge, "w").all(["ctx.n === 3", "ctx.n < 10", "ctx.n.x.y"], n=n)
        assert [j.matched for j in judged] == [n == 3, n < 10, False]
        assert time.monotonic() - began < SECONDS

    await asyncio.gather(*(one(n) for n in range(20)))


async def test_twenty_events_with_five_endless_conditions_each(judge: ConditionTester) -> None:
    loops = [f"{LOOP} || {n}" for n in range(5)]
    attack = [asyncio.create_task(judge.all([*loops, "ctx.n > 9"], n=n)) for n in range(20)]
    await asyncio.sleep(0)
    await judged_meanwhile(judge)  # behind all of them, in the same moment
    await asyncio.sleep(0.05)
    await judged_meanwhile(judge)  # while they run
    judged = await asyncio.gather(*attack)
    assert [[j.matched for j in each] for each in judged] == [[False] * 5 + [n > 9] for n in range(20)]
    # Judged three times at most, and switched off for those that waited.
    assert sum("switched off" in str(each[0].error) for each in judged) >= 17


async def test_what_has_to_be_killed_is_killed_once_in_the_fast_lane(judge: ConditionTester) -> None:
    await judged_meanwhile(judge)
    fast = judge.conditions._fast
    seen = {fast._state.child}
    attack = [asyncio.create_task(judge.all([QUADRATIC], n=n)) for n in range(20)]
    await asyncio.sleep(0)
    await judged_meanwhile(judge)
    seen.add(fast._state.child)
    assert len(seen) == 2
    await judged_meanwhile(judge)
    assert fast._state.child in seen
    assert not any(each[0].matched for each in await asyncio.gather(*attack))
    assert not fast._lines
    assert not judge.conditions._slow._lines
    assert not judge.conditions._turns._lines


async def test_more_hostile_workspaces_than_kills_that_are_put_up_with(judge: ConditionTester) -> None:
    await judged_meanwhile(judge)
    attack = [asyncio.create_task(another(judge, f"x{n}").one(QUADRATIC)) for n in range(8)]
    await asyncio.sleep(0)
    judged = await asyncio.gather(*(another(judge, "w").one("ctx.n === 3", n=n) for n in range(20)))
    assert [j.matched for j in judged] == [n == 3 for n in range(20)]
    assert not any(each.matched for each in await asyncio.gather(*attack))


async def test_slow_workspaces_take_turns(judge: ConditionTester) -> None:
    slow = another(judge, "slow")
    for _ in range(20):
        await slow.one(BUSY)
    assert "slow" in judge.conditions._slow_until
    attack = [asyncio.create_task(judge.all([f"{LOOP} || {n}"])) for n in range(12)]  # none is ever switched off
    assert (await slow.all([BUSY, "ctx.n === 1"], n=1))[1].matched
    assert sum(task.done() for task in attack) < 8
    await asyncio.gather(*attack)


async def test_many_small_efforts_are_one_large(judge: ConditionTester) -> None:
    for _ in range(20):
        assert (await judge.one(BUSY)).matched
    assert "ws" in judge.conditions._slow_until


async def test_a_slow_workspace_comes_back(judge: ConditionTester) -> None:
    await judge.one(LOOP)
    assert judge.conditions._is_slow("ws")
    judge.clock.ahead += 61
    assert (await judge.one("true")).matched
    assert "ws" not in judge.conditions._slow_until


async def test_one_workspace_cannot_fill_the_queues(judge: ConditionTester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookyard.conditions.dispatcher.MAX_QUEUED_PER_WORKSPACE", 300)
    monkeypatch.setattr("hookyard.conditions.fair_lock.MAX_WAITING", 5)
    answers = await asyncio.gather(*(judge.one("ctx.n > 0", n=1) for n in range(400)), return_exceptions=True)
    assert sum(isinstance(answer, LimitError) for answer in answers) == 100
    attack = asyncio.gather(*(judge.one(LOOP) for _ in range(20)), return_exceptions=True)
    await judged_meanwhile(judge)
    assert sum(isinstance(answer, LimitError) for answer in await attack) == 15
    assert not judge.conditions._fast._lines
    assert not judge.conditions._turns._lines


async def test_what_waits_when_the_server_stops_is_given_up() -> None:
    conditions = Conditions(FakeClock())
    await conditions.start()
    judge = ConditionTester(conditions, FakeClock())
    under_way = [asyncio.create_task(judge.one(QUADRATIC)) for _ in range(400)]
    await asyncio.sleep(0)
    await conditions.close()
    answers = await asyncio.wait_for(asyncio.gather(*under_way, return_exceptions=True), 60)
    assert {str(answer) for answer in answers} == {
        "conditions cannot be judged now: the server is stopping (send it again)"
    }
