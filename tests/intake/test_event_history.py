"""Why it ran and why it did not; replays; the time machine."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import update

from hookyard.automations.preview import PreviewService, PromptPreview
from hookyard.callbacks.spec import CallbackSpec
from hookyard.core.errors import NotFoundError
from hookyard.core.verdicts import WAITS
from hookyard.events.catalog import Catalog
from hookyard.events.model import AuthorTrust, integration_source
from hookyard.intake.event_history import EventHistory
from hookyard.intake.pending import Accepted
from hookyard.store import schema
from tests.intake.environment import IntakeEnvironment, chain, open_environment, task_event


@pytest.fixture
async def env(database_url: str) -> AsyncIterator[IntakeEnvironment]:
    async with open_environment(database_url) as made:
        yield made


@pytest.fixture
def history(env: IntakeEnvironment) -> EventHistory:
    return EventHistory(env.database, env.accept, env.conditions)


async def test_every_callback_of_the_workspace_has_a_verdict(env: IntakeEnvironment, history: EventHistory) -> None:
    ran = await env.callback(name="ran")
    deaf = await env.callback(name="deaf", events=["task.created"])
    off = await env.callback(name="off", enabled=False)
    no = await env.callback(name="no", condition="ctx.taskStatus === 'blocked'")
    broken = await env.callback(name="broken", condition="ctx.a.b")
    loop = await env.callback(name="loop")
    (accepted,) = await env.send(task_event(cause=chain(("run_1", loop.id))))
    env.clock.at += 1
    await env.callback(name="made later")
    await env.callbacks.delete(env.workspace, ran.id)
    await env.change(off, enabled=True)
    stored, verdicts = await history.get(env.workspace, accepted.event_id)
    assert stored.event.id == accepted.event_id
    assert [(v.callback_id, v.outcome, v.gate) for v in verdicts] == [
        (ran.id, "run", None),
        (deaf.id, "stopped", "listening"),
        (off.id, "stopped", "listening"),
        (no.id, "stopped", "condition"),
        (broken.id, "stopped", "condition"),
        (loop.id, "stopped", "loop"),
    ]
    shown = [v.as_dict() for v in verdicts]
    assert shown[0]["runId"] == accepted.runs[0]
    assert shown[0]["name"] == "ran"
    assert "does not listen to task.updated" in shown[1]["reason"]
    assert shown[2]["reason"] == "it was disabled"
    assert shown[3]["reason"] == "the condition does not hold"
    assert shown[4]["reason"] != shown[3]["reason"]
    assert "caused by a run" in shown[5]["reason"]


async def test_a_run_that_a_quota_holds_up_shows_it_for_as_long(env: IntakeEnvironment, history: EventHistory) -> None:
    await env.callback()
    (accepted,) = await env.send(task_event())
    runs = schema.runs
    for status, gate in (("queued", "quota"), ("running", None)):
        reason = f"{WAITS}5 runs an hour is the workspace's quota" if gate else None
        change = update(runs).values(status=status, reason=reason)
        await env.database.write(lambda conn, change=change: conn.execute(change).close())  # type: ignore[misc]
        (verdict,) = (await history.get(env.workspace, accepted.event_id))[1]
        assert (verdict.outcome, verdict.gate, verdict.reason) == ("run", gate, reason)
        assert verdict.run_id == accepted.runs[0]


async def test_an_operation_names_the_event_that_took_it(env: IntakeEnvironment, history: EventHistory) -> None:
    await env.callback(events=["task.updated", "task.status_changed"])
    first, second = await env.send(task_event("task.updated", "op"), task_event("task.status_changed", "op"))
    (verdict,) = (await history.get(env.workspace, second.event_id))[1]
    assert verdict.gate == "operation"
    assert first.event_id in str(verdict.reason)


async def test_authors(env: IntakeEnvironment, history: EventHistory) -> None:
    await env.callback()
    (accepted,) = await env.send(task_event(author_trust=AuthorTrust.OUTSIDER, source=integration_source("github")))
    (verdict,) = (await history.get(env.workspace, accepted.event_id))[1]
    assert (verdict.gate, verdict.outcome) == ("author", "stopped")


async def test_a_merged_event_knows_its_run_in_the_end(env: IntakeEnvironment, history: EventHistory) -> None:
    env.settings["eventCallback.mergeEnabled"] = True
    await env.callback()
    await env.callback(condition="ctx.batchSize > 5")
    (accepted,) = await env.send(task_event())
    outcomes = [v.outcome for v in (await history.get(env.workspace, accepted.event_id))[1]]
    assert outcomes == ["merged", "merged"]
    env.clock.at += 5
    await env.merger.step()
    one, two = (await history.get(env.workspace, accepted.event_id))[1]
    (run,) = await env.runs()
    assert (one.outcome, one.run_id, one.batch_id) == ("run", run["id"], accepted.batch_id)
    assert (two.outcome, two.gate, two.run_id) == ("stopped", "condition", None)


async def test_only_of_its_own_workspace(env: IntakeEnvironment, history: EventHistory) -> None:
    other = await env.make_workspace()
    (accepted,) = await env.send(task_event())
    for call in (history.get(other, accepted.event_id), history.replay(other, accepted.event_id)):
        with pytest.raises(NotFoundError):
            await call
    assert await history.list(other) == []


async def test_lists(env: IntakeEnvironment, history: EventHistory) -> None:
    sent = [await env.send(task_event(taskId=f"task-{n % 3}", taskTitle=str(n))) for n in range(9)]
    ids = [one.event_id for (one,) in sent]
    newest = await history.list(env.workspace, limit=4)
    assert [stored.event.id for stored in newest] == ids[:-5:-1]
    rest = await history.list(env.workspace, before=newest[-1].event.id)
    assert [stored.event.id for stored in rest] == ids[4::-1]
    assert [s.event.id for s in await history.list(env.workspace, after=ids[6])] == ids[7:]
    assert len(await history.list(env.workspace, subject="task-1")) == 3
    assert await history.list(env.workspace, name="task.created") == []


async def test_replay_with_the_callbacks_of_then_or_of_now(env: IntakeEnvironment, history: EventHistory) -> None:
    callback = await env.callback(prompt="then")
    gone = await env.callback(prompt="gone")
    (accepted,) = await env.send(task_event(source_id="1", operation="op"))
    env.clock.at += 1
    await env.change(callback, prompt="now")
    await env.callbacks.delete(env.workspace, gone.id)
    then = await history.replay(env.workspace, accepted.event_id, callbacks="then")
    now = await history.replay(env.workspace, accepted.event_id)
    prompts = {run["id"]: (run["prompt"], run["callback_version"]) for run in await env.runs()}
    assert [prompts[run] for run in then.runs] == [("then", 1)]
    assert [prompts[run] for run in now.runs] == [("now", 2)]
    stored, verdicts = await history.get(env.workspace, then.event_id)
    assert stored.replay_of == accepted.event_id
    assert [(v.version, v.outcome) for v in verdicts] == [(1, "run")]


async def test_the_time_machine_shows_what_an_edit_would_change(env: IntakeEnvironment, history: EventHistory) -> None:
    callback = await env.callback(condition="ctx.taskStatus === 'blocked'")
    sent: list[Accepted] = []
    for status in ("blocked", "todo", "done", "blocked"):
        sent += await env.send(task_event(taskStatus=status, taskTitle=str(len(sent))))
    edited = CallbackSpec.read({**callback.spec.as_dict(), "condition": "ctx.taskStatus === 'done' || ctx.x.y"})
    looked_at, changes = await history.backtest(env.workspace, callback.id, edited)
    assert looked_at == 4
    assert [(change.event.id, change.before, change.after) for change in changes] == [
        (sent[3].event_id, True, False),
        (sent[2].event_id, False, True),
        (sent[0].event_id, True, False),
    ]
    assert changes[0].error
    assert changes[1].error is None
    looked_at, changes = await history.backtest(env.workspace, None, edited, last=2)
    assert (looked_at, len(changes)) == (2, 1)
    assert len(await env.runs()) == 2


async def test_what_is_only_tried_switches_nothing_off(env: IntakeEnvironment, history: EventHistory) -> None:
    """Neither the next text that is tried, nor the callback that is being edited."""
    saved = await env.callback(condition="ctx.taskTitle.length > 0")
    (accepted,) = await env.send(task_event())
    assert accepted.runs
    event, _ = await history.get(env.workspace, accepted.event_id)
    preview = PreviewService(env.conditions, Catalog)
    endless, good = "(() => { for (;;); })()", "ctx.taskTitle.length > 0 && 1"
    for _ in range(4):
        tried = await preview(event.event, "p", endless)
        assert (tried.matched, tried.error is None) == (False, False)
        await history.backtest(env.workspace, saved.id, saved.spec.model_copy(update={"condition": endless}))
    assert await preview(event.event, "p", good) == PromptPreview(matched=True, error=None, prompt="p")
    looked_at, changes = await history.backtest(
        env.workspace, saved.id, saved.spec.model_copy(update={"condition": good})
    )
    assert (looked_at, changes) == (1, [])
    (again,) = await env.send(task_event(taskTitle="another"))
    assert again.runs
