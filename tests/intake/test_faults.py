"""What goes wrong around accepting: refused with a reason, nothing half stored, nothing lost, and it goes on after."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine

from hookyard.core.errors import TemporaryError
from hookyard.store import schema
from hookyard.store.engine import database_url
from tests.intake.environment import IntakeEnvironment, open_environment, task_event


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[IntakeEnvironment]:
    async with open_environment(f"sqlite:///{tmp_path / 'hookyard.db'}") as made:
        await made.callback()
        yield made


async def limit_pages(env: IntakeEnvironment, more: int) -> None:
    """Let the file grow by so many pages only."""

    def limit(conn: Connection) -> None:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages + more}")

    await env.database.write(limit)


async def test_disk_full(env: IntakeEnvironment) -> None:
    await limit_pages(env, 4)
    sent = (env.send(task_event(taskId=f"task-{number}", taskTitle="x" * 3000)) for number in range(20))
    outcomes = [(await asyncio.gather(one, return_exceptions=True))[0] for one in sent]
    refused = [one for one in outcomes if isinstance(one, TemporaryError)]
    assert refused
    assert all("full" in one.what and one.hint for one in refused)
    accepted = sum(isinstance(one, list) for one in outcomes)
    assert accepted + len(refused) == 20
    assert await env.count(schema.events) == await env.count(schema.runs) == accepted
    await limit_pages(env, 1000)
    # The refused event is no duplicate of itself: nothing of it was kept.
    (last,) = await env.send(task_event(taskId="task-19", taskTitle="x" * 3000))
    assert last.duplicate_of is None


async def test_database_locked_for_a_moment(env: IntakeEnvironment, tmp_path: Path) -> None:
    """The event waits and is stored; nobody has to send it again."""
    await env.database.write(lambda conn: conn.exec_driver_sql("PRAGMA busy_timeout = 20").close())
    engine = create_engine(database_url(f"sqlite:///{tmp_path / 'hookyard.db'}"))
    with engine.connect() as holder:
        holder.exec_driver_sql("BEGIN IMMEDIATE")
        sending = asyncio.create_task(env.send(task_event()))
        await asyncio.sleep(0.2)
        assert not sending.done()
        holder.rollback()
    (accepted,) = await sending
    engine.dispose()
    assert len(accepted.runs) == 1


async def test_no_evaluator(env: IntakeEnvironment) -> None:
    """Refused with 503, never counted as not matched."""
    await env.callback(condition="ctx.taskTitle.length > 0")
    await env.conditions.close()
    with pytest.raises(TemporaryError):
        await env.send(task_event())
    assert await env.count(schema.events) == 0
    assert await env.count(schema.claims) == 0
