"""The runs of one task or event: they are found, in order, and not looked for among all runs of the workspace."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert

from hookyard.core.ids import CallbackId, WorkspaceId
from hookyard.intake import trace
from hookyard.store import migrations, schema
from hookyard.store.database import Database
from hookyard.web.api.run_rows import RunFilter, list_runs
from hookyard.web.pages.queries import runs, tasks
from tests.intake.environment import START

BY_SUBJECT = "ix_runs_workspace_id_subject_id"
RUNS = 240
TASKS = 4


def run(number: int, workspace: str) -> dict[str, Any]:
    """A run; every fourth is about the same task, and the newest twelve still execute."""
    status = "running" if number >= RUNS - 12 else "failed" if number % 8 == 1 else "succeeded"
    return {
        "id": f"run_{workspace}{number:04}", "workspace_id": workspace, "callback_id": f"cb_{workspace}",
        "callback_version": 1, "event_id": f"evt_{workspace}{number // 2:04}", "conversation_id": "cnv_1",
        "status": status, "prompt": "p", "context": "{}", "agent": "", "subject": f"task-{number % TASKS}",
        "queued_at": START + number,
    }  # fmt: skip


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Two workspaces with tasks of the same numbers, and many runs of each."""
    with Database(database_url) as made:
        migrations.upgrade(made)

        def fill(conn: Connection) -> None:
            for workspace in ("w", "x"):
                callback = {
                    "id": f"cb_{workspace}", "workspace_id": workspace, "name": "A", "enabled": True, "version": 1,
                    "spec": "{}", "created_by": "u", "created_at": START, "updated_at": START,
                }  # fmt: skip
                conn.execute(insert(schema.callbacks).values(callback))
                conn.execute(
                    insert(schema.tasks),
                    [
                        {
                            "id": f"db-{n}", "workspace_id": workspace, "task_id": f"task-{n}", "type": "task",
                            "title": "t", "status": "todo", "created_by": "u", "created_at": START, "updated_at": START,
                        }
                        for n in range(TASKS)
                    ],
                )  # fmt: skip
                conn.execute(insert(schema.runs), [run(number, workspace) for number in range(RUNS)])

        made.write_sync(fill)
        yield made


def plans(database: Database, ask: Callable[[Connection], object]) -> list[str]:
    """How SQLite finds the runs, for each statement of a question that is about runs."""
    asked: list[tuple[str, Any]] = []

    def read(conn: Connection) -> list[str]:
        @event.listens_for(conn, "before_cursor_execute")
        def note(_conn: object, _cursor: object, statement: str, parameters: Any, *_more: object) -> None:
            if "FROM runs" in statement:
                asked.append((statement, parameters))

        ask(conn)
        return [
            str(step[3])
            for statement, parameters in list(asked)
            for step in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            if " runs " in f"{step[3]} "
        ]

    return database.read_sync(read)


@pytest.mark.parametrize(
    "filters",
    [
        runs.RunFilters(task="task-1"),
        runs.RunFilters(task="task-1", status="failed"),
        runs.RunFilters(task="task-1", callback="cb_w"),
    ],
)
def test_the_runs_of_a_task_are_listed_and_counted_by_an_index(database: Database, filters: runs.RunFilters) -> None:
    wanted = [
        one["id"]
        for one in (run(number, "w") for number in reversed(range(RUNS)))
        if one["subject"] == "task-1" and filters.status in ("", one["status"])
    ]
    found, after = database.read_sync(lambda conn: runs.page(conn, "w", filters, ""))
    more, _ = database.read_sync(lambda conn: runs.page(conn, "w", filters, after)) if after else ([], "")
    assert [one.id for one in (*found, *more)] == wanted
    assert database.read_sync(lambda conn: runs.count(conn, "w", filters)) == len(wanted)
    if database.sqlite:
        for ask in (
            lambda conn: runs.page(conn, "w", filters, ""),
            lambda conn: runs.page(conn, "w", filters, "run_w0100"),
            lambda conn: runs.count(conn, "w", filters),
        ):
            assert ["subject=?" in step for step in plans(database, ask)] == [True]


def test_a_tasks_page_has_its_newest_runs_by_an_index(database: Database) -> None:
    page = database.read_sync(lambda conn: tasks.one(conn, "w", "task-1"))
    assert page is not None
    assert [one.id for one in page.runs] == [f"run_w{RUNS - 3 - TASKS * n:04}" for n in range(10)]
    assert page.task.running == 3
    if database.sqlite:
        listed, running = plans(database, lambda conn: tasks.one(conn, "w", "task-1"))
        assert BY_SUBJECT in listed
        assert "ix_runs_status_workspace_id_id" in running


def test_a_list_of_tasks_counts_the_runs_that_execute_and_reads_no_others(database: Database) -> None:
    listed, _ = database.read_sync(lambda conn: tasks.page(conn, "w", tasks.TaskFilters(), None))
    assert [one.running for one in listed] == [3] * TASKS
    if database.sqlite:
        (running,) = plans(database, lambda conn: tasks.page(conn, "w", tasks.TaskFilters(), None))
        assert "ix_runs_status_workspace_id_id" in running


def test_the_runs_of_an_event_are_found_by_an_index(database: Database) -> None:
    of_event = runs.RunFilters(event="evt_w0050")
    wanted = ["run_w0101", "run_w0100"]
    assert [one.id for one in database.read_sync(lambda conn: runs.page(conn, "w", of_event, ""))[0]] == wanted
    assert database.read_sync(lambda conn: runs.count(conn, "w", of_event)) == 2
    assert database.read_sync(lambda conn: runs.count(conn, "x", of_event)) == 0
    only = RunFilter(event="evt_w0050")
    listed = database.read_sync(lambda conn: list_runs(conn, WorkspaceId("w"), only, None, 50))
    assert [one["id"] for one in listed] == wanted
    one_event: list[Any] = [{"id": "evt_w0050"}]
    if database.sqlite:
        for ask in (
            lambda conn: runs.page(conn, "w", of_event, ""),
            lambda conn: runs.page(conn, "w", of_event, "run_w0101"),
            lambda conn: runs.count(conn, "w", of_event),
            lambda conn: list_runs(conn, WorkspaceId("w"), only, None, 50),
            lambda conn: trace._follow_ups(
                conn, one_event, [{CallbackId("cb_w"): {"run": "run_w0100"}}], every_run=True
            ),
        ):
            assert ["event_id=?" in step for step in plans(database, ask)] == [True]
        retries = plans(database, lambda conn: runs.one(conn, "w", "run_w0100"))[-1]
        assert "event_id=?" in retries
