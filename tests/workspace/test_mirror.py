"""Mirrored tasks: in whatever order deliveries come, and where several servers share a database.

What single deliveries make of a task is in web/test_doors.py.
"""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, select, text

from hookyard.core.clock import SystemClock
from hookyard.core.ids import CommentId, WorkspaceId
from hookyard.events.integrations.base import Comment, MirroredTask, Person, TaskChange
from hookyard.store import migrations, schema
from hookyard.store.database import Database
from hookyard.workspace.mirror import mirror

WORKSPACE = WorkspaceId("w")
LI = Person("7", "Li", "li")
TASK = MirroredTask("o/r#1", "https://github.com/o/r/issues/1", "Down", "issue", "open")
BLOCKED_BY_ME = text(
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
)


def told(what: TaskChange, comment_id: str, conn: Connection) -> None:
    mirror(conn, WORKSPACE, "github", what, SystemClock().now(), CommentId(comment_id))


@pytest.mark.parametrize("known", [False, True])
async def test_two_servers_that_hear_of_an_issue_at_once_keep_one_task(postgresql_url: str, known: bool) -> None:
    wait = threading.Event()
    said = Comment("99", "hello", LI)
    commented = TaskChange(TASK, LI, at=20.0, comment=said)
    with Database(postgresql_url) as one, Database(postgresql_url) as other:
        migrations.upgrade(one)
        if known:
            await one.write(lambda conn: told(TaskChange(TASK, LI, at=5.0, created=True), "cmt_0", conn))

        def hold(conn: Connection) -> None:
            told(commented, "cmt_1", conn)
            wait.set()
            while conn.execute(BLOCKED_BY_ME).scalar() == 0:
                pass

        def late(conn: Connection) -> None:
            wait.wait(60)
            told(TaskChange(TASK, LI, at=10.0, comment=said), "cmt_2", conn)

        await asyncio.gather(one.write(hold), other.write(late))
        tasks, comments = schema.tasks.c, schema.comments.c
        rows = await one.read(lambda conn: conn.execute(select(tasks.task_id, tasks.updated_at)).all())
        assert [tuple(row) for row in rows] == [("o/r#1", 20.0)]
        assert await one.read(lambda conn: list(conn.execute(select(comments.id)).scalars())) == ["cmt_1"]


class Life(NamedTuple):
    """What happened to an issue of Jira, in its order, and how it ended."""

    told: list[TaskChange]
    key: str
    title: str
    deleted: bool
    comments: set[str]


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """The life of an issue that is edited, moved between three projects (and back), commented on, perhaps deleted."""
    steps = draw(st.lists(st.sampled_from(["edit", "move", "move", "comment"]), max_size=6))
    steps += draw(st.sampled_from([[], [], [], ["delete"]]))
    key, told, comments = "A-1", [TaskChange(jira_task("A-1", 0), LI, at=10.0, created=True)], set[str]()
    for number, step in enumerate(steps, start=1):
        former = key
        if step == "move":
            key = draw(st.sampled_from([other for other in ("A-1", "B-1", "C-1") if other != key]))
        comment = Comment(str(number), "hello", LI) if step == "comment" else None
        comments |= set() if comment is None else {comment.id}
        task = jira_task(key, number, None if former == key else former)
        told.append(TaskChange(task, LI, at=10.0 + number, deleted=step == "delete", comment=comment))
    return Life(told, key, f"title {len(steps)}", steps[-1:] == ["delete"], comments)


def jira_task(key: str, number: int, former: str | None = None) -> MirroredTask:
    pages = "https://x.atlassian.net/browse"
    former_url = None if former is None else f"{pages}/{former}"
    return MirroredTask(key, f"{pages}/{key}", f"title {number}", "bug", "open", former_url=former_url)


@pytest.fixture(scope="module")
def one_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    directory: Path = tmp_path_factory.mktemp("mirror")
    with Database(f"sqlite:///{directory / 'hookyard.db'}") as database:
        migrations.upgrade(database)
        yield database


@given(life=lives(), data=st.data())
def test_in_whatever_order_deliveries_come_the_task_is_as_it_was_last(
    one_database: Database, life: Life, data: st.DataObject
) -> None:
    order = data.draw(st.permutations(life.told))
    order = [*order, *data.draw(st.lists(st.sampled_from(life.told), max_size=3))]

    def deliver(conn: Connection) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
        conn.execute(delete(schema.tasks))
        conn.execute(delete(schema.comments))
        for number, what in enumerate(order):
            mirror(conn, WORKSPACE, "jira", what, 99.0, CommentId(f"cmt_{number}"))
        tasks, comments = schema.tasks.c, schema.comments.c
        live = select(tasks.task_id, tasks.title, tasks.id).where(tasks.deleted_at.is_(None))
        said = select(comments.source_id, comments.task_db_id)
        return [(a, b, c) for a, b, c in conn.execute(live)], [(a, b) for a, b in conn.execute(said)]

    live, said = one_database.write_sync(deliver)
    assert [(key, title) for key, title, _ in live] == ([] if life.deleted else [(life.key, life.title)])
    assert sorted(source_id for source_id, _ in said) == sorted(life.comments)
    assert life.deleted or {db_id for _, db_id in said} <= {live[0][2]}
