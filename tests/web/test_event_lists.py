"""A page of events with the verdict of every gate: what it asks of the database, and what it answers."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select, update

from hookyard.core.ids import EventId
from hookyard.core.verdicts import WAITS, GateVerdict
from hookyard.intake.event_history import EventHistory
from hookyard.store import schema
from hookyard.web.api.events import _list, show
from hookyard.web.pages.gates import line_of
from hookyard.web.pages.language import language
from hookyard.web.pages.queries import events as pages
from tests.intake.environment import IntakeEnvironment, open_environment, task_event

WAITING = f"{WAITS}5 runs an hour is the workspace's quota"
MOST = 6
"""Statements of a page: the events, their listener sets, runs, batches, versions by time, versions by number."""


@pytest.fixture
async def env(database_url: str) -> AsyncIterator[IntakeEnvironment]:
    async with open_environment(database_url) as made:
        yield made


async def asked(env: IntakeEnvironment, limit: int) -> tuple[list[dict[str, Any]], list[str]]:
    """A page as the API answers it, and the statements that it took."""
    statements: list[str] = []

    def read(conn: Connection) -> list[dict[str, Any]]:
        @event.listens_for(conn, "before_cursor_execute")
        def note(_conn: object, _cursor: object, statement: str, *_more: object) -> None:
            statements.append(statement)

        return _list(conn, env.workspace, None, None, None, limit)

    return await env.database.read(read), statements


async def alone(env: IntakeEnvironment, history: EventHistory, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The same events as the API answers each by itself."""
    return [show(*await history.get(env.workspace, EventId(name))) for name in ids]


async def test_a_page_of_events_takes_as_many_statements_as_one_event(env: IntakeEnvironment) -> None:
    """Of events with all that can come of one: a run, a batch, and a version that is younger by another's clock."""
    ahead = await env.callback(name="ahead")
    await env.callback(name="merges", merge={"enabled": True, "windowMs": 1000})
    await env.callback(name="deaf", events=["task.created"])
    for number in range(50):
        env.clock.at += 1
        await env.send(task_event(taskId=f"task-{number}"))
        await env.merger.step()
    versions = schema.callback_versions
    later = update(versions).where(versions.c.callback_id == ahead.id).values(created_at=env.clock.at + 1)
    await env.database.write(lambda conn: conn.execute(later).close())
    one, few = await asked(env, 1)
    fifty, many = await asked(env, 50)
    assert (len(one), len(fifty)) == (1, 50)
    assert all({verdict["name"] for verdict in item["callbacks"]} == {"ahead", "merges", "deaf"} for item in fifty)
    assert len(few) == len(many) == MOST


async def test_a_page_without_events_takes_one_statement(env: IntakeEnvironment) -> None:
    page, statements = await asked(env, 50)
    assert (page, len(statements)) == ([], 1)


async def test_a_page_says_of_each_event_what_the_event_says_of_itself(env: IntakeEnvironment) -> None:
    """With callbacks that come, change and go between the events, batches in every state, and runs that wait."""
    history = EventHistory(env.database, env.accept, env.conditions)
    kept = await env.callback(name="kept")
    merges = await env.callback(name="merges", merge={"enabled": True, "windowMs": 2000})
    await env.callback(name="broken", condition="ctx.a.b")
    gone = await env.callback(name="gone")
    for number in range(12):
        env.clock.at += 1
        await env.send(task_event(taskTitle=str(number), operation=f"op{number // 2}"))
        if number == 3:
            await env.change(kept, enabled=False)
        if number == 5:
            await env.callbacks.delete(env.workspace, gone.id)
            await env.change(kept, name="again", enabled=True)
        if number == 7:
            await env.callback(name="late", condition="ctx.taskTitle === '9'")
            await env.merger.step()
    some = {run["id"] for run in (await env.runs())[::2]}
    held = update(schema.runs).where(schema.runs.c.id.in_(some)).values(reason=WAITING)
    await env.database.write(lambda conn: conn.execute(held).close())
    page, _ = await asked(env, 100)
    assert len(page) == 12
    assert json.dumps(page) == json.dumps(await alone(env, history, [one["id"] for one in page]))
    verdicts = [verdict for one in page for verdict in one["callbacks"]]
    assert {verdict["runId"] for verdict in verdicts if verdict["gate"] == "quota"} == some
    assert {verdict["outcome"] for verdict in verdicts} == {"run", "merged", "stopped"}
    assert {verdict["version"] for verdict in verdicts if verdict["callbackId"] == kept.id} == {1, 2, 3}
    assert [one["id"] for one in page if gone.id in {v["callbackId"] for v in one["callbacks"]}] == [
        one["id"] for one in page[6:]
    ]
    assert {verdict["outcome"] for verdict in verdicts if verdict["callbackId"] == merges.id} >= {"run", "merged"}


