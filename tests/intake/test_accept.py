"""The path of an event, on both databases: dedupes, claims, loop guard, backlog, and what is answered."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import Connection, insert, select, update

from hookyard.core.errors import ConflictError, LimitError, NotFoundError
from hookyard.core.ids import EventId, WorkspaceId
from hookyard.core.verdicts import GateVerdict
from hookyard.events.model import AuthorTrust, integration_source
from hookyard.store import schema
from tests.intake.environment import START, IntakeEnvironment, chain, open_environment, task_event

QUEUED, CONDITION, AUTHOR = GateVerdict.QUEUED, GateVerdict.CONDITION, GateVerdict.AUTHOR
LOOP, DUPLICATE = GateVerdict.LOOP, GateVerdict.DUPLICATE


@pytest.fixture
async def env(database_url: str) -> AsyncIterator[IntakeEnvironment]:
    async with open_environment(database_url) as made:
        yield made


async def test_a_match_becomes_a_queued_run_with_the_rendered_prompt(env: IntakeEnvironment) -> None:
    callback = await env.callback(
        prompt="{{ taskTitle }} by {{updatedBy}}", timeoutSeconds=60, concurrencyKey="taskId", agent="helper"
    )
    (accepted,) = await env.send(task_event())
    (run,) = await env.runs()
    assert accepted.runs == (run["id"],)
    assert accepted.duplicate_of is None
    assert accepted.batch_id is None
    assert run["status"] == "queued"
    assert run["prompt"] == "修复登录Bug by 王五"
    assert (run["callback_id"], run["callback_version"], run["event_id"]) == (callback.id, 1, accepted.event_id)
    assert (run["agent"], run["timeout_seconds"]) == ("helper", 60)
    assert run["concurrency_key"] == f"{callback.id}:task-1"
    assert run["subject"] == "task-1"
    assert run["queued_at"] == START
    assert await env.verdicts_of(accepted) == {"A callback": QUEUED}
    assert await env.details_of(accepted) == {callback.id: {"run": run["id"]}}


async def test_the_examples_of_the_seed(env: IntakeEnvironment) -> None:
    conditions = {
        "blocked": "ctx.taskStatus === 'blocked'",
        "urgent": "ctx.taskTitle.includes('紧急')",
        "retries": "ctx.taskStatus === 'blocked' && ctx.retryCount < 3",
        "waiting": "['blocked', 'waiting'].includes(ctx.taskStatus)",
        "changes": "JSON.parse(ctx.changes).status === 'blocked'",
        "always": "",
    }
    for name, condition in conditions.items():
        await env.callback(name=name, condition=condition)
    (blocked,) = await env.send(task_event(taskStatus="blocked"))
    assert await env.verdicts_of(blocked) == {
        "blocked": QUEUED, "urgent": CONDITION, "retries": CONDITION, "waiting": QUEUED, "changes": QUEUED,
        "always": QUEUED,
    }  # fmt: skip
    (urgent,) = await env.send(task_event(taskTitle="紧急:修复"))
    assert await env.verdicts_of(urgent) == {
        "blocked": CONDITION, "urgent": QUEUED, "retries": CONDITION, "waiting": CONDITION, "changes": QUEUED,
        "always": QUEUED,
    }  # fmt: skip


async def test_an_event_that_nobody_wants_is_stored(env: IntakeEnvironment) -> None:
    await env.callback(events=["task.created"])
    (accepted,) = await env.send(task_event(source="urn:x", source_id="1", operation="op"))
    row = await env.event(accepted.event_id)
    assert (row["verdicts"], row["listener_set"]) == (None, None)
    assert (row["source"], row["source_id"], row["operation_id"]) == ("urn:x", "1", "op")
    assert row["author_trust"] == "member"
    assert await env.runs() == []


async def test_a_condition_that_throws_is_not_matched_and_shown(env: IntakeEnvironment) -> None:
    broken = await env.callback(name="broken", condition="ctx.nothing.at.all")
    good = await env.callback(name="good", condition="true")
    (accepted,) = await env.send(task_event())
    assert await env.verdicts_of(accepted) == {"broken": GateVerdict.CONDITION_ERROR, "good": QUEUED}
    assert "error" in (await env.details_of(accepted))[broken.id]
    shown = await env.callbacks.get(env.workspace, broken.id)
    assert shown.condition_error is not None
    assert shown.condition_error["eventId"] == accepted.event_id
    assert (await env.callbacks.get(env.workspace, good.id)).condition_error is None


async def test_only_callbacks_of_the_same_workspace_see_an_event(env: IntakeEnvironment) -> None:
    """The seed's FAQ."""
    other = await env.make_workspace()
    await env.callback(other)
    (accepted,) = await env.send(task_event())
    assert accepted.runs == ()
    (accepted,) = await env.send(task_event(), workspace=other)
    assert accepted.duplicate_of is None
    (run,) = await env.runs()
    assert run["workspace_id"] == other


