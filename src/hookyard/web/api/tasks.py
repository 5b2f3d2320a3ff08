"""`/workspaces/{w}/tasks`: tasks and their comments, for members and for the task tools of a run.

`{task}` is the number (`task-1`; of a mirrored task `owner/repo%2312`) or the UUID.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from hookyard.web.api.access import MemberAccess, ServicesDep, TaskAccess
from hookyard.web.api.bodies import Body
from hookyard.web.api.paging import DEFAULT_LIMIT, Cursor, Limit, page, unpack
from hookyard.workspace.agent_tools import comment_as_dict, task_as_dict
from hookyard.workspace.tasks import TaskChange, TaskFilter

router = APIRouter(tags=["tasks"])


class NewTask(Body):
    """A task to be made."""

    title: str
    type: str = "task"
    status: str = "todo"
    description: str = ""
    assignee_id: str | None = None
    assignee_name: str | None = None
    labels: list[str] = Field(default_factory=list)


class TaskPatch(Body):
    """What is to be changed; what is left out stays. `assigneeId: null` takes the assignee away."""

    title: str | None = None
    type: str | None = None
    status: str | None = None
    description: str | None = None
    assignee_id: str | None = None
    assignee_name: str | None = None
    labels: list[str] | None = None


class NewComment(Body):
    """A comment to be made."""

    content: str


@router.post("/workspaces/{workspace}/tasks", status_code=HTTPStatus.CREATED)
async def create_task(services: ServicesDep, access: TaskAccess, body: NewTask) -> dict[str, Any]:
    """Make a task: task.created."""
    made = await services.tasks.create(
        access.workspace_id,
        access.actor,
        title=body.title,
        type=body.type,
        status=body.status,
        description=body.description,
        assignee_id=body.assignee_id,
        assignee_name=body.assignee_name,
        labels=body.labels,
    )
    return task_as_dict(made)


@router.get("/workspaces/{workspace}/tasks")
async def list_tasks(
    services: ServicesDep,
    access: MemberAccess,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    status: str | None = None,
    assignee: str | None = None,
    search: str | None = None,
) -> dict[str, Any]:
    """List tasks, last changed first."""
    only = TaskFilter(status, assignee, search)
    before = unpack(cursor, float, str)
    found = await services.tasks.list(access.workspace_id, only, before=before, limit=limit + 1)
    return page(found, limit, task_as_dict, lambda task: (task.updated_at, task.id))


@router.post("/workspaces/{workspace}/tasks/{task:path}/comments", status_code=HTTPStatus.CREATED)
async def add_comment(services: ServicesDep, access: TaskAccess, task: str, body: NewComment) -> dict[str, Any]:
    """Comment on a task: task.commented."""
    return comment_as_dict(await services.comments.add(access.workspace_id, task, body.content, access.actor))


@router.get("/workspaces/{workspace}/tasks/{task:path}/comments")
async def list_comments(
    services: ServicesDep, access: TaskAccess, task: str, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> dict[str, Any]:
    """List comments of a task, oldest first."""
    after = unpack(cursor, float, str)
    found = await services.comments.list(access.workspace_id, task, after=after, limit=limit + 1)
    return page(found, limit, comment_as_dict, lambda comment: (comment.created_at, comment.id))


@router.get("/workspaces/{workspace}/tasks/{task:path}")
async def get_task(services: ServicesDep, access: TaskAccess, task: str) -> dict[str, Any]:
    """Return one task."""
    return task_as_dict(await services.tasks.get(access.workspace_id, task))


@router.patch("/workspaces/{workspace}/tasks/{task:path}")
async def change_task(services: ServicesDep, access: TaskAccess, task: str, body: TaskPatch) -> dict[str, Any]:
    """Change a task: task.updated, and task.status_changed or task.reassigned with it."""
    given = body.model_dump(exclude_unset=True)
    if "assignee_id" in given:
        given["assignee_id"] = body.assignee_id or ""
    changed = await services.tasks.update(access.workspace_id, task, TaskChange(**given), access.actor)
    return task_as_dict(changed)


@router.delete("/workspaces/{workspace}/tasks/{task:path}", status_code=HTTPStatus.NO_CONTENT)
async def delete_task(services: ServicesDep, access: MemberAccess, task: str) -> Response:
    """Delete a task: task.deleted."""
    await services.tasks.delete(access.workspace_id, task, access.actor)
    return Response(status_code=HTTPStatus.NO_CONTENT)
