"""What happened at a service, as the workspace's own rows: the mirrored task and its comments.

Called by `workspace.sources` inside the transaction of the delivery's events. Deliveries are repeated and come out of
order: the same one twice leaves one row, an older one never undoes a newer, and what was deleted stays deleted.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from hookyard.events.sources.base import Comment, Happening
from hookyard.fields import MAX_NAME, MAX_TEXT, MAX_TITLE
from hookyard.ids import CommentId, UserId, WorkspaceId
from hookyard.store import schema
from hookyard.workspace import comments

_OF = {"assignee": ("assignee_id", "assignee_name")}
"""The columns of an attribute of `MirroredTask.untold`, where they have other names."""


def mirror(
    conn: Connection, workspace_id: WorkspaceId, kind: str, what: Happening, now: float, comment_id: CommentId
) -> None:
    """Bring the mirrored task up to what happened.

    Args:
        conn: In a transaction of the caller's.
        workspace_id: Whose.
        kind: The service.
        what: What happened.
        now: Seconds since the epoch.
        comment_id: Id of our copy of the comment, if there is one.
    """
    tasks = schema.tasks
    mine = (tasks.c.workspace_id == workspace_id) & (tasks.c.id == what.task.db_id)
    old = conn.execute(select(tasks).where(mine)).first()
    at = now if what.at is None else what.at
    if old is None:
        _free_number(conn, workspace_id, what)
        row = {"id": what.task.db_id, "created_by": what.actor.name[:MAX_NAME], "created_at": at}
        conn.execute(insert(tasks).values(workspace_id=workspace_id, **row, **_columns(kind, what, at)))
    elif what.deleted or at > old.updated_at or (at == old.updated_at and old.deleted_at is None):
        if old.task_id != what.task.task_id:
            _free_number(conn, workspace_id, what)
        kept = _kept(what, old)
        columns = _columns(kind, what, max(at, old.updated_at)).items()
        conn.execute(update(tasks).where(mine).values({name: value for name, value in columns if name not in kept}))
    if what.comment is not None and not _has(conn, workspace_id, what, what.comment):
        comments.insert_comment(conn, workspace_id, what.task.db_id, _copy(what, what.comment, at, comment_id))


def _columns(kind: str, what: Happening, at: float) -> dict[str, Any]:
    task = what.task
    description = {} if task.description is None else {"description": task.description[:MAX_TEXT]}
    return {
        **description,
        "task_id": task.task_id,
        "type": task.type[:MAX_NAME],
        "title": task.title[:MAX_TITLE],
        "status": task.status[:MAX_NAME],
        "assignee_id": task.assignee.id[:MAX_NAME] or None,
        "assignee_name": task.assignee.name[:MAX_NAME] or None,
        "labels": json.dumps([label[:MAX_NAME] for label in task.labels], ensure_ascii=False),
        "updated_at": at,
        "deleted_at": at if what.deleted else None,
        "source": kind,
        "url": task.url,
    }


def _kept(what: Happening, old: Row[Any]) -> set[str]:
    """The columns that a delivery says nothing of."""
    kept = {column for attribute in what.task.untold for column in _OF.get(attribute, (attribute,))}
    assignee = what.task.assignee
    if assignee.id and not assignee.name and assignee.id == old.assignee_id:
        kept.add("assignee_name")
    return kept


def _free_number(conn: Connection, workspace_id: WorkspaceId, what: Happening) -> None:
    """A number that another task has (of a repository that was renamed, say) goes over to the one that has it now."""
    tasks = schema.tasks
    holder: Row[Any] | None = conn.execute(
        select(tasks.c.id).where(tasks.c.workspace_id == workspace_id, tasks.c.task_id == what.task.task_id)
    ).first()
    if holder is not None:
        conn.execute(
            update(tasks)
            .where(tasks.c.workspace_id == workspace_id, tasks.c.id == holder.id)
            .values(task_id=f"{what.task.task_id} ({holder.id})")
        )


def _has(conn: Connection, workspace_id: WorkspaceId, what: Happening, comment: Comment) -> bool:
    table = schema.comments.c
    query = select(table.id).where(
        table.workspace_id == workspace_id, table.task_db_id == what.task.db_id, table.source_id == comment.id
    )
    return conn.execute(query).first() is not None


def _copy(what: Happening, comment: Comment, at: float, comment_id: CommentId) -> comments.Comment:
    return comments.Comment(
        id=comment_id,
        author_id=UserId(comment.author.id[:MAX_NAME]),
        author_name=comment.author.name[:MAX_NAME],
        author_trust=what.author_trust,
        content=comment.content[:MAX_TEXT],
        run_id=None,
        created_at=at,
        source_id=comment.id,
    )
