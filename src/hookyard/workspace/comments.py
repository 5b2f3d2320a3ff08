"""Comments on tasks, each with its `task.commented`.

Called by `web.api.tasks`, the pages and `workspace.agent_tools`. A comment on a mirrored task of which we have a
credential is to be posted to the service that it comes from; `outgoing_comments` posts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, and_, insert, or_, select

from hookyard.core.clock import Clock
from hookyard.core.errors import NotFoundError, StaleError
from hookyard.core.ids import CommentId, Ids, RunId, UserId, WorkspaceId
from hookyard.core.validation import validate_text
from hookyard.events.model import AuthorTrust
from hookyard.store import schema
from hookyard.store.database import Database, announce
from hookyard.workspace.actor import Actor
from hookyard.workspace.operation import EventAcceptor, Operation, retry_on_conflict
from hookyard.workspace.tasks import Task, find_task

OUTGOING_TOPIC = "outgoing-comments"
"""Signalled when a comment is to be posted to a service."""


@dataclass(frozen=True, slots=True)
class Comment:
    """One comment.

    Attributes:
        id: `cmt_…`.
        author_id: Who wrote it.
        author_name: Their name.
        author_trust: How far its text is trusted.
        content: Its text.
        run_id: The run that wrote it, None for a person.
        created_at: Seconds since the epoch.
        source_id: Its id at the service that it was mirrored from.
    """

    id: CommentId
    author_id: UserId
    author_name: str
    author_trust: AuthorTrust
    content: str
    run_id: RunId | None
    created_at: float
    source_id: str | None = None


class Comments:
    """The comments of every workspace.

    Args:
        database: Where they are kept.
        accept: Stores the events.
        clock: Dates them.
        ids: Names them.
    """

    def __init__(self, database: Database, accept: EventAcceptor, clock: Clock, ids: Ids) -> None:
        self._database = database
        self._accept = accept
        self._clock = clock
        self._ids = ids

    async def add(self, workspace_id: WorkspaceId, task_id: str, content: str, actor: Actor) -> Comment:
        """Add a comment to a task: `task.commented`.

        Raises:
            InvalidError: A text that is empty or too long.
            NotFoundError: No such task.
        """
        content = validate_text(content, "content", required=True)
        operation = Operation.by(actor, self._ids)
        made = Comment(
            CommentId(self._ids.comment()),
            actor.user_id,
            actor.name,
            actor.trust,
            content,
            actor.run_id,
            self._clock.now(),
        )

        async def attempt() -> Comment:
            task = await self._task(workspace_id, task_id)

            def apply(conn: Connection) -> None:
                current = find_task(conn, workspace_id, task.id)
                if current is None or current.title != task.title or current.type != task.type:
                    raise StaleError("the task changed meanwhile")
                insert_comment(conn, workspace_id, task.id, made)
                _enqueue_outgoing(conn, workspace_id, task, made)

            draft = operation.event("task.commented", commented_variables(task, made))
            await self._accept.accept(workspace_id, [draft], apply=apply)
            return made

        return await retry_on_conflict(attempt)

    async def list(
        self,
        workspace_id: WorkspaceId,
        task_id: str,
        *,
        after: tuple[float, str] | None = None,
        limit: int = 100,
    ) -> Sequence[Comment]:
        """Return comments of a task, oldest first.

        Args:
            workspace_id: Whose.
            task_id: The task's number or UUID.
            after: Begin behind this `created_at` and `id`.
            limit: At most so many.

        Raises:
            NotFoundError: No such task.
        """
        task = await self._task(workspace_id, task_id)
        comments = schema.comments.c
        query = select(schema.comments).where(comments.workspace_id == workspace_id, comments.task_db_id == task.id)
        if after is not None:
            at, comment_id = after
            query = query.where(
                or_(comments.created_at > at, and_(comments.created_at == at, comments.id > comment_id))
            )
        query = query.order_by(comments.created_at, comments.id).limit(limit)
        return await self._database.read(lambda conn: [_comment(row) for row in conn.execute(query)])

    async def _task(self, workspace_id: WorkspaceId, task_id: str) -> Task:
        task = await self._database.read(lambda conn: find_task(conn, workspace_id, task_id))
        if task is None:
            raise NotFoundError("no such task", where=task_id)
        return task


def commented_variables(task: Task, comment: Comment) -> dict[str, str]:
    """Return the variables of `task.commented`."""
    return task.variables | {
        "commentId": comment.id,
        "commentContent": comment.content,
        "commenterId": comment.author_id,
        "commenterName": comment.author_name,
    }


def insert_comment(conn: Connection, workspace_id: WorkspaceId, task_db_id: str, comment: Comment) -> None:
    """Store a comment, inside a transaction of the caller's."""
    conn.execute(
        insert(schema.comments).values(
            id=comment.id,
            workspace_id=workspace_id,
            task_db_id=task_db_id,
            author_id=comment.author_id,
            author_name=comment.author_name,
            author_trust=comment.author_trust.value,
            content=comment.content,
            run_id=comment.run_id,
            source_id=comment.source_id,
            created_at=comment.created_at,
        )
    )


def _enqueue_outgoing(conn: Connection, workspace_id: WorkspaceId, task: Task, comment: Comment) -> None:
    """Note that a comment is to be posted to the service that its task comes from, when we can."""
    if task.source is None:
        return
    sources = schema.sources.c
    able = select(sources.kind).where(
        sources.workspace_id == workspace_id, sources.kind == task.source, sources.credential.is_not(None)
    )
    if conn.execute(able).first() is not None:
        conn.execute(
            insert(schema.outgoing_comments).values(
                comment_id=comment.id,
                workspace_id=workspace_id,
                kind=task.source,
                state="pending",
                attempts=0,
                next_at=comment.created_at,
            )
        )
        announce(conn, OUTGOING_TOPIC)


def _comment(row: Row[tuple[object, ...]]) -> Comment:
    return Comment(
        id=CommentId(row.id),
        author_id=UserId(row.author_id),
        author_name=row.author_name,
        author_trust=AuthorTrust(row.author_trust),
        content=row.content,
        run_id=row.run_id,
        created_at=row.created_at,
        source_id=row.source_id,
    )
