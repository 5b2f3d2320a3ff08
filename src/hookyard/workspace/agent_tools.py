"""The four task tools that an agent has in a workspace, bound to one run.

Made by `wiring` for `runs.executor` (the built-in agent), and by `web.api.tasks` when a run's token asks. Every call is
one operation with the run's causes, so that the loop guard sees where its events come from; what the agent writes is
trusted as far as what started it, for it may quote it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from hookyard.core.clock import iso
from hookyard.core.errors import InvalidError, NotFoundError, Problem
from hookyard.core.ids import RunId, UserId, WorkspaceId
from hookyard.events.model import NO_CAUSE, AuthorTrust, Cause
from hookyard.store import schema
from hookyard.store.database import Database
from hookyard.workspace.actor import Actor
from hookyard.workspace.comments import Comment, Comments
from hookyard.workspace.tasks import Task, TaskChange, Tasks

_COMMENTS_SHOWN = 100
_FIELDS = {
    "title": "title",
    "description": "description",
    "type": "type",
    "status": "status",
    "assigneeId": "assignee_id",
    "labels": "labels",
}


class AgentTools:
    """The task tools of one run.

    Args:
        tasks: The workspace's tasks.
        comments: Their comments.
        workspace_id: The run's workspace; the tools reach no other.
        actor: The run.
    """

    def __init__(self, tasks: Tasks, comments: Comments, workspace_id: WorkspaceId, actor: Actor) -> None:
        self._tasks = tasks
        self._comments = comments
        self._workspace_id = workspace_id
        self._actor = actor

    async def get_task(self, task_id: str) -> Mapping[str, Any]:
        """Return the task with its first hundred comments.

        Raises:
            NotFoundError: No such task.
        """
        task = await self._tasks.get(self._workspace_id, task_id)
        comments = await self._comments.list(self._workspace_id, task.id, limit=_COMMENTS_SHOWN)
        return task_as_dict(task) | {"comments": [comment_as_dict(comment) for comment in comments]}

    async def create_task(self, title: str, task_type: str, status: str, description: str) -> Mapping[str, Any]:
        """Make a task.

        Raises:
            InvalidError: A field that cannot be used.
        """
        made = await self._tasks.create(
            self._workspace_id, self._actor, title=title, type=task_type, status=status, description=description
        )
        return task_as_dict(made)

    async def update_task(self, task_id: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change title, description, type, status, assigneeId or labels.

        Raises:
            InvalidError: A field that is unknown or invalid.
            NotFoundError: No such task.
        """
        problems = tuple(problem for name, value in changes.items() if (problem := _problem(name, value)) is not None)
        if problems:
            raise InvalidError(f"{problems[0].field}: {problems[0].message}", problems=problems)
        change = TaskChange(**{_FIELDS[name]: value for name, value in changes.items()})
        return task_as_dict(await self._tasks.update(self._workspace_id, task_id, change, self._actor))

    async def comment_task(self, task_id: str, content: str) -> Mapping[str, Any]:
        """Comment on a task and return the comment.

        Raises:
            InvalidError: A text that is empty or too long.
            NotFoundError: No such task.
        """
        return comment_as_dict(await self._comments.add(self._workspace_id, task_id, content, self._actor))


async def run_actor(database: Database, workspace_id: WorkspaceId, run_id: RunId, name: str) -> Actor:
    """Return a run as an actor: with the chain of causes up to itself, trusted as far as what started it.

    Args:
        database: Where runs are kept.
        workspace_id: The run's workspace.
        run_id: The run.
        name: What its events and comments are signed with.

    Raises:
        NotFoundError: No such run.
    """
    runs = schema.runs.c
    query = select(runs.callback_id, runs.event_id, runs.batch_id, runs.cause).where(
        runs.workspace_id == workspace_id, runs.id == run_id
    )

    def read(conn: Connection) -> Actor:
        row = conn.execute(query).first()
        if row is None:
            raise NotFoundError("no such run", where=run_id)
        cause = Cause.from_list(json.loads(row.cause)) if row.cause else NO_CAUSE
        trust = _trust(conn, row.event_id, row.batch_id)
        return Actor(UserId(run_id), name, trust, cause.by(run_id, row.callback_id, row.event_id), run_id)

    return await database.read(read)


def _trust(conn: Connection, event_id: str, batch_id: str | None) -> AuthorTrust:
    """Return the least trust of the events that started a run."""
    events = schema.events.c
    started_by = select(events.author_trust).where(events.id == event_id)
    if batch_id is not None:
        members = select(schema.batch_events.c.event_id).where(schema.batch_events.c.batch_id == batch_id)
        started_by = select(events.author_trust).where(events.id.in_(members))
    return AuthorTrust.least(AuthorTrust(trust) for trust in conn.execute(started_by).scalars())


def task_as_dict(task: Task) -> dict[str, Any]:
    """Return a task as the API and the tools show it."""
    return {
        "id": task.id,
        **task.variables,
        "taskStatus": task.status,
        "title": task.title,
        "type": task.type,
        "status": task.status,
        "description": task.description,
        "assigneeId": task.assignee_id,
        "assigneeName": task.assignee_name,
        "labels": list(task.labels),
        "createdBy": task.created_by,
        "createdAt": iso(task.created_at),
        "updatedAt": iso(task.updated_at),
        "url": task.url,
    }


def comment_as_dict(comment: Comment) -> dict[str, Any]:
    """Return a comment as the API and the tools show it."""
    return {
        "id": comment.id,
        "commentId": comment.id,
        "content": comment.content,
        "commenterId": comment.author_id,
        "commenterName": comment.author_name,
        "runId": comment.run_id,
        "createdAt": iso(comment.created_at),
    }


def _problem(name: str, value: object) -> Problem | None:
    if name not in _FIELDS:
        return Problem(name, f"is no field of a task; there are {', '.join(_FIELDS)}")
    if name == "labels":
        good = isinstance(value, list | tuple) and all(isinstance(label, str) for label in value)
        return None if good else Problem(name, "is no list of texts")
    return None if isinstance(value, str) else Problem(name, "is no text")
