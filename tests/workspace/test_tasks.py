"""Tasks and comments: one operation gives its rows and its events together."""

import asyncio
import json

import pytest

from hookyard.core.errors import InvalidError, NotFoundError
from hookyard.core.ids import WorkspaceId
from hookyard.events.catalog import Catalog
from hookyard.events.model import WORKSPACE_SOURCE, AuthorTrust
from hookyard.workspace.tasks import TaskChange, TaskFilter
from tests.workspace.conftest import WorkspaceEnvironment


async def test_every_operation_gives_its_events_whole(env: WorkspaceEnvironment) -> None:
    task = await env.tasks.create(env.id, env.actor, title="修复登录Bug", type="bug")
    await env.tasks.update(env.id, task.task_id, TaskChange(status="blocked"), env.actor)
    await env.tasks.update(env.id, task.id, TaskChange(assignee_id="u2", assignee_name="张三"), env.actor)
    await env.comments.add(env.id, task.task_id, "这个Bug已修复", env.actor)
    await env.tasks.delete(env.id, task.task_id, env.actor)
    assert env.ledger.names() == [
        "task.created",
        "task.updated",
        "task.status_changed",
        "task.updated",
        "task.reassigned",
        "task.commented",
        "task.deleted",
    ]
    catalog = Catalog()
    for _, draft in env.ledger.taken:
        spec = catalog.get(draft.name)
        assert spec is not None
        assert set(draft.variables) == set(spec.types), draft.name
        assert all(spec.types[name].holds(value) for name, value in draft.variables.items())
        assert (draft.source, draft.author_trust) == (WORKSPACE_SOURCE, AuthorTrust.MEMBER)


async def test_a_change_of_status_and_assignee_is_one_operation_with_three_events(env: WorkspaceEnvironment) -> None:
    task = await env.tasks.create(env.id, env.actor, title="a")
    await env.tasks.update(env.id, task.id, TaskChange(status="blocked", assignee_id="u2"), env.actor)
    drafts = [draft for _, draft in env.ledger.taken[1:]]
    assert [draft.name for draft in drafts] == ["task.updated", "task.status_changed", "task.reassigned"]
    assert len({draft.operation_id for draft in drafts}) == 1
    assert drafts[0].operation_id != env.ledger.taken[0][1].operation_id
    assert json.loads(str(drafts[0].variables["changes"])) == {"status": "blocked", "assigneeId": "u2"}
    assert drafts[2].variables["assigneeName"] == "u2"


async def test_a_change_to_the_same_is_no_event(env: WorkspaceEnvironment) -> None:
    task = await env.tasks.create(env.id, env.actor, title="a", labels=["x"])
    same = await env.tasks.update(env.id, task.id, TaskChange(title="a", status="todo", labels=["x"]), env.actor)
    assert same == task
    assert env.ledger.names() == ["task.created"]


async def test_the_name_of_an_assignee_is_the_members(env: WorkspaceEnvironment) -> None:
    await env.members.add(env.id, "u7", "张三", env.actor)
    task = await env.tasks.create(env.id, env.actor, title="a", assignee_id="u7", assignee_name="someone")
    assert task.assignee_name == "张三"
    nobody = await env.tasks.update(env.id, task.id, TaskChange(assignee_id=""), env.actor)
    assert (nobody.assignee_id, nobody.assignee_name) == (None, None)
    _, reassigned = env.ledger.taken[-1]
    assert (reassigned.variables["assigneeId"], reassigned.variables["assigneeName"]) == ("", "")


async def test_tasks_made_at_once_have_different_numbers(env: WorkspaceEnvironment) -> None:
    made = await asyncio.gather(*(env.tasks.create(env.id, env.actor, title=str(n)) for n in range(30)))
    assert {task.task_id for task in made} == {f"task-{n}" for n in range(1, 31)}


