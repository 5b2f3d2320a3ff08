"""Tasks: made, changed, deleted, listed; every operation gives its rows and its events together.

Called by `web.api.tasks`, the pages and `workspace.agent_tools`. A change of status gives `task.updated` and
`task.status_changed`, a change of assignee `task.updated` and `task.reassigned`, all under one operationId.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, insert, or_, select, update

from hookyard.core.clock import Clock
from hookyard.core.errors import NotFoundError, StaleError
from hookyard.core.ids import Ids, WorkspaceId
from hookyard.core.validation import MAX_TITLE, validate_labels, validate_name, validate_text
from hookyard.events.model import EventDraft
from hookyard.store import schema
from hookyard.store.database import Database
from hookyard.workspace.actor import Actor
from hookyard.workspace.operation import EventAcceptor, Operation, retry_on_conflict


@dataclass(frozen=True, slots=True)
class Task:
    """One task.

    Attributes:
        id: A UUID, `taskDBId`.
        task_id: The number that people say, `task-1`; of a mirrored task such as `owner/repo#12`.
        type: task, bug, story, ….
        title: One line.
        description: Any number of lines.
        status: todo, blocked, done, ….
        assignee_id: The assignee, None = unassigned.
        assignee_name: Their name.
        labels: Each once.
        created_by: Name of who made it.
        created_at: Seconds since the epoch.
        updated_at: Seconds since the epoch.
        source: `github`, `gitlab`, `jira` when it mirrors one of theirs.
        url: Where the original is.
    """

    id: str
    task_id: str
    type: str
    title: str
    description: str
    status: str
    assignee_id: str | None
    assignee_name: str | None
    labels: tuple[str, ...]
    created_by: str
    created_at: float
    updated_at: float
    source: str | None = None
    url: str | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What every event of a task carries."""
        return {"taskId": self.task_id, "taskDBId": self.id, "taskType": self.type, "taskTitle": self.title}


