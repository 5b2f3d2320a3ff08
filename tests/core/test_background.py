"""Supervised loops and task sets."""

from __future__ import annotations

import asyncio
import logging

import pytest

from hookyard.core.background import TaskSet, repeat, running
from hookyard.core.errors import TemporaryError


class Woken:
    """A wakeup that never waits and remembers the pauses."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    async def wait(self, timeout_seconds: float, /) -> None:
        self.pauses.append(timeout_seconds)
        await asyncio.sleep(0)


async def test_a_step_that_fails_is_logged_and_repeated(caplog: pytest.LogCaptureFixture) -> None:
    outcomes: list[float | Exception | None] = [None, 0.5, TemporaryError("database_away"), RuntimeError("bug"), None]
    done = asyncio.Event()

    async def step() -> float | None:
        if not outcomes:
            done.set()
            await asyncio.sleep(3600)
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    woken = Woken()
    task = asyncio.create_task(repeat(step, interval_seconds=7, wakeup=woken, retry_seconds=3))
    async with asyncio.timeout(20):
        await done.wait()
    task.cancel()
    assert woken.pauses == [7, 0.5, 3, 3, 7]
    assert [(record.levelno, record.exc_info is None) for record in caplog.records] == [
        (logging.WARNING, True),
        (logging.ERROR, False),
    ]


async def test_loops_run_inside_the_block_only(caplog: pytest.LogCaptureFixture) -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def loop() -> None:
        try:
            entered.set()
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with running(loop):
        await entered.wait()
        assert not ended.is_set()
    assert ended.is_set()
    assert not caplog.records


async def test_a_task_set_holds_its_tasks_and_logs_their_failures(caplog: pytest.LogCaptureFixture) -> None:
    tasks = TaskSet()
    free = asyncio.Event()

    async def work() -> None:
        await free.wait()
        tasks.spawn(fail(), name="second")

    async def fail() -> None:
        raise RuntimeError("bug")

    tasks.spawn(work())
    assert len(tasks) == 1
    free.set()
    async with asyncio.timeout(20):
        await tasks.join()
    assert len(tasks) == 0
    assert [record.getMessage() for record in caplog.records] == ["second failed"]

    endless = tasks.spawn(asyncio.sleep(3600))
    await tasks.close()
    assert endless.cancelled()
    assert len(tasks) == 0
