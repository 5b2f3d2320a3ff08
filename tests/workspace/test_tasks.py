"""Tasks and comments: one operation gives its rows and its events together."""

import asyncio
import json

import pytest

from hookyard.errors import InvalidError, NotFoundError
from hookyard.events.catalog import Catalog
from hookyard.events.model import WORKSPACE_SOURCE, AuthorTrust
from hookyard.ids import WorkspaceId
from hookyard.workspace.tasks import TaskChange, TaskFilter
from tests.workspace.conftest import Place


async def test_every_operation_gives_its_events_whole(place: Place) -> None:
    task = await place.tasks.create(place.id, place.actor, title="修复登录Bug", type="bug")
    await place.tasks.update(place.id, task.task_id, TaskChange(status="blocked"), place.actor)
    await place.tasks.update(place.id, task.id, TaskChange(assignee_id="u2", assignee_name="张三"), place.actor)
    await place.comments.add(place.id, task.task_id, "这个Bug已修复", place.actor)
    await place.tasks.delete(place.id, task.task_id, place.actor)
    assert place.ledger.names() == [
        "task.created",
        "task.updated",
        "task.status_changed",
        "task.updated",
        "task.reassigned",
        "task.commented",
        "task.deleted",
    ]
    catalog = Catalog()
    for _, draft in place.ledger.taken:
        spec = catalog.get(draft.name)
        assert spec is not None
        assert set(draft.variables) == set(spec.types), draft.name
        assert all(spec.types[name].holds(value) for name, value in draft.variables.items())
        assert (draft.source, draft.author_trust) == (WORKSPACE_SOURCE, AuthorTrust.MEMBER)


async def test_a_change_of_status_and_assignee_is_one_operation_with_three_events(place: Place) -> None:
    task = await place.tasks.create(place.id, place.actor, title="a")
    await place.tasks.update(place.id, task.id, TaskChange(status="blocked", assignee_id="u2"), place.actor)
    drafts = [draft for _, draft in place.ledger.taken[1:]]
    assert [draft.name for draft in drafts] == ["task.updated", "task.status_changed", "task.reassigned"]
    assert len({draft.operation_id for draft in drafts}) == 1
    assert drafts[0].operation_id != place.ledger.taken[0][1].operation_id
    assert json.loads(str(drafts[0].variables["changes"])) == {"status": "blocked", "assigneeId": "u2"}
    assert drafts[2].variables["assigneeName"] == "u2"


async def test_a_change_to_the_same_is_no_event(place: Place) -> None:
    task = await place.tasks.create(place.id, place.actor, title="a", labels=["x"])
    same = await place.tasks.update(place.id, task.id, TaskChange(title="a", status="todo", labels=["x"]), place.actor)
    assert same == task
    assert place.ledger.names() == ["task.created"]


async def test_the_name_of_an_assignee_is_the_members(place: Place) -> None:
    await place.members.add(place.id, "u7", "张三", place.actor)
    task = await place.tasks.create(place.id, place.actor, title="a", assignee_id="u7", assignee_name="someone")
    assert task.assignee_name == "张三"
    nobody = await place.tasks.update(place.id, task.id, TaskChange(assignee_id=""), place.actor)
    assert (nobody.assignee_id, nobody.assignee_name) == (None, None)
    _, reassigned = place.ledger.taken[-1]
    assert (reassigned.variables["assigneeId"], reassigned.variables["assigneeName"]) == ("", "")


async def test_tasks_made_at_once_have_different_numbers(place: Place) -> None:
    made = await asyncio.gather(*(place.tasks.create(place.id, place.actor, title=str(n)) for n in range(30)))
    assert {task.task_id for task in made} == {f"task-{n}" for n in range(1, 31)}


async def test_changes_at_once_all_count_and_none_is_lost(place: Place) -> None:
    task = await place.tasks.create(place.id, place.actor, title="a")
    await asyncio.gather(
        place.tasks.update(place.id, task.id, TaskChange(title="b"), place.actor),
        place.tasks.update(place.id, task.id, TaskChange(description="c"), place.actor),
        place.tasks.update(place.id, task.id, TaskChange(labels=["d"]), place.actor),
        place.tasks.update(place.id, task.id, TaskChange(status="done"), place.actor),
    )
    now = await place.tasks.get(place.id, task.id)
    assert (now.title, now.description, now.labels, now.status) == ("b", "c", ("d",), "done")
    # Each event tells the change that really happened, on the state that was really there.
    changes = [json.loads(str(d.variables["changes"])) for _, d in place.ledger.taken if d.name == "task.updated"]
    assert sorted(key for change in changes for key in change) == ["description", "labels", "status", "title"]


async def test_another_workspace_sees_nothing(place: Place) -> None:
    await place.workspaces.create("Theirs", "x")
    other = WorkspaceId("x")
    task = await place.tasks.create(place.id, place.actor, title="a")
    theirs = await place.tasks.create(other, place.actor, title="b")
    assert theirs.task_id == "task-1"
    with pytest.raises(NotFoundError):
        await place.tasks.get(other, task.id)
    with pytest.raises(NotFoundError):
        await place.tasks.update(other, task.id, TaskChange(title="c"), place.actor)
    with pytest.raises(NotFoundError):
        await place.tasks.delete(other, task.id, place.actor)
    with pytest.raises(NotFoundError):
        await place.comments.add(other, task.id, "hello", place.actor)
    with pytest.raises(NotFoundError):
        await place.comments.list(other, task.id)
    assert [t.id for t in await place.tasks.list(other)] == [theirs.id]
    assert await place.comments.list(place.id, task.id) == []


async def test_lists_page_and_filter(place: Place) -> None:
    made = [await place.tasks.create(place.id, place.actor, title=f"number {n}") for n in range(5)]
    await place.tasks.update(place.id, made[0].id, TaskChange(status="100%_done"), place.actor)
    first = await place.tasks.list(place.id, limit=2)
    rest = await place.tasks.list(place.id, before=(first[-1].updated_at, first[-1].id))
    assert [t.title for t in (*first, *rest)] == ["number 0", "number 4", "number 3", "number 2", "number 1"]
    assert [t.id for t in await place.tasks.list(place.id, TaskFilter(status="100%_done"))] == [made[0].id]
    assert [t.id for t in await place.tasks.list(place.id, TaskFilter(search="TASK-3"))] == [made[2].id]
    assert await place.tasks.list(place.id, TaskFilter(search="%")) == []


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
async def test_what_cannot_be_used_changes_nothing(place: Place, change: TaskChange) -> None:
    task = await place.tasks.create(place.id, place.actor, title="a")
    with pytest.raises(InvalidError) as refused:
        await place.tasks.update(place.id, task.id, change, place.actor)
    assert refused.value.problems
    assert await place.tasks.get(place.id, task.id) == task
    assert place.ledger.names() == ["task.created"]


async def test_a_deleted_task_is_gone_for_everybody(place: Place) -> None:
    task = await place.tasks.create(place.id, place.actor, title="a")
    await place.tasks.delete(place.id, task.id, place.actor)
    with pytest.raises(NotFoundError):
        await place.tasks.get(place.id, task.id)
    with pytest.raises(NotFoundError):
        await place.tasks.delete(place.id, task.id, place.actor)
    assert await place.tasks.list(place.id) == []
    again = await place.tasks.create(place.id, place.actor, title="b")
    assert again.task_id == "task-2"