@dataclass(frozen=True, slots=True)
class TaskChange:
    """What is to be changed; None = stays as it is.

    Attributes:
        title: The new title.
        description: The new description.
        type: The new type.
        status: The new status.
        assignee_id: The new assignee; `""` = unassigned.
        assignee_name: Their name, for one who is no member.
        labels: The new labels, all of them.
    """

    title: str | None = None
    description: str | None = None
    type: str | None = None
    status: str | None = None
    assignee_id: str | None = None
    assignee_name: str | None = None
    labels: Sequence[str] | None = None

    def checked(self) -> TaskChange:
        """Return the change after checking every field.

        Raises:
            InvalidError: A field that cannot be used.
        """
        return TaskChange(
            title=None if self.title is None else validate_name(self.title, "title", MAX_TITLE),
            description=None if self.description is None else validate_text(self.description, "description"),
            type=None if self.type is None else validate_name(self.type, "type"),
            status=None if self.status is None else validate_name(self.status, "status"),
            assignee_id=validate_name(self.assignee_id, "assigneeId") if self.assignee_id else self.assignee_id,
            assignee_name=validate_name(self.assignee_name, "assigneeName") if self.assignee_name else None,
            labels=None if self.labels is None else validate_labels(self.labels),
        )


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks a list shows; None = all.

    Attributes:
        status: Only of this status.
        assignee_id: Only this person's.
        search: Only with these letters in number or title, whatever the case.
    """

    status: str | None = None
    assignee_id: str | None = None
    search: str | None = None


class Tasks:
    """The tasks of every workspace.

    Args:
        database: Where they are kept.
        accept: Stores the events.
        clock: Dates them.
        ids: Names the operations.
        new_uuid: Makes the ids of tasks.
    """

    def __init__(
        self,
        database: Database,
        accept: EventAcceptor,
        clock: Clock,
        ids: Ids,
        new_uuid: Callable[[], uuid.UUID] = uuid.uuid4,
    ) -> None:
        self._database = database
        self._accept = accept
        self._clock = clock
        self._ids = ids
        self._new_uuid = new_uuid

    async def create(
        self,
        workspace_id: WorkspaceId,
        actor: Actor,
        *,
        title: str,
        type: str = "task",  # noqa: A002 - the field's name
        status: str = "todo",
        description: str = "",
        assignee_id: str | None = None,
        assignee_name: str | None = None,
        labels: Sequence[str] = (),
    ) -> Task:
        """Make a task: `task.created`.

        Raises:
            InvalidError: A field that cannot be used.
            NotFoundError: No such workspace.
        """
        given = TaskChange(title, description, type, status, assignee_id, assignee_name, labels).checked()
        name = await self._name_of(workspace_id, given)
        now = self._clock.now()
        made = Task(
            id=str(self._new_uuid()),
            task_id=await self._next_number(workspace_id),
            type=given.type or "",
            title=given.title or "",
            description=given.description or "",
            status=given.status or "",
            assignee_id=given.assignee_id or None,
            assignee_name=name,
            labels=tuple(given.labels or ()),
            created_by=actor.name,
            created_at=now,
            updated_at=now,
        )
        created = Operation.by(actor, self._ids).event("task.created", created_variables(made))
        await self._accept.accept(workspace_id, [created], apply=lambda conn: insert_task(conn, workspace_id, made))
        return made

    async def update(self, workspace_id: WorkspaceId, task_id: str, change: TaskChange, actor: Actor) -> Task:
        """Change a task: `task.updated`, and what else the change means. A change to the same gives no event.

        Raises:
            InvalidError: A field that cannot be used.
            NotFoundError: No such task.
        """
        change = change.checked()
        operation = Operation.by(actor, self._ids)

        async def attempt() -> Task:
            old = await self.get(workspace_id, task_id)
            new = await self._changed(workspace_id, old, change)
            drafts = update_events(operation, old, new)
            if drafts:
                write = _replacement(workspace_id, old, new)
                await self._accept.accept(workspace_id, drafts, apply=write)
            return new

        return await retry_on_conflict(attempt)

    async def delete(self, workspace_id: WorkspaceId, task_id: str, actor: Actor) -> None:
        """Delete a task: `task.deleted`.

        Raises:
            NotFoundError: No such task.
        """
        operation = Operation.by(actor, self._ids)
        tasks, now = schema.tasks, self._clock.now()

        async def attempt() -> None:
            old = await self.get(workspace_id, task_id)
            deleted = operation.event("task.deleted", old.variables | {"deletedBy": actor.name})

            def apply(conn: Connection) -> None:
                if (
                    conn.execute(update(tasks).where(_unchanged(workspace_id, old)).values(deleted_at=now)).rowcount
                    == 0
                ):
                    raise StaleError("changed meanwhile")

            await self._accept.accept(workspace_id, [deleted], apply=apply)

        await retry_on_conflict(attempt)

    async def get(self, workspace_id: WorkspaceId, task_id: str) -> Task:
        """Return one task by its number or its UUID.

        Raises:
            NotFoundError: No such task.
        """
        task = await self._database.read(lambda conn: find_task(conn, workspace_id, task_id))
        if task is None:
            raise NotFoundError("no such task", where=task_id)
        return task

    async def list(
        self,
        workspace_id: WorkspaceId,
        only: TaskFilter | None = None,
        *,
        before: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> Sequence[Task]:
        """Return tasks of a workspace, last changed first.

        Args:
            workspace_id: Whose.
            only: Which of them.
            before: Begin behind this `updated_at` and `id`.
            limit: At most so many.
        """
        tasks, only = schema.tasks.c, only or TaskFilter()
        query = select(schema.tasks).where(tasks.workspace_id == workspace_id, tasks.deleted_at.is_(None))
        if only.status is not None:
            query = query.where(tasks.status == only.status)
        if only.assignee_id is not None:
            query = query.where(tasks.assignee_id == only.assignee_id)
        if only.search:
            query = query.where(
                or_(
                    tasks.title.icontains(only.search, autoescape=True),
                    tasks.task_id.icontains(only.search, autoescape=True),
                )
            )
        if before is not None:
            at, task_db_id = before
            query = query.where(or_(tasks.updated_at < at, and_(tasks.updated_at == at, tasks.id < task_db_id)))
        query = query.order_by(tasks.updated_at.desc(), tasks.id.desc()).limit(limit)
        return await self._database.read(lambda conn: [_task(row) for row in conn.execute(query)])

    async def _next_number(self, workspace_id: WorkspaceId) -> str:
        """Return the next number. It is taken before the task is stored, so that tasks made at once never wait for one
        another; the number of a rejected task is not reused."""
        table = schema.workspaces
        take = (
            update(table)
            .where(table.c.id == workspace_id)
            .values(next_task=table.c.next_task + 1)
            .returning(table.c.next_task - 1)
        )
        number = await self._database.write(lambda conn: conn.execute(take).scalar())
        if number is None:
            raise NotFoundError("no such workspace", where=workspace_id)
        return f"task-{number}"

    async def _changed(self, workspace_id: WorkspaceId, old: Task, change: TaskChange) -> Task:
        new = replace(
            old,
            title=old.title if change.title is None else change.title,
            description=old.description if change.description is None else change.description,
            type=old.type if change.type is None else change.type,
            status=old.status if change.status is None else change.status,
            labels=old.labels if change.labels is None else tuple(change.labels),
        )
        if change.assignee_id is not None and (change.assignee_id or None) != old.assignee_id:
            name = await self._name_of(workspace_id, change)
            new = replace(new, assignee_id=change.assignee_id or None, assignee_name=name)
        # Never the same as before, or the check that the row is as it was read could pass on a row that is not.
        return new if new == old else replace(new, updated_at=max(self._clock.now(), old.updated_at + 1e-6))

    async def _name_of(self, workspace_id: WorkspaceId, change: TaskChange) -> str | None:
        """Name of the assignee: a member's, or else the one given, or else the id itself."""
        if not change.assignee_id:
            return None
        members = schema.members.c
        query = select(members.user_name).where(
            members.workspace_id == workspace_id, members.user_id == change.assignee_id
        )
        known: str | None = await self._database.read(lambda conn: conn.execute(query).scalar())
        return known or change.assignee_name or change.assignee_id


