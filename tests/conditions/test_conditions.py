"""What a condition answers, what saving says of it, and what happens when evaluators end."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
import uvloop

from hookyard.conditions.condition_set import ConditionSet
from hookyard.conditions.conditions import Conditions
from hookyard.core.errors import TemporaryError
from hookyard.events.catalog import Catalog, Value
from tests.conditions.conditions import ConditionTester, FakeClock
from tests.conditions.test_condition_attacks import QUADRATIC

CATALOG = Catalog()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("ctx.taskStatus === 'blocked'", True),
        ("// 仅 blocked 状态触发\nctx.taskStatus === 'blocked'", True),
        ("ctx.taskTitle.includes('紧急')", True),
        ("ctx.taskStatus === 'blocked' && ctx.retryCount < 3", True),
        ("['blocked', 'waiting'].includes(ctx.taskStatus)", True),
        ("JSON.parse(ctx.changes).status === 'blocked'", True),
        ("ctx.missing", False),
        ("ctx.missing === undefined", True),
        ("ctx.missing?.length > 1", False),
        ("/^紧急/u.test(ctx.taskTitle)", True),
        ("ctx.retryCount", True),
        ("ctx.flag", False),
        ("", True),
        ("  \n\t", True),
        ("ctx.flag;", False),
        ("ctx.retryCount ; \n", True),
        ("new Date(2026, 0, 1).toISOString() === '2026-01-01T00:00:00.000Z'", True),
        ("({taskStatus}) => 1", True),
        ("(({taskStatus}) => taskStatus === 'x')(ctx)", False),
    ],
)
async def test_a_condition_holds_by_truthiness(judge: ConditionTester, expression: str, expected: bool) -> None:
    ctx: dict[str, Value] = {
        "taskStatus": "blocked",
        "taskTitle": "紧急: 登录",
        "retryCount": 2,
        "changes": '{"status":"blocked"}',
        "flag": False,
    }
    judged = await judge.one(expression, **ctx)
    assert (judged.matched, judged.error) == (expected, None)


@pytest.mark.parametrize(
    ("expression", "error"),
    [
        ("ctx.title.x.y", "TypeError: cannot read property 'y' of undefined (1:1)"),
        ("ctx.n === 1 &&\n  ctx.任务.length > 1", "TypeError: cannot read property 'length' of undefined (2:3)"),
        ("'任务任务'.length > 1 && missing", "ReferenceError: missing is not defined (1:22)"),
        ("[1].map(x => x.y.z)", "TypeError: cannot read property 'z' of undefined (1:14)"),
        ("(() => { throw new RangeError('too 远') })()", "RangeError: too 远 (1:20)"),
        ("(() => { throw 'no' })()", "threw no"),
    ],
)
async def test_an_error_has_its_place(judge: ConditionTester, expression: str, error: str) -> None:
    assert (await judge.one(expression, n=1, title="x")).error == error


@pytest.mark.parametrize(
    ("expression", "line", "column"),
    [
        ("ctx.a ==", 1, 9),
        ("ctx.a && (\n  ctx.b", 2, 8),
        ("ctx.a 5", 1, 7),
        ("  ctx.任务 5", 1, 10),
        ("ctx.a &&\n  '任务' 5;", 2, 8),
        ("1); while(1); (2", 1, 2),
    ],
)
async def test_a_syntax_error_has_its_place(judge: ConditionTester, expression: str, line: int, column: int) -> None:
    [problem] = await judge.conditions.check(expression)
    assert (problem.severity, problem.field, problem.line, problem.column) == ("error", "condition", line, column)
    assert f"({line}:{column})" in str((await judge.one(expression)).error)


async def test_a_condition_that_can_never_hold_is_warned_of(judge: ConditionTester) -> None:
    check = judge.conditions.check
    both = CATALOG.select(["task.created", "conversation.error"])
    assert await check("ctx.taskStatus === 'x'", both) == []
    assert await check("ctx.batchSize > 3 && ctx.retryCount", both) == []
    [never] = await check("ctx.taskStatus === 'blocked' && ctx.retryCount < 3", both)
    assert (never.severity, "no single chosen event carries all" in never.message) == ("warning", True)
    [unknown] = await check("1 &&\n ctx.taskTitel", both)
    assert (unknown.severity, unknown.line, unknown.column) == ("warning", 2, 6)
    [locale] = await check("ctx.taskTitle.localeCompare('z') > 0", both)
    assert (locale.severity, locale.column) == ("warning", 15)
    [forgotten] = await check("ctx.taskType === 'bug' && taskStatus === 'blocked'", both)
    assert (forgotten.severity, forgotten.column) == ("warning", 27)
    assert "ctx.taskStatus" in forgotten.message


async def test_workspaces_share_nothing(judge: ConditionTester) -> None:
    other = ConditionTester(judge.conditions, judge.clock, "other")
    await asyncio.gather(
        *(w.all([f"ctx.n === {i}" for i in range(50)], n=i) for i in range(50) for w in (judge, other))
    )
    assert [j.matched for j in await judge.all(["ctx.n === 1", "ctx.n === 2"], n=1)] == [True, False]
    assert [j.matched for j in await other.all(["ctx.n === 2", "ctx.n === 1"], n=1)] == [False, True]


async def test_a_killed_evaluator_is_replaced_and_nothing_is_lost(judge: ConditionTester) -> None:
    await judge.one("true")
    for _ in range(5):
        child = judge.conditions._fast._state.child
        assert child is not None
        os.kill(child.process.pid, signal.SIGKILL)
        judged = await asyncio.gather(*(judge.all(["ctx.n === 3", "ctx.n < 10"], n=n) for n in range(40)))
        assert [[j.matched for j in each] for each in judged] == [[n == 3, n < 10] for n in range(40)]


async def test_a_stopped_evaluator_is_replaced(judge: ConditionTester) -> None:
    child = judge.conditions._fast._state.child
    assert child is not None
    os.kill(child.process.pid, signal.SIGSTOP)
    assert (await judge.one("ctx.n === 3", n=3)).matched


async def test_others_are_judged_while_one_hangs(judge: ConditionTester) -> None:
    other = ConditionTester(judge.conditions, judge.clock, "other")
    hanging = asyncio.create_task(judge.all([QUADRATIC, "true"]))
    judged = await asyncio.gather(*(other.one("ctx.n === 3", n=n) for n in range(100)))
    assert [j.matched for j in judged] == [n == 3 for n in range(100)]
    assert [j.matched for j in await hanging] == [False, True]


async def test_a_hanging_workspace_waits_in_a_lane_of_its_own(judge: ConditionTester) -> None:
    await judge.one("(()=>{while(true);})()")
    other = ConditionTester(judge.conditions, judge.clock, "other")
    slow = asyncio.gather(*(judge.all(["(()=>{while(true);})()", f"ctx.n === {n}"], n=n) for n in range(2)))
    assert (await other.one("true")).matched
    assert not slow.done()
    assert [each[1].matched for each in await slow] == [True, True]


async def test_repeated_offenders_are_switched_off_for_a_while(judge: ConditionTester) -> None:
    loop = "(()=>{while(true);})()"
    for _ in range(3):
        assert (await judge.one(loop)).error == "took more than 50 ms"
    off = await judge.all([loop, "true"])
    assert off[0].error == "switched off until 2026-01-15T09:10:00.000Z: it broke its limits repeatedly"
    assert off[1].matched
    other = ConditionTester(judge.conditions, judge.clock, "other")
    assert (await other.one(loop)).error == "took more than 50 ms"
    judge.clock.at += 601
    assert (await judge.one(loop)).error == "took more than 50 ms"


async def test_many_loops_at_once_are_refused_and_never_called_not_matched(
    judge: ConditionTester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookyard.conditions.pool.SINGLE_MODE_SECONDS", 0.5)
    loops = [f"(()=>{{while(true);}})() || {n}" for n in range(200)]
    with pytest.raises(TemporaryError):
        await judge.all(loops)
    other = ConditionTester(judge.conditions, judge.clock, "other")
    assert (await other.one("true")).matched


async def test_without_an_evaluator_judging_is_a_temporary_error(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o700)
    conditions = Conditions(FakeClock(), str(broken))
    with pytest.raises(TemporaryError):
        await conditions.start()
    with pytest.raises(TemporaryError):
        await conditions.evaluate("ws", {}, ConditionSet.of((("a", "true"),)))
    assert (await conditions.evaluate("ws", {}, ConditionSet.of((("a", ""),)))).matched
    await conditions.close()


async def test_closing_gives_up_what_is_under_way() -> None:
    conditions = Conditions(FakeClock())
    await conditions.start()
    under_way = asyncio.create_task(conditions.evaluate("ws", {}, ConditionSet.of((("a", QUADRATIC),))))
    await asyncio.sleep(0)
    await conditions.close()
    with pytest.raises(TemporaryError):
        await under_way


def test_the_servers_own_loop_works_too() -> None:
    async def judge() -> list[bool]:
        conditions = Conditions(FakeClock())
        await conditions.start()
        judge = ConditionTester(conditions, FakeClock())
        judged = await judge.all(["ctx.n === 1", QUADRATIC, "ctx.n === 2"], n=1)
        problems = await conditions.check("1 +")
        await conditions.close()
        return [j.matched for j in judged] + [bool(problems)]

    assert uvloop.run(judge()) == [True, False, False, True]


async def test_an_evaluator_ends_with_its_server(judge: ConditionTester) -> None:
    child = judge.conditions._fast._state.child
    assert child is not None
    assert child._transport is not None
    child._transport.abort()
    await asyncio.wait_for(asyncio.to_thread(child.process.wait), 60)


async def test_edited_conditions_do_not_fill_the_evaluator(judge: ConditionTester) -> None:
    for n in range(600):
        assert (await judge.one(f"ctx.n === {n}", n=n)).matched


async def test_large_events_are_judged(judge: ConditionTester) -> None:
    text = "任" * 340_000  # nearly 1 MiB on the wire
    judged = await judge.all(["ctx.text.length === 340000", "ctx.text.endsWith('任')"], text=text)
    assert [(j.matched, j.error) for j in judged] == [(True, None)] * 2


async def test_a_thousand_conditions_are_one_call(judge: ConditionTester) -> None:
    judged = await judge.all([f"ctx.n === {n}" for n in range(1000)], n=500)
    assert [n for n, j in enumerate(judged) if j.matched] == [500]
