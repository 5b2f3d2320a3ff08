"""Tasks for the board, the list and one task's page."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select

from hookyard.store import schema
from hookyard.web.pages.queries.layout import CLOSED

ORDER = ("backlog", "todo", "in_progress", "blocked", "waiting", "review")
"""Order of the statuses that we know on the board; others follow, closed ones last."""

PAGE = 50
COLUMN = 15
"""Cards of one column of the board."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as lists show it."""

    id: str
    task_id: str
    type: str
    title: str
    status: str
    assignee_id: str | None
    assignee: str | None
    labels: tuple[str, ...]
    created_by: str
    created_at: float
    updated_at: float
    source: str | None
    url: str | None
    comments: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class Column:
    """One status of the board: how many tasks, and the newest of them."""

    status: str
    count: int
    tasks: tuple[TaskRow, ...]


@dataclass(frozen=True, slots=True)
class TaskFilters:
    """What the list is narrowed to; `""` = everything."""

    text: str = ""
    status: str = ""
    type: str = ""
    assignee: str = ""


_FIELDS = [
    schema.tasks.c[name]
    for name in (
        "id", "task_id", "type", "title", "status", "assignee_id", "assignee_name", "labels", "created_by",
        "created_at", "updated_at", "source", "url",
    )
]  # fmt: skip


def _task(row: Row[tuple[object, ...]]) -> TaskRow:
    values = list(row)
    values[7] = tuple(json.loads(str(values[7])))
    return TaskRow(*values)  # type: ignore[arg-type]


def escaped(text: str) -> str:
    r"""Return a text for LIKE with `\` as the escape."""
    return "%" + text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"


def _where(workspace_id: str, filters: TaskFilters) -> ColumnElement[bool]:
    tasks = schema.tasks.c
    conditions = [tasks.workspace_id == workspace_id, tasks.deleted_at.is_(None)]
    if filters.text:
        wanted = escaped(filters.text)
        conditions.append(or_(tasks.title.ilike(wanted, escape="\\"), tasks.task_id.ilike(wanted, escape="\\")))
    for column, value in ((tasks.status, filters.status), (tasks.type, filters.type)):
        if value:
            conditions.append(column == value)
    if filters.assignee == "-":
        conditions.append(tasks.assignee_id.is_(None))
    elif filters.assignee:
        conditions.append(tasks.assignee_id == filters.assignee)
    return and_(*conditions)


def _with_counts(conn: Connection, workspace_id: str, tasks: Sequence[TaskRow]) -> list[TaskRow]:
    """Return the tasks with their numbers of comments and of active runs."""
    ids = [task.id for task in tasks]
    comments, runs = schema.comments.c, schema.runs.c
    by_task: dict[str, int] = dict(
        conn.execute(
            select(comments.task_db_id, func.count())
            .where(comments.workspace_id == workspace_id, comments.task_db_id.in_(ids))
            .group_by(comments.task_db_id)
        ).all()
    )
    # All that execute, since the workers run a limited number only; asked for those of these tasks, SQLite would go
    # through every run that they ever had.
    running = Counter(
        conn.execute(select(runs.subject).where(runs.workspace_id == workspace_id, runs.status == "running")).scalars()
    )
    return [replace(task, comments=by_task.get(task.id, 0), running=running[task.task_id]) for task in tasks]


def statuses(conn: Connection, workspace_id: str) -> list[tuple[str, int]]:
    """Return every status in use with its number of tasks, in the order of the board."""
    tasks = schema.tasks.c
    found: dict[str, int] = dict(
        conn.execute(
            select(tasks.status, func.count())
            .where(tasks.workspace_id == workspace_id, tasks.deleted_at.is_(None))
            .group_by(tasks.status)
        ).all()
    )

    def place(status: str) -> tuple[int, str]:
        if status in CLOSED:
            return (90 + CLOSED.index(status), "")
        return (ORDER.index(status), "") if status in ORDER else (50, status)

    return [(status, found[status]) for status in sorted(found, key=place)]


def board(conn: Connection, workspace_id: str, filters: TaskFilters, used: Sequence[tuple[str, int]]) -> list[Column]:
    """Return a column for each status in use (see `statuses`) and for the common ones."""
    tasks = schema.tasks.c
    narrowed = bool(filters.text or filters.type or filters.assignee)
    counts = dict(used)
    for status in ("todo", "in_progress", "done"):
        counts.setdefault(status, 0)
    order = [s for s in ORDER if s in counts] + sorted(s for s in counts if s not in ORDER and s not in CLOSED)
    columns = []
    for status in order + [s for s in CLOSED if s in counts]:
        only = replace(filters, status=status)
        query = select(*_FIELDS).where(_where(workspace_id, only)).order_by(tasks.updated_at.desc()).limit(COLUMN)
        rows = [_task(row) for row in conn.execute(query)]
        count = counts[status]
        if narrowed and len(rows) == COLUMN:
            count = conn.execute(select(func.count()).where(_where(workspace_id, only))).scalar_one()
        elif narrowed:
            count = len(rows)
        columns.append(Column(status, count, tuple(rows)))
    counted = iter(_with_counts(conn, workspace_id, [task for column in columns for task in column.tasks]))
    return [replace(column, tasks=tuple(next(counted) for _ in column.tasks)) for column in columns]