_WIRE_NAMES = {
    "title": "title",
    "description": "description",
    "type": "type",
    "status": "status",
    "assignee_id": "assigneeId",
    "labels": "labels",
}


def created_variables(task: Task) -> dict[str, str]:
    """Return the variables of `task.created`."""
    return task.variables | {"taskStatus": task.status, "createdBy": task.created_by}


def update_events(operation: Operation, old: Task, new: Task) -> list[EventDraft]:
    """Return the events of a change, none when nothing has changed."""
    changes: dict[str, Any] = {
        wire: getattr(new, field) for field, wire in _WIRE_NAMES.items() if getattr(new, field) != getattr(old, field)
    }
    if not changes:
        return []
    by = {"updatedBy": operation.actor.name}
    status = {"taskStatus": new.status}
    text = json.dumps(changes, ensure_ascii=False, separators=(",", ":"))
    drafts = [operation.event("task.updated", new.variables | status | by | {"changes": text})]
    if "status" in changes:
        drafts.append(operation.event("task.status_changed", new.variables | status | by))
    if "assigneeId" in changes:
        assignee = {"assigneeId": new.assignee_id or "", "assigneeName": new.assignee_name or ""}
        drafts.append(operation.event("task.reassigned", new.variables | assignee | by))
    return drafts


def find_task(conn: Connection, workspace_id: WorkspaceId, task_id: str) -> Task | None:
    """Return the task of a number or UUID in a workspace, or None."""
    tasks = schema.tasks.c
    query = select(schema.tasks).where(
        tasks.workspace_id == workspace_id,
        or_(tasks.task_id == task_id, tasks.id == task_id),
        tasks.deleted_at.is_(None),
    )
    row = conn.execute(query).first()
    return None if row is None else _task(row)


def insert_task(conn: Connection, workspace_id: WorkspaceId, task: Task) -> None:
    """Store a new task, inside a transaction of the caller's."""
    conn.execute(insert(schema.tasks).values(workspace_id=workspace_id, **_columns(task)))


def replace_task(conn: Connection, workspace_id: WorkspaceId, old: Task, new: Task) -> None:
    """Store a changed task, inside a transaction of the caller's.

    Raises:
        StaleError: It is not as it was read any more.
    """
    write = update(schema.tasks).where(_unchanged(workspace_id, old)).values(**_columns(new))
    if conn.execute(write).rowcount == 0:
        raise StaleError("changed meanwhile")


def _replacement(workspace_id: WorkspaceId, old: Task, new: Task) -> Callable[[Connection], None]:
    return lambda conn: replace_task(conn, workspace_id, old, new)


def _unchanged(workspace_id: WorkspaceId, old: Task) -> ColumnElement[bool]:
    tasks = schema.tasks.c
    return and_(
        tasks.workspace_id == workspace_id,
        tasks.id == old.id,
        tasks.updated_at == old.updated_at,
        tasks.deleted_at.is_(None),
    )


def _columns(task: Task) -> Mapping[str, Any]:
    columns = {field.name: getattr(task, field.name) for field in fields(task)}
    return columns | {"labels": json.dumps(task.labels, ensure_ascii=False)}


def _task(row: Row[tuple[object, ...]]) -> Task:
    values = {field.name: getattr(row, field.name) for field in fields(Task)}
    return Task(**(values | {"labels": tuple(json.loads(row.labels))}))