async def test_an_unknown_workspace(env: IntakeEnvironment) -> None:
    with pytest.raises(NotFoundError):
        await env.send(task_event(), workspace=WorkspaceId("ws_none"))


async def test_authors_who_are_no_members_start_only_what_serves_anyone(env: IntakeEnvironment) -> None:
    profile = {"name": "open", "config": '{"kind": "dry-run", "authors": "anyone"}', "created_at": 0, "updated_at": 0}
    await env.database.write(lambda conn: conn.execute(insert(schema.agent_profiles).values(profile)).close())
    await env.callback(name="default")
    await env.callback(name="open", agent="open")
    await env.callback(name="open to members", agent="open", authors="members")
    await env.callback(name="inline", agent={"kind": "dry-run", "authors": "anyone"})
    await env.callback(name="anyone", authors="anyone")
    names = ("default", "open", "open to members", "inline", "anyone")
    for trust, source in ((AuthorTrust.OUTSIDER, "api"), (AuthorTrust.UNKNOWN, integration_source("github"))):
        (accepted,) = await env.send(task_event(author_trust=trust, source=source, taskTitle=trust.value))
        assert await env.verdicts_of(accepted) == {
            "default": AUTHOR, "open": QUEUED, "open to members": AUTHOR, "inline": QUEUED, "anyone": AUTHOR,
        }  # fmt: skip
    (accepted,) = await env.send(task_event(author_trust=AuthorTrust.UNKNOWN, taskTitle="by a token"))
    assert await env.verdicts_of(accepted) == dict.fromkeys(names, QUEUED)
    (accepted,) = await env.send(task_event())
    assert await env.verdicts_of(accepted) == dict.fromkeys(names, QUEUED)


# -- operation dedupe ------------------------------------------------------------------------------------------------


async def test_two_events_of_one_operation_run_a_callback_once(env: IntakeEnvironment) -> None:
    """The seed's example."""
    callback = await env.callback(events=["task.updated", "task.status_changed"])
    first, second = await env.send(
        task_event("task.updated", "op_1"), task_event("task.status_changed", "op_1"), workspace=env.workspace
    )
    assert len(first.runs) == 1
    assert second.runs == ()
    assert await env.verdicts_of(second) == {"A callback": GateVerdict.OPERATION}
    assert await env.details_of(second) == {callback.id: {"event": first.event_id}}
    (later,) = await env.send(task_event("task.updated", "op_2"))
    assert len(later.runs) == 1


async def test_the_first_event_whose_condition_holds_takes_the_operation(env: IntakeEnvironment) -> None:
    await env.callback(
        events=["task.updated", "task.status_changed"], condition="ctx.eventName === 'task.status_changed'"
    )
    first, second = await env.send(task_event("task.updated", "op_1"), task_event("task.status_changed", "op_1"))
    assert (first.runs, len(second.runs)) == ((), 1)


async def test_an_operation_belongs_to_its_source_and_is_kept_seven_days(env: IntakeEnvironment) -> None:
    await env.callback()
    (first,) = await env.send(task_event(operation="op", source="a", source_id="1"))
    (other,) = await env.send(task_event(operation="op", source="b", source_id="1"))
    assert len(first.runs) == len(other.runs) == 1
    env.clock.at += 7 * 86_400 - 1
    (again,) = await env.send(task_event(operation="op", source="a", source_id="2"))
    assert again.runs == ()
    env.clock.at += 2
    (after,) = await env.send(task_event(operation="op", source="a", source_id="3"))
    assert len(after.runs) == 1


# -- event dedupe ----------------------------------------------------------------------------------------------------


