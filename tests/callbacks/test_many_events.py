"""Many stored events: start-up, lists, accepting and pruning find what they need by an index.

A million: `HOOKYARD_TEST_EVENTS=1000000 uv run pytest -n 0 -s tests/callbacks/test_many_events.py --timeout 900`. Its
result on two shared cores: first page 7 ms, old page 9, of one task 3, of a type that is rare 5, accepting 13, opening
the database 8.
"""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from hookyard.callbacks.history import History
from hookyard.ids import earliest
from hookyard.settings import LiveSettings
from hookyard.store import migrations, schema
from hookyard.store.database import Database
from hookyard.store.retention import ROWS_A_STEP, prune
from tests.callbacks.world import START, World, open_world, task_event

EVENTS = int(os.environ.get("HOOKYARD_TEST_EVENTS", "20000"))
OLD = 2 * ROWS_A_STEP + 1
DAY = 86_400.0

FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
INSERT INTO events (id, workspace_id, name, source, occurred_at, received_at, variables, subject, author_trust,
                    duplicates)
SELECT substr(:first, 1, 14) || printf('%016d', i), :workspace, 'task.updated', 'api', :at, :at, '{"taskTitle":"x"}',
       'task-' || (i % 1000), 'member', 0
FROM n
"""


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(f"sqlite:///{tmp_path / 'hookyard.db'}") as made:
        for count, days in ((OLD, 100), (EVENTS, 1)):
            at = START - days * DAY
            row = {"count": count, "first": earliest("evt", at), "workspace": made.workspace, "at": at}

            def fill(conn: Connection, row: dict[str, object] = row) -> None:
                conn.execute(text(FILL), row)

            await made.db.write(fill)
        yield made


async def test_everything_stays_fast(world: World, tmp_path: Path) -> None:
    took: dict[str, float] = {}

    async def timed(name: str, call: object) -> None:
        began = time.perf_counter()
        await call  # type: ignore[misc]
        took[name] = time.perf_counter() - began

    history = History(world.db, world.accept, world.conditions)
    await world.callback()
    await timed("first page", history.list(world.workspace))
    middle = earliest("evt", START - 50 * DAY)
    await timed("old page", history.list(world.workspace, before=middle))
    await timed("by subject", history.list(world.workspace, subject="task-7"))
    await timed("a type that is rare", history.list(world.workspace, name="task.created"))
    await timed("accept", world.send(task_event()))
    began = time.perf_counter()
    with Database(f"sqlite:///{tmp_path / 'hookyard.db'}") as again:
        assert migrations.upgrade(again) is False
    took["start"] = time.perf_counter() - began
    print({name: f"{seconds * 1000:.1f} ms" for name, seconds in took.items()})
    # Any of these that read the whole table would take seconds with a million rows.
    assert {name for name, seconds in took.items() if seconds > 1.0} == set()


async def test_pruning_takes_only_what_is_old(world: World) -> None:
    steps: list[int] = []
    deleted = await prune(world.db, START, LiveSettings(), lambda table, count: steps.append(count))
    assert deleted == {"events": OLD}
    assert steps == [ROWS_A_STEP, 2 * ROWS_A_STEP, OLD]
    assert (await world.db.read(lambda c: c.execute(text("SELECT count(*) FROM events")).scalar_one())) == EVENTS


async def test_no_question_reads_the_whole_table(world: World) -> None:
    ws = world.workspace
    for question in (
        f"SELECT * FROM events WHERE workspace_id = '{ws}' ORDER BY id DESC LIMIT 50",
        f"SELECT * FROM events WHERE workspace_id = '{ws}' AND name = 'x' AND id < 'evt_x' ORDER BY id DESC LIMIT 50",
        f"SELECT * FROM events WHERE workspace_id = '{ws}' AND subject = 'task-1' ORDER BY id DESC LIMIT 50",
        f"SELECT count(*) FROM (SELECT id FROM runs WHERE workspace_id = '{ws}' AND status = 'queued' LIMIT 10000)",
        (
            "SELECT callback_id, subject, count(*) FROM runs"
            " WHERE (callback_id, subject) IN (VALUES ('cb_1', 'task-1'))"
            " AND queued_at > 1 AND queued_at < 2 GROUP BY callback_id, subject"
        ),
        "SELECT * FROM batches WHERE settled_at IS NULL AND closed_at IS NULL ORDER BY closes_at",
        "SELECT key FROM claims WHERE expires_at < 1 AND key >= x'00' AND key < x'01'",
    ):
        plan = await world.db.read(
            lambda conn, q=question: [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {q}")]  # type: ignore[misc]
        )
        scans = [step for step in plan if step.startswith("SCAN") and any(t in step for t in schema.metadata.tables)]
        assert [step for step in scans if "USING" not in step] == [], question
        assert [step for step in plan if "TEMP B-TREE FOR ORDER BY" in step] == [], question
