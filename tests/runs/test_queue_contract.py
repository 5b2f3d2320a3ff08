"""The contract of `RunQueue`, on our engine and on DBOS with both databases: what any engine must do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from benchmarks.dbos_queue import DbosQueue
from hookyard.core.errors import TemporaryError
from hookyard.core.ids import Ids, RunId, WorkerId
from hookyard.runs.engine import TaskQueue
from hookyard.runs.queue import Execution, RunQueue

IDS = Ids()


@pytest.fixture(params=["tasks", "dbos-sqlite", "dbos-postgresql"])
async def queue(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunQueue]:
    """A queue of each kind, not opened; closed afterwards."""
    made: RunQueue
    if request.param == "tasks":
        made = TaskQueue()
    else:
        sqlite = f"sqlite:///{tmp_path / 'hookyard.db'}"
        url = sqlite if request.param == "dbos-sqlite" else request.getfixturevalue("postgresql_url")
        made = DbosQueue(url, WorkerId(IDS.worker()))
    yield made
    await made.close(0)


def an_execution(attempt: int = 1) -> Execution:
    return Execution(RunId(IDS.run()), attempt)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for signals nobody
            await asyncio.sleep(0.005)


class Bodies:
    """Counts bodies; one may be held until it is let go."""

    def __init__(self) -> None:
        self.begun: list[Execution] = []
        self.ended: list[Execution] = []
        self.cancelled: list[Execution] = []
        self.hold = asyncio.Event()
        self.hold.set()

    async def __call__(self, execution: Execution) -> None:
        self.begun.append(execution)
        try:
            await self.hold.wait()
            self.ended.append(execution)
        except asyncio.CancelledError:
            await asyncio.sleep(0.02)  # as one that ends its children
            self.cancelled.append(execution)
            raise


async def test_a_started_execution_is_carried_out_once(queue: RunQueue) -> None:
    bodies = Bodies()
    await queue.open(bodies)
    execution = an_execution()
    assert await queue.start(execution)
    await until(lambda: bodies.ended == [execution])
    await until(lambda: not queue.executing())


async def test_a_second_start_does_nothing(queue: RunQueue) -> None:
    bodies = Bodies()
    bodies.hold.clear()
    await queue.open(bodies)
    execution = an_execution()
    assert await queue.start(execution)
    assert not await queue.start(execution)
    await until(lambda: bodies.begun == [execution])
    bodies.hold.set()
    await until(lambda: not queue.executing())
    assert bodies.begun == [execution]


async def test_another_attempt_of_the_same_run_is_another_execution(queue: RunQueue) -> None:
    bodies = Bodies()
    await queue.open(bodies)
    first = an_execution()
    second = Execution(first.run_id, 2)
    assert await queue.start(first)
    assert await queue.start(second)
    await until(lambda: sorted(bodies.ended, key=lambda e: e.attempt) == [first, second])


async def test_a_cancelled_body_stays_among_those_executing_until_it_has_returned(queue: RunQueue) -> None:
    bodies = Bodies()
    bodies.hold.clear()
    await queue.open(bodies)
    execution, other = an_execution(), an_execution()
    await queue.start(execution)
    await queue.start(other)
    await until(lambda: len(bodies.begun) == 2)
    assert queue.cancel(execution.run_id)
    await asyncio.sleep(0)
    assert execution in queue.executing()
    await until(lambda: execution not in queue.executing())
    assert bodies.cancelled == [execution]
    assert list(queue.executing()) == [other]


async def test_what_is_not_executing_cannot_be_cancelled(queue: RunQueue) -> None:
    await queue.open(Bodies())
    assert not queue.cancel(RunId(IDS.run()))


async def test_a_failing_body_harms_no_other(queue: RunQueue, caplog: pytest.LogCaptureFixture) -> None:
    done: list[Execution] = []

    async def body(execution: Execution) -> None:
        if not done:
            done.append(execution)
            raise RuntimeError("a bug in a body")
        done.append(execution)

    await queue.open(body)
    await queue.start(an_execution())
    await until(lambda: not queue.executing())
    await queue.start(an_execution())
    await until(lambda: len(done) == 2)


async def test_closing_waits_for_those_that_end_in_time_and_cancels_the_others(queue: RunQueue) -> None:
    begun: list[Execution] = []
    ended: list[str] = []
    closing = asyncio.Event()

    async def body(execution: Execution) -> None:
        begun.append(execution)
        try:
            await (closing.wait() if execution.attempt == 1 else asyncio.sleep(600))
            ended.append("in time")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    await queue.open(body)
    await queue.start(an_execution(attempt=1))
    await queue.start(an_execution(attempt=2))
    await until(lambda: len(begun) == 2)
    closed = asyncio.create_task(queue.close(2.0))
    await asyncio.sleep(0)
    closing.set()
    await closed
    assert ended == ["in time", "cancelled"]
    assert not queue.executing()
    with pytest.raises(TemporaryError):
        await queue.start(an_execution())


async def test_nothing_starts_before_it_is_open(queue: RunQueue) -> None:
    with pytest.raises(TemporaryError):
        await queue.start(an_execution())