async def test_the_pages_and_the_api_agree_on_what_a_quota_holds_up(env: IntakeEnvironment) -> None:
    await env.callback(name="runs")
    await env.callback(name="merges", merge={"enabled": True, "windowMs": 1000})
    await env.send(task_event())
    env.clock.at += 5
    await env.merger.step()
    for status, reason in (("queued", WAITING), ("queued", "its worker was lost"), ("running", WAITING)):
        change = update(schema.runs).values(status=status, reason=reason)
        await env.database.write(lambda conn, change=change: conn.execute(change).close())  # type: ignore[misc]
        ((one,), _) = await asked(env, 1)
        shown = await env.database.read(lambda conn, name=one["id"]: pages.one(conn, env.workspace, name))  # type: ignore[misc]
        assert shown is not None
        held = [verdict.verdict is GateVerdict.QUOTA for verdict in shown.verdicts]
        assert held == [verdict["gate"] == "quota" for verdict in one["callbacks"]]
        assert held == [(status, reason) == ("queued", WAITING)] * 2


async def both(env: IntakeEnvironment, event_id: EventId) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """What the API and the event's page say of an event, by callback id."""
    listed = await env.database.read(lambda conn: _list(conn, env.workspace, None, None, None, 100))
    (api,) = [item["callbacks"] for item in listed if item["id"] == event_id]
    page = await env.database.read(lambda conn: pages.one(conn, env.workspace, event_id))
    assert page is not None
    return {one["callbackId"]: one for one in api}, {one.callback_id: one for one in page.verdicts}


async def test_page_and_api_answer_with_the_callbacks_of_then(env: IntakeEnvironment) -> None:
    """Whatever was renamed, edited, disabled, enabled, deleted or created since the event."""
    renamed = await env.callback(name="old name")
    edited = await env.callback(name="was deaf", events=["task.deleted"])
    deleted = await env.callback(name="deleted later")
    deleted_deaf = await env.callback(name="deaf, deleted later", events=["task.created"])
    off = await env.callback(name="off", enabled=False)
    on = await env.callback(name="on")
    (accepted,) = await env.send(task_event())
    env.clock.at += 1
    await env.change(renamed, name="new name")
    await env.change(edited, name="listens now", events=["task.updated"])
    await env.callbacks.delete(env.workspace, deleted.id)
    await env.callbacks.delete(env.workspace, deleted_deaf.id)
    await env.change(off, enabled=True)
    await env.change(on, enabled=False)
    await env.callback(name="created later")
    api, page = await both(env, accepted.event_id)
    expected = {
        renamed.id: "old name", edited.id: "was deaf", deleted.id: "deleted later",
        deleted_deaf.id: "deaf, deleted later", off.id: "off", on.id: "on",
    }  # fmt: skip
    assert {key: one["name"] for key, one in api.items()} == expected
    assert {key: one.name for key, one in page.items()} == expected
    assert api == {key: one.as_dict() for key, one in page.items()}
    lines = {key: line_of(one, language("en")) for key, one in page.items()}
    assert lines[edited.id].reason == language("en").t("gate.listens_to", events="task.deleted")
    assert lines[off.id].outcome == language("en").t("gate.off")
    assert [lines[one.id].states[-1] for one in (renamed, deleted, on)] == ["pass"] * 3


async def test_page_and_api_know_every_callback_of_a_large_workspace(env: IntakeEnvironment) -> None:
    first = await env.callback(name="first")
    row = await env.database.read(lambda conn: dict(conn.execute(select(schema.callbacks)).mappings().one()))
    version = await env.database.read(
        lambda conn: dict(conn.execute(select(schema.callback_versions)).mappings().one())
    )
    spec = first.spec.model_copy(update={"events": ("task.created",)}).dump()
    deaf = [f"cb_deaf{number:04}" for number in range(600)]

    def add(conn: Connection) -> None:
        conn.execute(insert(schema.callbacks), [{**row, "id": name, "spec": spec} for name in deaf])
        conn.execute(
            insert(schema.callback_versions), [{**version, "callback_id": name, "spec": spec} for name in deaf]
        )

    await env.database.write(add)
    last = await env.callback(name="last")
    (accepted,) = await env.send(task_event())
    api, page = await both(env, accepted.event_id)
    assert api.keys() == page.keys() == {first.id, last.id, *deaf}
    assert {key for key, one in page.items() if one.listened} == {first.id, last.id}
    assert api == {key: one.as_dict() for key, one in page.items()}


async def test_page_and_api_agree_on_what_became_of_a_batch(env: IntakeEnvironment) -> None:
    """Also where the merged event was stopped, which the page took for merged."""
    merge = {"enabled": True, "windowMs": 1000}
    runs = await env.callback(name="runs", merge=merge)
    stopped = await env.callback(name="stopped", merge=merge, condition="ctx.batchSize > 5")
    (accepted,) = await env.send(task_event())
    api, page = await both(env, accepted.event_id)
    assert {one["outcome"] for one in api.values()} == {"merged"}
    assert api == {key: one.as_dict() for key, one in page.items()}
    assert [page[one.id].batch_size for one in (runs, stopped)] == [1, 1]
    env.clock.at += 5
    await env.merger.step()
    api, page = await both(env, accepted.event_id)
    assert [api[one.id]["outcome"] for one in (runs, stopped)] == ["run", "stopped"]
    assert api == {key: one.as_dict() for key, one in page.items()}
    assert [page[one.id].batch_size for one in (runs, stopped)] == [1, 1]
    (run,) = await env.runs()
    assert (page[runs.id].run_id, page[stopped.id].run) == (run["id"], None)
    assert page[runs.id].run is not None
    assert page[runs.id].run.status == "queued"
    assert line_of(page[stopped.id], language("en")).states[2] == "stop"
