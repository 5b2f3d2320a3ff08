"""Tasks: the board, the list, one task; and what can be done with them."""

from __future__ import annotations

from sqlalchemy import Connection
from starlette.responses import Response

from hookyard.core.errors import InvalidError, NotFoundError, Problem
from hookyard.web.pages.events import summary
from hookyard.web.pages.form import Form
from hookyard.web.pages.page_context import PageContext
from hookyard.web.pages.queries import tasks as queries
from hookyard.web.pages.queries.cursor import number_and_id, with_number
from hookyard.web.pages.queries.layout import forget
from hookyard.workspace.tasks import TaskChange

TYPES = ("task", "bug", "story")
STATUSES = ("todo", "in_progress", "blocked", "waiting", "review", "done")


def _filters(visit: PageContext) -> queries.TaskFilters:
    return queries.TaskFilters(visit.query("q"), visit.query("status"), visit.query("type"), visit.query("assignee"))


async def tasks_page(visit: PageContext) -> Response:
    """Show the board or the list of tasks, filtered by the address."""
    if visit.request.method == "POST":
        return await _create(visit)
    return await _tasks(visit, {}, ())


async def _tasks(visit: PageContext, given: dict[str, str], problems: tuple[Problem, ...]) -> Response:
    filters, workspace = _filters(visit), visit.workspace_id
    view = visit.query("view", "board", "list") or "board"
    data = await visit.services.database.read(lambda conn: _read(conn, workspace, filters, view, visit.query("after")))
    return await visit.page(
        "tasks.html", 422 if problems else 200, filters=filters, view=view, given=given, problems=problems, **data
    )


def _read(conn: Connection, workspace: str, filters: queries.TaskFilters, view: str, after: str) -> dict[str, object]:
    people, types = queries.choices(conn, workspace)
    used = queries.statuses(conn, workspace)
    columns: list[queries.Column] = []
    rows: list[queries.TaskRow] = []
    following = None
    if view == "board":
        columns = queries.board(conn, workspace, filters, used)
    else:
        rows, following = queries.page(conn, workspace, filters, number_and_id(after))
    return {
        "people": people,
        "types": list(dict.fromkeys((*TYPES, *types))),
        "statuses": list(dict.fromkeys((*STATUSES, *(status for status, _ in used)))),
        "used": used,
        "columns": columns,
        "rows": rows,
        "following": with_number(following),
        "total": sum(count for _, count in used),
    }


async def _create(visit: PageContext) -> Response:
    form = await visit.form()
    try:
        task = await visit.services.tasks.create(
            visit.workspace,
            visit.actor,
            title=form.text("title"),
            type=form.text("type") or "task",
            status=form.text("status") or "todo",
            description=form.text("description"),
            assignee_id=form.text("assignee") or None,
            labels=_labels(form),
        )
    except InvalidError as error:
        given = {name: form.text(name) for name in form.names()}
        return await _tasks(visit, given, error.problems or (Problem("title", error.what),))
    forget(visit.services, visit.workspace_id)
    return visit.redirect(visit.path("tasks", task.task_id), "task_created")


def _labels(form: Form) -> list[str]:
    return [label.strip() for label in form.text("labels").replace(",", ",").split(",") if label.strip()]


async def task_page(visit: PageContext) -> Response:
    """Show one task with its comments, events and runs."""
    if visit.request.method == "POST":
        return await _act(visit)
    return await _task(visit, ())


async def _task(visit: PageContext, problems: tuple[Problem, ...], said: str = "") -> Response:
    task_id, workspace = visit.path_param("task"), visit.workspace_id

    def read(
        conn: Connection,
    ) -> tuple[queries.TaskPage | None, list[tuple[str, str]], list[str], list[tuple[str, int]]]:
        found = queries.one(conn, workspace, task_id)
        people, types = queries.choices(conn, workspace)
        return found, people, types, queries.statuses(conn, workspace)

    found, people, types, used = await visit.services.database.read(read)
    if found is None:
        raise NotFoundError("there is no such task", where=task_id)
    return await visit.page(
        "task.html",
        422 if problems else 200,
        page=found,
        task=found.task,
        people=people,
        types=list(dict.fromkeys((*TYPES, *types, found.task.type))),
        statuses=list(dict.fromkeys((*STATUSES, *(status for status, _ in used)))),
        problems=problems,
        said=said,
        summary=summary,
    )


async def _act(visit: PageContext) -> Response:
    form, task_id = await visit.form(), visit.path_param("task")
    here = visit.path("tasks", task_id)
    do = form.text("do")
    try:
        if do == "comment":
            await visit.services.comments.add(visit.workspace, task_id, form.raw("content"), visit.actor)
            return visit.redirect(here + "#comments", "commented")
        if do == "delete":
            await visit.services.tasks.delete(visit.workspace, task_id, visit.actor)
            forget(visit.services, visit.workspace_id)
            return visit.redirect(visit.path("tasks"), "task_deleted")
        await visit.services.tasks.update(visit.workspace, task_id, _change(form), visit.actor)
    except InvalidError as error:
        field = "content" if do == "comment" else "title"
        return await _task(visit, error.problems or (Problem(field, error.what),), form.raw("content"))
    forget(visit.services, visit.workspace_id)
    return visit.redirect(here, "task_changed")


def _change(form: Form) -> TaskChange:
    def given(name: str) -> str | None:
        return form.text(name) if name in form else None

    return TaskChange(
        title=given("title"),
        description=given("description"),
        type=given("type"),
        status=given("status"),
        assignee_id=given("assignee"),
        labels=_labels(form) if "labels" in form else None,
    )
