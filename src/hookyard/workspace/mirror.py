"""What happened at a service, as the workspace's own rows: the mirrored task and its comments.

Called by `integrations` inside the transaction of the delivery's events. Deliveries are repeated and come out of
order: the same one twice leaves one row, an older one never undoes a newer, and what was deleted stays deleted.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from hookyard.core.ids import CommentId, UserId, WorkspaceId
from hookyard.core.validation import MAX_NAME, MAX_TEXT, MAX_TITLE
from hookyard.events.integrations.base import Comment, TaskChange, id_of
from hookyard.store import schema
from hookyard.workspace import comments

_OF = {"assignee": ("assignee_id", "assignee_name")}
"""The columns of an attribute of `MirroredTask.untold`, where they have other names."""


def mirror(
    conn: Connection, workspace_id: WorkspaceId, kind: str, what: TaskChange, now: float, comment_id: CommentId
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
    _wait_for_others(conn, workspace_id, kind)
    old = _row(conn, workspace_id, what.task.db_id)
    at = now if what.at is None else what.at
    former = _former(conn, workspace_id, kind, what)
    if old is None:
        _insert(conn, workspace_id, kind, what, former, at)
    elif what.deleted or at > old.updated_at or (at == old.updated_at and old.deleted_at is None):
        _update(conn, workspace_id, kind, what, old, at)
    if former is None or not _has_moved_on(former, at):
        _retire(conn, workspace_id, kind, what, former, at)
    if what.comment is not None:
        home = _home(conn, workspace_id, what.task.db_id)
        if not _has(conn, workspace_id, home, what.comment):
            comments.insert_comment(conn, workspace_id, home, _copy(what, what.comment, at, comment_id))


def _insert(
    conn: Connection, workspace_id: WorkspaceId, kind: str, what: TaskChange, former: Row[Any] | None, at: float
) -> None:
    columns = _columns(kind, what, at) | (_made(what, at) if former is None else _inherited(what, former))
    if former is not None and _has_moved_on(former, at):
        columns |= _left(what.task.db_id, what.task.task_id, at, former.url)
    else:
        _free_number(conn, workspace_id, what)
    conn.execute(insert(schema.tasks).values(workspace_id=workspace_id, **columns))


def _update(conn: Connection, workspace_id: WorkspaceId, kind: str, what: TaskChange, old: Row[Any], at: float) -> None:
    if old.task_id != what.task.task_id:
        _free_number(conn, workspace_id, what)
    tasks, kept = schema.tasks, _kept(what, old)
    news = _columns(kind, what, max(at, old.updated_at)).items()
    mine = (tasks.c.workspace_id == workspace_id) & (tasks.c.id == old.id)
    conn.execute(update(tasks).where(mine).values({name: value for name, value in news if name not in kept}))


def _row(conn: Connection, workspace_id: WorkspaceId, db_id: str) -> Row[Any] | None:
    tasks = schema.tasks
    return conn.execute(select(tasks).where(tasks.c.workspace_id == workspace_id, tasks.c.id == db_id)).first()


def _wait_for_others(conn: Connection, workspace_id: WorkspaceId, kind: str) -> None:
    """Keep other servers from updating tasks of this service until the transaction ends: several deliveries report a
    new issue at once, and two servers that took one each would both create its task.

    On SQLite the transaction has the database to itself anyway. (The numbers 1 and 2 of these locks are those of
    `intake.batches`.)
    """
    if conn.dialect.name != "sqlite":
        key = f"{workspace_id}:{kind}"
        conn.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 3))", (key,))


def _former(conn: Connection, workspace_id: WorkspaceId, kind: str, what: TaskChange) -> Row[Any] | None:
    """Return the row of the same issue at another address, or None: at the one that it was moved from, or at one with
    the same number on the same host (GitLab has changed the paths of its pages more than once)."""
    tasks, task = schema.tasks, what.task
    query = select(tasks).where(tasks.c.workspace_id == workspace_id, tasks.c.source == kind)
    if task.former_url is not None:
        return conn.execute(query.where(tasks.c.id == id_of(task.former_url))).first()
    same_number = (tasks.c.task_id == task.task_id) & (tasks.c.id != task.db_id) & tasks.c.deleted_at.is_(None)
    found = conn.execute(query.where(same_number)).first()
    return found if found is not None and _host(found.url or "") == _host(task.url) else None


def _has_moved_on(former: Row[Any], at: float) -> bool:
    """Return whether the report of a move comes late: the issue has been back at its former address since."""
    return bool(former.updated_at > at)


def _host(url: str) -> str:
    return "/".join(url.split("/", 3)[:3]).lower()


def _made(what: TaskChange, at: float) -> dict[str, Any]:
    """Return who made a task and when: as the service says it, else from this first report."""
    task = what.task
    by = what.actor.name if what.created or task.created_by is None else task.created_by
    made_at = at if task.created_at is None else task.created_at
    return {"id": task.db_id, "created_by": by[:MAX_NAME], "created_at": made_at}


def _inherited(what: TaskChange, former: Row[Any]) -> dict[str, Any]:
    """Return what a moved task keeps: who made it and when, and what the delivery leaves out."""
    kept = _kept(what, former) | {"created_by", "created_at"}
    if what.task.description is None:
        kept.add("description")
    return {"id": what.task.db_id, **{name: getattr(former, name) for name in kept}}


def _retire(
    conn: Connection, workspace_id: WorkspaceId, kind: str, what: TaskChange, former: Row[Any] | None, at: float
) -> None:
    """Take a task from the board that has moved, its comments with it.

    A row stays at the address that it had, made if there was none: late deliveries of the old key find it there, older
    and gone, and its URL says where to.
    """
    tasks, said = schema.tasks, schema.comments
    if former is None:
        if what.task.former_url is not None:
            gone = _left(id_of(what.task.former_url), what.task.task_id, at, what.task.url)
            columns = _columns(kind, what, at) | _made(what, at) | gone
            conn.execute(insert(tasks).values(workspace_id=workspace_id, **columns))
        return
    left = {"deleted_at": at, "updated_at": at, "url": what.task.url}
    conn.execute(update(tasks).where(tasks.c.workspace_id == workspace_id, tasks.c.id == former.id).values(**left))
    conn.execute(
        update(said)
        .where(said.c.workspace_id == workspace_id, said.c.task_db_id == former.id)
        .values(task_db_id=_home(conn, workspace_id, what.task.db_id))
    )


def _left(db_id: str, task_id: str, at: float, url: str | None) -> dict[str, Any]:
    """Return what marks the row of an address that an issue has left: it is gone, has no number that another could
    want, and its URL is the next address."""
    return {"id": db_id, "task_id": _set_aside(task_id, db_id), "deleted_at": at, "url": url}


def _home(conn: Connection, workspace_id: WorkspaceId, db_id: str) -> str:
    """Return the id that a task has now: its own, or that of the address that it was last moved to."""
    seen: set[str] = set()
    while db_id not in seen:
        seen.add(db_id)
        row = _row(conn, workspace_id, db_id)
        if row is None or row.deleted_at is None or row.url is None:
            break
        db_id = id_of(row.url)
    return db_id


def _columns(kind: str, what: TaskChange, at: float) -> dict[str, Any]:
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


def _kept(what: TaskChange, old: Row[Any]) -> set[str]:
    """Return the columns that a delivery leaves out."""
    kept = {column for attribute in what.task.untold for column in _OF.get(attribute, (attribute,))}
    assignee = what.task.assignee
    if assignee.id and not assignee.name and assignee.id == old.assignee_id:
        kept.add("assignee_name")
    return kept


def _free_number(conn: Connection, workspace_id: WorkspaceId, what: TaskChange) -> None:
    """Pass a number that another task holds (of a renamed repository, for example) to its current owner."""
    tasks = schema.tasks
    holder: Row[Any] | None = conn.execute(
        select(tasks.c.id).where(tasks.c.workspace_id == workspace_id, tasks.c.task_id == what.task.task_id)
    ).first()
    if holder is not None:
        conn.execute(
            update(tasks)
            .where(tasks.c.workspace_id == workspace_id, tasks.c.id == holder.id)
            .values(task_id=_set_aside(what.task.task_id, holder.id))
        )


def _set_aside(task_id: str, db_id: str) -> str:
    """Return a replacement for the number of a task that has lost it; two tasks of a workspace never share one."""
    return f"{task_id} ({db_id})"


def _has(conn: Connection, workspace_id: WorkspaceId, db_id: str, comment: Comment) -> bool:
    table = schema.comments.c
    query = select(table.id).where(
        table.workspace_id == workspace_id, table.task_db_id == db_id, table.source_id == comment.id
    )
    return conn.execute(query).first() is not None


def _copy(what: TaskChange, comment: Comment, at: float, comment_id: CommentId) -> comments.Comment:
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