def page(
    conn: Connection, workspace_id: str, filters: TaskFilters, after: tuple[float, str] | None
) -> tuple[list[TaskRow], tuple[float, str] | None]:
    """Return a page of the list, newest change first, and where the next one begins."""
    tasks = schema.tasks.c
    query = select(*_FIELDS).where(_where(workspace_id, filters))
    if after:
        query = query.where(or_(tasks.updated_at < after[0], and_(tasks.updated_at == after[0], tasks.id < after[1])))
    rows = conn.execute(query.order_by(tasks.updated_at.desc(), tasks.id.desc()).limit(PAGE + 1)).all()
    found = [_task(row) for row in rows[:PAGE]]
    following = (found[-1].updated_at, found[-1].id) if len(rows) > PAGE else None
    return _with_counts(conn, workspace_id, found), following


@dataclass(frozen=True, slots=True)
class CommentRow:
    """A comment of a task's page."""

    id: str
    author: str
    trust: str
    content: str
    run_id: str | None
    at: float


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """An event of a task's page."""

    id: str
    name: str
    at: float
    variables: dict[str, object]
    caused: bool


@dataclass(frozen=True, slots=True)
class TaskRun:
    """A run of a task's page."""

    id: str
    callback_id: str
    callback: str
    status: str
    reason: str | None
    at: float
    started_at: float | None
    finished_at: float | None
    snippet: str | None


@dataclass(frozen=True, slots=True)
class TaskPage:
    """Everything that a task's page shows."""

    task: TaskRow
    description: str
    comments: tuple[CommentRow, ...]
    events: tuple[TaskEvent, ...]
    runs: tuple[TaskRun, ...]


def one(conn: Connection, workspace_id: str, task_id: str) -> TaskPage | None:
    """Return a task with its newest comments, events and runs; None when there is none of that number."""
    tasks, comments, events, runs = schema.tasks.c, schema.comments.c, schema.events.c, schema.runs.c
    row = conn.execute(
        select(*_FIELDS, tasks.description).where(
            tasks.workspace_id == workspace_id, tasks.task_id == task_id, tasks.deleted_at.is_(None)
        )
    ).first()
    if row is None:
        return None
    task = _task(row[:-1])  # type: ignore[arg-type]
    said = conn.execute(
        select(
            comments.id, comments.author_name, comments.author_trust, comments.content, comments.run_id,
            comments.created_at,
        )
        .where(comments.workspace_id == workspace_id, comments.task_db_id == task.id)
        .order_by(comments.created_at.desc())
        .limit(100)
    ).all()  # fmt: skip
    happened = conn.execute(
        select(events.id, events.name, events.received_at, events.variables, events.cause)
        .where(events.workspace_id == workspace_id, events.subject == task.task_id)
        .order_by(events.id.desc())
        .limit(20)
    ).all()
    names = schema.callbacks.c
    worked = conn.execute(
        select(
            runs.id, runs.callback_id, names.name, runs.status, runs.reason, runs.queued_at, runs.started_at,
            runs.finished_at, runs.snippet,
        )
        .join(schema.callbacks, names.id == runs.callback_id)
        .where(names.workspace_id == workspace_id, runs.workspace_id == workspace_id, runs.subject == task.task_id)
        .order_by(runs.id.desc())
        .limit(10)
    ).all()  # fmt: skip
    return TaskPage(
        _with_counts(conn, workspace_id, [task])[0],
        row[-1],
        tuple(CommentRow(*comment) for comment in reversed(said)),
        tuple(TaskEvent(e.id, e.name, e.received_at, json.loads(e.variables), bool(e.cause)) for e in happened),
        tuple(TaskRun(*run) for run in worked),
    )


def choices(conn: Connection, workspace_id: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the possible assignees (id and name), and the types in use."""
    members, tasks = schema.members.c, schema.tasks.c
    people = conn.execute(
        select(members.user_id, members.user_name)
        .where(members.workspace_id == workspace_id)
        .order_by(members.user_name)
        .limit(200)
    ).all()
    newest = (
        select(tasks.type)
        .where(tasks.workspace_id == workspace_id, tasks.deleted_at.is_(None))
        .order_by(tasks.updated_at.desc())
        .limit(500)
        .subquery()
    )
    return list(people), list(conn.execute(select(newest.c.type).distinct().order_by(newest.c.type)).scalars())
