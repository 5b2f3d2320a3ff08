"""Mirrored tasks where several servers share a database; what one server makes of deliveries: web/test_doors.py."""

import asyncio
import threading

import pytest
from sqlalchemy import Connection, select, text

from hookyard.clock import SystemClock
from hookyard.events.sources.base import Comment, Happening, MirroredTask, Person
from hookyard.ids import CommentId, WorkspaceId
from hookyard.store import migrations, schema
from hookyard.store.database import Database
from hookyard.workspace.mirror import mirror

WORKSPACE = WorkspaceId("w")
LI = Person("7", "Li", "li")
TASK = MirroredTask("o/r#1", "https://github.com/o/r/issues/1", "Down", "issue", "open")
BLOCKED_BY_ME = text(
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
)


def told(what: Happening, comment_id: str, conn: Connection) -> None:
    mirror(conn, WORKSPACE, "github", what, SystemClock().now(), CommentId(comment_id))


@pytest.mark.parametrize("known", [False, True])
async def test_two_servers_that_hear_of_an_issue_at_once_keep_one_task(postgresql_url: str, known: bool) -> None:
    wait = threading.Event()
    said = Comment("99", "hello", LI)
    commented = Happening(TASK, LI, at=20.0, comment=said)
    with Database(postgresql_url) as one, Database(postgresql_url) as other:
        migrations.upgrade(one)
        if known:
            await one.write(lambda conn: told(Happening(TASK, LI, at=5.0, created=True), "cmt_0", conn))

        def hold(conn: Connection) -> None:
            told(commented, "cmt_1", conn)
            wait.set()
            while conn.execute(BLOCKED_BY_ME).scalar() == 0:
                pass

        def late(conn: Connection) -> None:
            wait.wait(60)
            told(Happening(TASK, LI, at=10.0, comment=said), "cmt_2", conn)

        await asyncio.gather(one.write(hold), other.write(late))
        tasks, comments = schema.tasks.c, schema.comments.c
        rows = await one.read(lambda conn: conn.execute(select(tasks.task_id, tasks.updated_at)).all())
        assert [tuple(row) for row in rows] == [("o/r#1", 20.0)]
        assert await one.read(lambda conn: list(conn.execute(select(comments.id)).scalars())) == ["cmt_1"]
