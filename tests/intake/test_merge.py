"""Merging, on both databases: windows, early closing, what the merged event carries, crashes between the steps."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select

from hookyard.core.verdicts import GateVerdict
from hookyard.events.catalog import Catalog
from hookyard.events.model import AuthorTrust
from hookyard.intake.batches import MAX_EVENTS
from hookyard.intake.merge import POLL_INTERVAL_SECONDS, BatchMerger
from hookyard.settings import LiveSettings
from hookyard.store import schema
from tests.intake.environment import START, IntakeEnvironment, chain, open_environment, task_event


@pytest.fixture
async def env(database_url: str) -> AsyncIterator[IntakeEnvironment]:
    async with open_environment(database_url) as made:
        made.settings["eventCallback.mergeEnabled"] = True
        yield made


async def test_events_within_the_window_become_one_run(env: IntakeEnvironment) -> None:
    callback = await env.callback(prompt="{{batchSize}} {{taskTitle}}")
    (first,) = await env.send(task_event(taskTitle="one"))
    env.clock.at += 4
    second, third = await env.send(task_event(taskTitle="two"), task_event(taskTitle="three"))
    assert first.batch_id == second.batch_id == third.batch_id
    assert first.runs == ()
    assert await env.verdicts_of(first) == {"A callback": GateVerdict.MERGED}
    assert await env.details_of(first) == {callback.id: {"batch": first.batch_id}}
    assert await env.merger.step() == pytest.approx(1.0)
    assert await env.runs() == []
    env.clock.at += 1.0  # five seconds after the first: the window has not slid
    await env.merger.step()
    (run,) = await env.runs()
    assert run["prompt"] == "3 three"
    assert (run["event_id"], run["batch_id"]) == (third.event_id, first.batch_id)
    context = json.loads(run["context"])
    assert context["batch"] is True
    assert context["batchSize"] == 3
    assert [one["taskTitle"] for one in json.loads(context["events"])] == ["one", "two", "three"]
    assert json.loads(context["events"])[0]["eventName"] == "task.updated"
    assert await env.merger.step() == POLL_INTERVAL_SECONDS
    assert len(await env.runs()) == 1


async def test_one_event_alone_runs_as_usual(env: IntakeEnvironment) -> None:
    await env.callback(prompt="[{{batch}}{{batchSize}}{{events}}] {{taskTitle}}")
    (only,) = await env.send(task_event())
    env.clock.at += 5
    await env.merger.step()
    (run,) = await env.runs()
    assert run["prompt"] == "[] 修复登录Bug"
    assert (run["event_id"], run["batch_id"]) == (only.event_id, None)


async def test_an_event_after_the_window_opens_another(env: IntakeEnvironment) -> None:
    await env.callback()
    (first,) = await env.send(task_event(taskTitle="one"))
    env.clock.at += 5
    (second,) = await env.send(task_event(taskTitle="two"))  # before anybody has closed the first
    assert first.batch_id != second.batch_id
    await env.merger.step()
    assert [run["event_id"] for run in await env.runs()] == [first.event_id]


async def test_a_batch_is_of_one_callback_and_one_type(env: IntakeEnvironment) -> None:
    await env.callback(name="both", events=["task.updated", "task.created"])
    await env.callback(name="updated")
    await env.callback(name="alone", merge={"enabled": False})
    updated, created = await env.send(task_event("task.updated"), task_event("task.created"))
    assert updated.batch_id != created.batch_id
    assert await env.verdicts_of(updated) == {
        "both": GateVerdict.MERGED, "updated": GateVerdict.MERGED, "alone": GateVerdict.QUEUED,
    }  # fmt: skip
    assert await env.count(schema.batches) == 3


async def test_a_hundred_events_close_early(env: IntakeEnvironment) -> None:
    await env.callback()
    accepted = await env.send(*(task_event(taskTitle=str(n)) for n in range(MAX_EVENTS + 1)))
    assert len({one.batch_id for one in accepted}) == 2
    await env.merger.step()
    (run,) = await env.runs()
    assert json.loads(run["context"])["batchSize"] == MAX_EVENTS


async def test_large_events_close_early(env: IntakeEnvironment) -> None:
    await env.callback()
    large = "x" * 100_000
    accepted = [await env.send(task_event(taskTitle=f"{n}{large}")) for n in range(4)]
    batches = [one.batch_id for (one,) in accepted]
    assert batches[0] == batches[1]
    assert batches[2] == batches[3] != batches[0]
    (huge,) = await env.send(task_event(taskTitle="x" * 400_000))
    assert huge.batch_id not in batches
    rows = await env.database.read(lambda c: c.execute(select(schema.batches.c.close_reason)).scalars().all())
    assert sorted(map(str, rows)) == ["bytes", "bytes", "bytes"]


async def test_conditions_that_read_the_batch_are_judged_on_the_merged_event(env: IntakeEnvironment) -> None:
    many = await env.callback(name="many", condition="ctx.batchSize >= 2")
    each = await env.callback(name="each", condition="ctx.taskTitle !== 'one'")
    broken = await env.callback(name="broken", condition="ctx.batch.no.such")
    first, second = await env.send(task_event(taskTitle="one"), task_event(taskTitle="two"))
    assert await env.verdicts_of(first) == {
        "many": GateVerdict.MERGED, "each": GateVerdict.CONDITION, "broken": GateVerdict.MERGED,
    }  # fmt: skip
    assert await env.verdicts_of(second) == dict.fromkeys(("many", "each", "broken"), GateVerdict.MERGED)
    env.clock.at += 5
    await env.merger.step()
    assert {run["callback_id"]: run["event_id"] for run in await env.runs()} == {
        many.id: second.event_id,
        each.id: second.event_id,
    }
    batches = schema.batches
    outcome = await env.database.read(
        lambda c: c.execute(select(batches.c.outcome, batches.c.reason).where(batches.c.callback_id == broken.id)).one()
    )
    assert outcome[0] == "e"
    assert outcome[1]


async def test_such_a_condition_sees_a_lone_event_without_batch_variables(env: IntakeEnvironment) -> None:
    await env.callback(condition="ctx.batch === undefined")
    await env.callback(condition="ctx.batchSize >= 1")
    await env.send(task_event())
    env.clock.at += 5
    await env.merger.step()
    assert len(await env.runs()) == 1


async def test_without_merging_it_is_judged_at_once(env: IntakeEnvironment) -> None:
    env.settings["eventCallback.mergeEnabled"] = False
    await env.callback(condition="ctx.batch === undefined")
    (accepted,) = await env.send(task_event())
    assert len(accepted.runs) == 1


async def test_an_edited_callback_closes_its_window_with_the_old_version(env: IntakeEnvironment) -> None:
    callback = await env.callback(prompt="old")
    (first,) = await env.send(task_event(taskTitle="one"))
    await env.change(callback, prompt="new")
    (second,) = await env.send(task_event(taskTitle="two"))
    assert first.batch_id != second.batch_id
    await env.merger.step()
    assert [(run["prompt"], run["callback_version"]) for run in await env.runs()] == [("old", 1)]
    env.clock.at += 5
    await env.merger.step()
    assert [run["prompt"] for run in await env.runs()] == ["old", "new"]


async def test_a_deleted_callbacks_run_is_skipped_with_the_reason(env: IntakeEnvironment) -> None:
    callback = await env.callback()
    await env.send(task_event())
    await env.callbacks.delete(env.workspace, callback.id)
    await env.merger.step()
    (run,) = await env.runs()
    assert run["status"] == "skipped"
    assert "deleted" in run["reason"]
    assert run["finished_at"] is not None


async def test_trust_and_causes_of_the_whole(env: IntakeEnvironment) -> None:
    await env.callback(prompt="{{taskTitle}}")
    await env.send(
        task_event(taskTitle="one", author_trust=AuthorTrust.UNKNOWN),
        task_event(taskTitle="two", cause=chain(("run_1", "cb_x"))),
        task_event(taskTitle="three"),
    )
    env.clock.at += 5
    await env.merger.step()
    (run,) = await env.runs()
    assert "untrusted-" in run["prompt"]
    assert "cb_x" in run["cause"]


async def test_a_looping_event_does_not_join(env: IntakeEnvironment) -> None:
    callback = await env.callback()
    (accepted,) = await env.send(task_event(cause=chain(("run_1", callback.id))))
    assert accepted.batch_id is None
    assert await env.verdicts_of(accepted) == {"A callback": GateVerdict.LOOP}


async def test_the_hourly_stop_counts_merged_runs(env: IntakeEnvironment) -> None:
    await env.callback(loop={"runsPerHour": 1})
    for title in ("one", "two"):
        await env.send(task_event(taskTitle=title))
        env.clock.at += 5
        await env.merger.step()
    assert len(await env.runs()) == 1
    outcomes = await env.database.read(
        lambda c: c.execute(select(schema.batches.c.outcome).order_by(schema.batches.c.id)).scalars().all()
    )
    assert outcomes == ["q", "l"]


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_the_clock_jumps_while_a_window_is_open(env: IntakeEnvironment, jump: float) -> None:
    await env.callback()
    (first,) = await env.send(task_event(taskTitle="one"))
    env.clock.at += jump
    (second,) = await env.send(task_event(taskTitle="two"))
    assert first.batch_id != second.batch_id
    await env.merger.step()
    assert [run["event_id"] for run in await env.runs()] == [first.event_id]
    env.clock.at += 5
    await env.merger.step()
    assert len(await env.runs()) == 2


async def test_a_small_step_back_does_not_split_a_batch(env: IntakeEnvironment) -> None:
    await env.callback()
    (first,) = await env.send(task_event(taskTitle="one"))
    env.clock.at -= 1
    (second,) = await env.send(task_event(taskTitle="two"))
    assert first.batch_id == second.batch_id


async def test_several_servers_settle_a_batch_once(env: IntakeEnvironment) -> None:
    """Also what is left when a server dies between closing and settling: another one settles it."""
    await env.callback()
    for number in range(20):
        await env.send(task_event(taskId=f"task-{number}", taskTitle=str(number)))
        env.clock.at += 6
    others = [BatchMerger(env.database, env.clock, env.ids, env.conditions, Catalog, LiveSettings) for _ in range(3)]
    await asyncio.gather(*(merger.step() for merger in (env.merger, *others)))
    assert len(await env.runs()) == 20
    events = [run["event_id"] for run in await env.runs()]
    assert len(set(events)) == 20


async def test_the_task_is_woken_by_a_new_window(env: IntakeEnvironment) -> None:
    await env.callback(merge={"windowMs": 1})
    working = asyncio.create_task(env.merger.run())
    try:
        await env.send(task_event())
        env.clock.at = START + 1
        with env.database.signals.subscribe("runs") as woken:
            # The hand-moved clock does not run: a further event tells the task to look again.
            await env.send(task_event("task.created"), task_event(taskTitle="two"))
            async with asyncio.timeout(60):
                while not await env.runs():
                    await woken.wait(1)
    finally:
        working.cancel()
