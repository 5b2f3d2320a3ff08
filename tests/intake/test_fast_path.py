"""Events that nobody wants, in one statement of SQLite: stored just as by a transaction, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, update

from hookyard.automations.callbacks import Callbacks
from hookyard.callbacks.spec import CallbackSpec
from hookyard.core.errors import LimitError
from hookyard.core.verdicts import GateVerdict
from hookyard.events.event_types import EventTypes
from hookyard.store import schema
from hookyard.store.database import Database
from tests.intake.environment import IntakeEnvironment, chain, open_environment, task_event

UNMATCHED = "ctx.taskStatus === 'blocked'"


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[IntakeEnvironment]:
    """With one callback, and its listener set stored, which an event does that is seen first."""
    async with open_environment(f"sqlite:///{tmp_path}/hookyard.db") as made:
        await made.callback(condition=UNMATCHED)
        await made.accept.accept(made.workspace, [task_event(taskTitle="the first")], limited=True)
        yield made


async def statements(env: IntakeEnvironment) -> list[str]:
    """What the writer runs from now on."""
    seen: list[str] = []

    def listen(conn: Connection) -> None:
        driver = conn.connection.driver_connection
        assert driver is not None
        driver.set_trace_callback(seen.append)

    await env.database.write(listen)
    seen.clear()
    return seen


def transactions(seen: list[str]) -> int:
    return seen.count("BEGIN IMMEDIATE")


async def test_it_is_one_statement(env: IntakeEnvironment) -> None:
    await env.send(task_event(taskTitle="the first on this connection"))
    seen = await statements(env)
    (accepted,) = await env.send(task_event())
    (statement,) = set(seen)  # SQLite names it once more for each statement of the trigger
    assert statement.startswith("INSERT INTO intake")
    assert list((await env.verdicts_of(accepted)).values()) == [GateVerdict.CONDITION]
    assert await env.details_of(accepted) == {}


async def test_the_row_is_the_same_as_that_of_a_transaction(env: IntakeEnvironment) -> None:
    cause = chain(("run_1", "cb_1"))
    first = await env.send(task_event(operation="o1", source="urn:x", occurred_at=7.5, cause=cause))
    seen = await statements(env)

    def write(conn: Connection) -> None:
        conn.execute(select(1)).close()

    (second,) = await env.accept.accept(  # with rows of an operation it has to be a transaction
        env.workspace, [task_event(operation="o2", source="urn:x", occurred_at=7.5, cause=cause)], apply=write
    )
    assert transactions(seen) == 1
    rows = [dict(await env.event(one.event_id)) for one in (*first, second)]
    for row in rows:
        del row["id"], row["operation_id"]
    assert rows[0] == rows[1]
    claims = await env.database.read(lambda c: c.execute(select(schema.claims.c.at, schema.claims.c.expires_at)).all())
    assert len(claims) == 3
    assert len(set(claims)) == 1


async def test_what_is_repeated_is_a_duplicate(env: IntakeEnvironment) -> None:
    (first,) = await env.send(task_event())
    (again,) = await env.send(task_event())
    assert again.duplicate_of == first.event_id
    assert (await env.event(first.event_id))["duplicates"] == 1
    assert await env.count(schema.events) == 2


async def test_equal_events_of_one_group_are_stored_once(env: IntakeEnvironment) -> None:
    outcomes = await asyncio.gather(*(env.send(task_event()) for _ in range(20)))
    stored = {one.event_id for (one,) in outcomes if one.duplicate_of is None}
    assert len(stored) == 1
    assert {one.duplicate_of for (one,) in outcomes if one.duplicate_of is not None} == stored
    assert await env.count(schema.events) == 2


async def test_a_claim_that_is_over_is_taken_over(env: IntakeEnvironment) -> None:
    (first,) = await env.send(task_event())
    env.clock.at += 1.5  # less than what the count of waiting runs is trusted for, more than the dedupe window
    env.settings["eventCallback.dedupWindowMs"] = 1000
    seen = await statements(env)
    (held,) = await env.send(task_event())
    assert held.duplicate_of == first.event_id  # the window of then holds
    env.clock.at += 3600
    (later,) = await env.send(task_event())
    env.clock.at += 1.5
    seen.clear()
    (last,) = await env.send(task_event())
    assert later.duplicate_of is None
    assert last.duplicate_of is None
    assert transactions(seen) == 0


async def test_a_source_id_is_claimed_and_without_dedupe_nothing_is(env: IntakeEnvironment) -> None:
    env.settings["eventCallback.dedupEnabled"] = False
    seen = await statements(env)
    (first,) = await env.send(task_event())
    (second,) = await env.send(task_event())
    assert second.duplicate_of is None
    (third,) = await env.send(task_event(source_id="1"))
    assert transactions(seen) == 0
    (fourth,) = await env.send(task_event(source_id="1"))
    assert (first.duplicate_of, fourth.duplicate_of) == (None, third.event_id)


async def test_callbacks_that_another_server_has_changed_are_asked_anew(env: IntakeEnvironment, tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path}/hookyard.db") as elsewhere:
        types = EventTypes(elsewhere, env.clock)
        others = Callbacks(elsewhere, env.clock, env.ids, env.conditions, lambda: types.current)
        spec = {"name": "New", "events": ["task.updated"], "prompt": "x"}
        made = await others.create(env.workspace, CallbackSpec.read(spec), author="usr_1")
    (accepted,) = await env.send(task_event())
    (run,) = await env.runs()
    assert run["callback_id"] == made.id
    assert (await env.verdicts_of(accepted))["New"] is GateVerdict.QUEUED
    assert sorted((await env.verdicts_of(accepted)).values()) == [GateVerdict.CONDITION, GateVerdict.QUEUED]


async def test_a_condition_that_cannot_be_judged_is_shown(env: IntakeEnvironment) -> None:
    broken = await env.callback(name="broken", condition="ctx.nothing.at.all")
    await env.send(task_event(taskTitle="seen first"))
    seen = await statements(env)
    (accepted,) = await env.send(task_event())
    verdicts = await env.verdicts_of(accepted)
    assert verdicts.pop("broken") is GateVerdict.CONDITION_ERROR
    assert list(verdicts.values()) == [GateVerdict.CONDITION]
    assert "error" in (await env.details_of(accepted))[broken.id]
    assert transactions(seen) == 0


async def test_a_batch_is_stored_as_a_whole(env: IntakeEnvironment) -> None:
    seen = await statements(env)
    drafts = [task_event(taskTitle=str(number)) for number in range(100)]
    accepted = await env.send(*drafts)
    assert transactions(seen) == 0
    assert await env.count(schema.events) == 101
    again = await env.send(*drafts, task_event(taskTitle="new"))  # too many for one statement, and known but one
    assert [one.duplicate_of for one in again] == [*(one.event_id for one in accepted), None]
    assert transactions(seen) == 1
    assert await env.count(schema.events) == 102


async def test_too_many_waiting_runs_refuse_it_too(env: IntakeEnvironment) -> None:
    env.settings["eventCallback.maxBacklog"] = 1
    await env.callback(name="Every", events=["task.created"])
    await env.accept.accept(env.workspace, [task_event("task.created")], limited=True)
    with pytest.raises(LimitError):
        await env.accept.accept(env.workspace, [task_event()], limited=True)
    await env.database.write(lambda c: c.execute(update(schema.runs).values(status="succeeded")).close())
    await env.accept.accept(env.workspace, [task_event()], limited=True)


async def test_what_nobody_listens_to_needs_no_set(env: IntakeEnvironment) -> None:
    seen = await statements(env)
    (accepted,) = await env.send(task_event("task.deleted"))
    assert transactions(seen) == 0
    assert (await env.event(accepted.event_id))["listener_set"] is None


async def test_a_new_connection_makes_the_intake_anew(env: IntakeEnvironment) -> None:
    def fault(_conn: Connection) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await env.database.write(fault)  # after a fault of ours the connection is not trusted any more
    seen = await statements(env)
    await env.send(task_event())
    assert transactions(seen) == 0
    assert await env.count(schema.events) == 2


@pytest.mark.parametrize("spoil", ["text", "number"])
async def test_one_that_cannot_be_stored_does_not_refuse_the_others(env: IntakeEnvironment, spoil: str) -> None:
    bad: Callable[[], object] = lambda: "\ud800" if spoil == "text" else 2**70  # noqa: E731
    good = [env.send(task_event(taskTitle=str(number))) for number in range(5)]
    wrong = env.accept.accept(env.workspace, [task_event()._replace(source_id=bad())])  # type: ignore[arg-type]
    *fine, refused = await asyncio.gather(*good, wrong, return_exceptions=True)
    assert isinstance(refused, Exception)
    assert not any(isinstance(one, BaseException) for one in fine)
    assert await env.count(schema.events) == 6


async def test_a_key_of_the_database_that_is_broken_is_an_error_and_no_duplicate(
    env: IntakeEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = await env.send(task_event())
    row = dict(await env.event(first.event_id))
    monkeypatch.setattr(env.ids, "event", lambda: row["id"])
    with pytest.raises(Exception, match="UNIQUE"):
        await env.send(task_event(taskTitle="another"))
    assert await env.count(schema.events) == 2
    claims = await env.database.read(lambda c: c.execute(select(schema.claims)).all())
    assert len(claims) == 2