async def test_the_same_content_within_the_window_is_a_duplicate(env: IntakeEnvironment) -> None:
    await env.callback()
    (first,) = await env.send(task_event(occurred_at=START))
    env.clock.at += 4.9
    (second,) = await env.send(task_event(occurred_at=START + 3))
    assert second.duplicate_of == first.event_id
    assert second.runs == ()
    env.clock.at += 0.2  # 5.1 s after the first: the window did not slide
    (third,) = await env.send(task_event())
    assert third.duplicate_of is None
    row = await env.event(first.event_id)
    assert (row["duplicates"], row["last_duplicate_at"]) == (1, START + 4.9)
    assert len(await env.runs()) == 2
    assert await env.count(schema.events) == 2


async def test_different_content_ids_or_operations_are_never_duplicates(env: IntakeEnvironment) -> None:
    drafts = [
        task_event(),
        task_event(taskStatus="blocked"),
        task_event("task.created"),
        task_event(operation="op_1"),
        task_event(operation="op_2"),
        task_event(source_id="1"),
        task_event(source_id="2"),
    ]
    assert all(one.duplicate_of is None for one in await env.send(*drafts))


async def test_the_same_id_is_a_duplicate_for_seven_days_even_without_dedupe(env: IntakeEnvironment) -> None:
    env.settings["eventCallback.dedupEnabled"] = False
    (first,) = await env.send(task_event(source_id="1"))
    (other_source,) = await env.send(task_event(source="urn:other", source_id="1"))
    assert other_source.duplicate_of is None
    env.clock.at += 7 * 86_400 - 1
    (second,) = await env.send(task_event(source_id="1", taskTitle="else"))
    assert second.duplicate_of == first.event_id
    env.clock.at += 2
    (third,) = await env.send(task_event(source_id="1"))
    assert third.duplicate_of is None


async def test_an_id_of_another_workspace_is_not_the_same(env: IntakeEnvironment) -> None:
    other = await env.make_workspace()
    await env.send(task_event(source_id="1"))
    (accepted,) = await env.send(task_event(source_id="1"), workspace=other)
    assert accepted.duplicate_of is None


async def test_dedupe_can_be_switched_off_and_its_window_changed(env: IntakeEnvironment) -> None:
    env.settings["eventCallback.dedupEnabled"] = False
    first, second = await env.send(task_event(), task_event())
    assert first.duplicate_of is second.duplicate_of is None
    env.settings.update({"eventCallback.dedupEnabled": True, "eventCallback.dedupWindowMs": 100})
    first, second = await env.send(task_event(), task_event())
    assert second.duplicate_of == first.event_id
    env.clock.at += 0.11
    assert (await env.send(task_event()))[0].duplicate_of is None


async def test_a_callback_with_a_dedupe_of_its_own(env: IntakeEnvironment) -> None:
    every = await env.callback(name="every", dedupe={"enabled": False})
    usual = await env.callback(name="usual")
    rare = await env.callback(name="rare", dedupe={"windowMs": 60_000})
    (first,) = await env.send(task_event())
    assert await env.verdicts_of(first) == {"every": QUEUED, "usual": QUEUED, "rare": QUEUED}
    (second,) = await env.send(task_event())
    assert second.duplicate_of is None
    assert await env.verdicts_of(second) == {"every": QUEUED, "usual": DUPLICATE, "rare": DUPLICATE}
    details = await env.details_of(second)
    assert details[usual.id] == details[rare.id] == {"event": first.event_id}
    env.clock.at += 6
    (third,) = await env.send(task_event())
    assert await env.verdicts_of(third) == {"every": QUEUED, "usual": QUEUED, "rare": DUPLICATE}
    await env.callbacks.delete(env.workspace, every.id)
    (fourth,) = await env.send(task_event())
    assert fourth.duplicate_of == third.event_id


async def test_a_clock_that_is_set_back_does_not_make_everything_a_duplicate(env: IntakeEnvironment) -> None:
    await env.send(task_event())
    env.clock.at -= 3600
    (accepted,) = await env.send(task_event())
    assert accepted.duplicate_of is None
    (again,) = await env.send(task_event())
    assert again.duplicate_of == accepted.event_id
    env.clock.at += 7200
    (later,) = await env.send(task_event())
    assert later.duplicate_of is None


