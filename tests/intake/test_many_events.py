"""Many stored events: everything is found by an index, and pruning goes in small transactions that let others write.

What a whole server does with them, and with a million of them, is asked in `tests/e2e/test_many_events.py`.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from hookyard.core.ids import earliest
from hookyard.settings import LiveSettings
from hookyard.store import schema
from hookyard.store.retention import ROWS_A_STEP, prune
from tests.intake.environment import START, IntakeEnvironment, open_environment, task_event

EVENTS = 20_000
OLD = 2 * ROWS_A_STEP + 1
ENTRIES = 7
DAY = 86_400.0

FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
INSERT INTO events (id, workspace_id, name, source, occurred_at, received_at, variables, subject, author_trust,
                    duplicates)
SELECT substr(:first, 1, 14) || printf('%016d', i), :workspace, 'task.updated', 'api', :at, :at, '{"taskTitle":"x"}',
       'task-' || (i % 1000), 'member', 0
FROM n
"""

RUNS = """
INSERT INTO runs (id, workspace_id, callback_id, callback_version, event_id, conversation_id, status, prompt, context,
                  agent, queued_at, finished_at, attempt, input_tokens, output_tokens, tool_calls, denied, modified,
                  reserved_tokens)
SELECT substr(:first, 1, 15) || substr(id, 15), workspace_id, 'cb_1', 1, id, 'conv_1', 'succeeded', 'p', '{}', '', :at,
       :at, 1, 0, 0, 0, 0, 0, 0
FROM events WHERE id < :before
"""

ENTRIES_OF_RUNS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :entries)
INSERT INTO run_entries (run_id, seq, attempt, at, kind, data) SELECT id, i, 1, 0, 'note', '{}' FROM runs, n
"""


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[IntakeEnvironment]:
    async with open_environment(f"sqlite:///{tmp_path / 'hookyard.db'}") as made:
        for count, days in ((OLD, 100), (EVENTS, 1)):
            at = START - days * DAY
            row = {"count": count, "first": earliest("evt", at), "workspace": made.workspace, "at": at}

            def fill(conn: Connection, row: dict[str, object] = row) -> None:
                conn.execute(text(FILL), row)

            await made.database.write(fill)
        yield made


async def test_pruning_takes_only_what_is_old(env: IntakeEnvironment) -> None:
    steps: list[int] = []
    deleted = await prune(env.database, START, LiveSettings(), lambda table, count: steps.append(count))
    assert deleted == {"events": OLD}
    assert steps == [ROWS_A_STEP, 2 * ROWS_A_STEP, OLD]
    assert (await env.database.read(lambda c: c.execute(text("SELECT count(*) FROM events")).scalar_one())) == EVENTS


@contextmanager
def deletions() -> Iterator[list[int]]:
    """Rows deleted by each transaction that deletes any, as they commit."""
    done: list[int] = []
    under_way: defaultdict[int, int] = defaultdict(int)

    def executed(conn: Connection, cursor: Any, statement: str, *_: object) -> None:
        if statement.startswith("DELETE"):
            under_way[id(conn)] += cursor.rowcount

    def committed(conn: Connection) -> None:
        if count := under_way.pop(id(conn), 0):
            done.append(count)

    event.listen(Engine, "after_cursor_execute", executed)
    event.listen(Engine, "commit", committed)
    try:
        yield done
    finally:
        event.remove(Engine, "after_cursor_execute", executed)
        event.remove(Engine, "commit", committed)


async def test_pruning_goes_in_small_transactions_between_which_events_are_taken(env: IntakeEnvironment) -> None:
    now, old = START, START - 100 * DAY

    def fill(conn: Connection) -> None:
        """A run with entries for each old event, and a claim for every event."""
        conn.execute(text(RUNS), {"first": earliest("run", old), "at": old, "before": earliest("evt", old + DAY)})
        conn.execute(text(ENTRIES_OF_RUNS), {"entries": ENTRIES})
        conn.execute(text("INSERT INTO claims SELECT CAST(id AS BLOB), id, received_at, received_at FROM events"))

    await env.database.write(fill)
    taken: list[float] = []
    steps: list[int] = []

    async def send() -> None:
        while True:
            await env.send(task_event(taskTitle=str(len(taken))))
            taken.append(now)

    sending = asyncio.create_task(send())
    with deletions() as deleted:
        gone = await prune(env.database, now, LiveSettings(), lambda _table, _count: steps.append(len(taken)))
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert gone == {"claims": OLD + EVENTS, "runs": OLD, "events": OLD}
    assert sum(deleted) == OLD * (3 + ENTRIES) + EVENTS
    assert max(deleted) <= ROWS_A_STEP
    assert steps[-1] > steps[0], "no event was taken while it pruned"


async def test_no_question_reads_the_whole_table(env: IntakeEnvironment) -> None:
    ws = env.workspace
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
        "SELECT key FROM claims WHERE expires_at < 1 AND key > x'00' ORDER BY key LIMIT 500",
    ):
        plan = await env.database.read(
            lambda conn, q=question: [row[3] for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {q}")]  # type: ignore[misc]
        )
        scans = [step for step in plan if step.startswith("SCAN") and any(t in step for t in schema.metadata.tables)]
        assert [step for step in scans if "USING" not in step] == [], question
        assert [step for step in plan if "TEMP B-TREE FOR ORDER BY" in step] == [], question