async def test_changes_at_once_all_count_and_none_is_lost(env: WorkspaceEnvironment) -> None:
    task = await env.tasks.create(env.id, env.actor, title="a")
    await asyncio.gather(
        env.tasks.update(env.id, task.id, TaskChange(title="b"), env.actor),
        env.tasks.update(env.id, task.id, TaskChange(description="c"), env.actor),
        env.tasks.update(env.id, task.id, TaskChange(labels=["d"]), env.actor),
        env.tasks.update(env.id, task.id, TaskChange(status="done"), env.actor),
    )
    now = await env.tasks.get(env.id, task.id)
    assert (now.title, now.description, now.labels, now.status) == ("b", "c", ("d",), "done")
    # Each event tells the change that really happened, on the state that was really there.
    changes = [json.loads(str(d.variables["changes"])) for _, d in env.ledger.taken if d.name == "task.updated"]
    assert sorted(key for change in changes for key in change) == ["description", "labels", "status", "title"]


async def test_another_workspace_sees_nothing(env: WorkspaceEnvironment) -> None:
    await env.workspaces.create("Theirs", "x")
    other = WorkspaceId("x")
    task = await env.tasks.create(env.id, env.actor, title="a")
    theirs = await env.tasks.create(other, env.actor, title="b")
    assert theirs.task_id == "task-1"
    with pytest.raises(NotFoundError):
        await env.tasks.get(other, task.id)
    with pytest.raises(NotFoundError):
        await env.tasks.update(other, task.id, TaskChange(title="c"), env.actor)
    with pytest.raises(NotFoundError):
        await env.tasks.delete(other, task.id, env.actor)
    with pytest.raises(NotFoundError):
        await env.comments.add(other, task.id, "hello", env.actor)
    with pytest.raises(NotFoundError):
        await env.comments.list(other, task.id)
    assert [t.id for t in await env.tasks.list(other)] == [theirs.id]
    assert await env.comments.list(env.id, task.id) == []


async def test_lists_page_and_filter(env: WorkspaceEnvironment) -> None:
    made = [await env.tasks.create(env.id, env.actor, title=f"number {n}") for n in range(5)]
    await env.tasks.update(env.id, made[0].id, TaskChange(status="100%_done"), env.actor)
    first = await env.tasks.list(env.id, limit=2)
    rest = await env.tasks.list(env.id, before=(first[-1].updated_at, first[-1].id))
    assert [t.title for t in (*first, *rest)] == ["number 0", "number 4", "number 3", "number 2", "number 1"]
    assert [t.id for t in await env.tasks.list(env.id, TaskFilter(status="100%_done"))] == [made[0].id]
    assert [t.id for t in await env.tasks.list(env.id, TaskFilter(search="TASK-3"))] == [made[2].id]
    assert await env.tasks.list(env.id, TaskFilter(search="%")) == []


@pytest.mark.parametrize(
    "change",
    [
        TaskChange(title=" "),
        TaskChange(title="a\nb"),
        TaskChange(title="a" * 501),
        TaskChange(title="\ud800"),
        TaskChange(description="\x00"),
        TaskChange(description="a" * 65_537),
        TaskChange(status=""),
        TaskChange(labels=["a"] * 51),
        TaskChange(labels=[""]),
    ],
)
async def test_what_cannot_be_used_changes_nothing(env: WorkspaceEnvironment, change: TaskChange) -> None:
    task = await env.tasks.create(env.id, env.actor, title="a")
    with pytest.raises(InvalidError) as refused:
        await env.tasks.update(env.id, task.id, change, env.actor)
    assert refused.value.problems
    assert await env.tasks.get(env.id, task.id) == task
    assert env.ledger.names() == ["task.created"]


async def test_a_deleted_task_is_gone_for_everybody(env: WorkspaceEnvironment) -> None:
    task = await env.tasks.create(env.id, env.actor, title="a")
    await env.tasks.delete(env.id, task.id, env.actor)
    with pytest.raises(NotFoundError):
        await env.tasks.get(env.id, task.id)
    with pytest.raises(NotFoundError):
        await env.tasks.delete(env.id, task.id, env.actor)
    assert await env.tasks.list(env.id) == []
    again = await env.tasks.create(env.id, env.actor, title="b")
    assert again.task_id == "task-2"