async def test_duplicates_within_one_request(env: IntakeEnvironment) -> None:
    first, second, third = await env.send(task_event(), task_event(), task_event(taskStatus="x"))
    assert (first.duplicate_of, second.duplicate_of, third.duplicate_of) == (None, first.event_id, None)


# -- loop guard ------------------------------------------------------------------------------------------------------


async def test_a_callback_is_not_started_by_what_it_caused(env: IntakeEnvironment) -> None:
    callback = await env.callback(name="usual")
    bold = await env.callback(name="bold", loop={"allowSelf": True})
    (accepted,) = await env.send(task_event(cause=chain(("run_1", callback.id), ("run_2", bold.id))))
    assert await env.verdicts_of(accepted) == {"usual": LOOP, "bold": QUEUED}
    assert "caused by a run of this callback" in (await env.details_of(accepted))[callback.id]["reason"]
    (run,) = await env.runs()
    assert callback.id in run["cause"]


async def test_no_chain_is_longer_than_three_unless_allowed(env: IntakeEnvironment) -> None:
    await env.callback(name="usual")
    await env.callback(name="longer", loop={"maxChain": 4})
    long = chain(("run_1", "cb_x"), ("run_2", "cb_y"), ("run_3", "cb_z"))
    (two,) = await env.send(task_event(cause=chain(("run_1", "cb_x"), ("run_2", "cb_y"))))
    (three,) = await env.send(task_event(cause=long, taskTitle="3"))
    longer = chain(("run_1", "cb_x"), ("run_2", "cb_y"), ("run_3", "cb_z"), ("run_4", "cb_w"))
    (four,) = await env.send(task_event(cause=longer, taskTitle="4"))
    assert [await env.verdicts_of(one) for one in (two, three, four)] == [
        {"usual": QUEUED, "longer": QUEUED},
        {"usual": LOOP, "longer": QUEUED},
        {"usual": LOOP, "longer": LOOP},
    ]


async def test_thirty_runs_an_hour_for_one_task(env: IntakeEnvironment) -> None:
    callback = await env.callback()
    for number in range(30):
        (accepted,) = await env.send(task_event(taskTitle=str(number)))
        assert len(accepted.runs) == 1
    (stopped,) = await env.send(task_event(taskTitle="30"))
    assert await env.verdicts_of(stopped) == {"A callback": LOOP}
    assert "30 are allowed" in (await env.details_of(stopped))[callback.id]["reason"]
    (other_task,) = await env.send(task_event(taskId="task-2"))
    assert len(other_task.runs) == 1
    env.clock.at += 3601
    (later,) = await env.send(task_event(taskTitle="31"))
    assert len(later.runs) == 1


async def test_the_hourly_stop_holds_within_one_request(env: IntakeEnvironment) -> None:
    await env.callback(loop={"runsPerHour": 2})
    accepted = await env.send(*(task_event(taskTitle=str(n)) for n in range(5)))
    assert [len(one.runs) for one in accepted] == [1, 1, 0, 0, 0]


# -- backlog ---------------------------------------------------------------------------------------------------------


async def test_the_backlog_refuses_only_where_it_is_asked(env: IntakeEnvironment) -> None:
    env.settings["eventCallback.maxBacklog"] = 2
    await env.callback()
    drafts = [task_event(taskTitle=str(n)) for n in range(4)]
    for draft in drafts[:2]:
        await env.accept.accept(env.workspace, (draft,), limited=True)
    with pytest.raises(LimitError) as refused:
        await env.accept.accept(env.workspace, (drafts[2],), limited=True)
    assert refused.value.retry_after
    assert await env.count(schema.events) == 2
    (own,) = await env.accept.accept(env.workspace, (drafts[3],))
    assert len(own.runs) == 1
    started = update(schema.runs).values(status="running")
    await env.database.write(lambda conn: conn.execute(started).close())
    (accepted,) = await env.accept.accept(env.workspace, (drafts[2],), limited=True)
    assert len(accepted.runs) == 1


async def test_the_request_that_fills_the_backlog_is_taken_whole(env: IntakeEnvironment) -> None:
    """What waits already decides, not what would wait: an event with more callbacks than there is room for could
    otherwise never come in."""
    env.settings["eventCallback.maxBacklog"] = 2
    for n in range(3):
        await env.callback(name=f"listener {n}")
    full = [task_event(taskTitle=f"together {n}") for n in range(2)]
    taken = await env.accept.accept(env.workspace, full, limited=True)
    assert [len(one.runs) for one in taken] == [3, 3]
    with pytest.raises(LimitError):
        await env.accept.accept(env.workspace, (task_event(taskTitle="one more"),), limited=True)
    assert await env.count(schema.runs) == 6


# -- one transaction -------------------------------------------------------------------------------------------------


async def test_the_rows_of_the_operation_are_in_the_same_transaction(env: IntakeEnvironment) -> None:
    await env.callback()

    def rename(conn: Connection) -> None:
        conn.execute(update(schema.workspaces).values(name="B"))

    def refuse(conn: Connection) -> None:
        rename(conn)
        raise ConflictError("somebody was quicker")

    with pytest.raises(ConflictError):
        await env.accept.accept(env.workspace, (task_event(),), apply=refuse)
    assert await env.count(schema.events) == 0
    names = select(schema.workspaces.c.name)
    assert await env.database.read(lambda c: c.execute(names).scalars().all()) == ["A"]
    await env.accept.accept(env.workspace, (task_event(),), apply=rename)
    assert await env.count(schema.events) == 1
    assert await env.database.read(lambda c: c.execute(names).scalars().all()) == ["B"]


async def test_many_at_once_with_refusals_among_them(env: IntakeEnvironment) -> None:
    await env.callback()
    other = await env.make_workspace()

    def refuse(conn: Connection) -> None:
        raise ConflictError("no")

    async def one(number: int) -> object:
        draft = task_event(taskId=f"task-{number}", operation=f"op-{number // 2}")
        if number % 10 == 9:
            return await env.accept.accept(env.workspace, (draft,), apply=refuse)
        return await env.accept.accept(other if number % 10 == 8 else env.workspace, (draft,))

    outcomes = await asyncio.gather(*(one(n) for n in range(200)), return_exceptions=True)
    assert sum(isinstance(o, ConflictError) for o in outcomes) == 20
    assert await env.count(schema.events) == 180
    # Of each pair of one operation one ran; the pairs 8 and 9 of ten were elsewhere or refused.
    assert len(await env.runs()) == 80


async def test_a_change_of_callbacks_between_judging_and_storing_is_noticed(env: IntakeEnvironment) -> None:
    callback = await env.callback()
    await env.send(task_event())  # the index is in memory now
    await env.change(callback, condition="false")
    (accepted,) = await env.send(task_event(taskTitle="2"))
    assert await env.verdicts_of(accepted) == {"A callback": CONDITION}
    await env.change(await env.callbacks.get(env.workspace, callback.id), enabled=False)
    (accepted,) = await env.send(task_event(taskTitle="3"))
    assert await env.verdicts_of(accepted) == {}


async def test_signals_after_the_commit(env: IntakeEnvironment) -> None:
    await env.callback()
    with env.database.signals.subscribe("runs", f"events:{env.workspace}", f"runs:{env.workspace}") as woken:
        await env.send(task_event())
        assert await woken.wait(60) == {"runs", f"events:{env.workspace}", f"runs:{env.workspace}"}


async def test_text_that_databases_refuse(env: IntakeEnvironment) -> None:
    await env.callback(concurrencyKey="taskTitle")
    (accepted,) = await env.send(task_event(taskTitle="a\0b\ud800c"))
    (run,) = await env.runs()
    assert run["prompt"] == "a\ufffdb\ufffdc"
    assert accepted.runs == (run["id"],)


# -- replay ----------------------------------------------------------------------------------------------------------


async def test_a_replay_is_a_new_operation(env: IntakeEnvironment) -> None:
    await env.callback()
    draft = task_event(source_id="1", operation="op_1")
    (first,) = await env.send(draft)
    stored = draft.accepted(first.event_id, env.workspace, START)
    again = await env.accept.replay(stored)
    once_more = await env.accept.replay(stored)
    assert len(again.runs) == len(once_more.runs) == 1
    row = await env.event(EventId(again.event_id))
    assert row["replay_of"] == first.event_id
    assert row["operation_id"] != "op_1"
    assert len(await env.runs()) == 3
