"""A whole worker on a real database and the real engine."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import select

from hookyard.agents.base import AgentResult, Assignment, Recorder
from hookyard.core.errors import UnavailableError
from hookyard.runs.claim import AdmittedRun
from hookyard.runs.control import cancel, cancelled_by
from hookyard.runs.executor import ExecutionEnvironment
from hookyard.store.schema import attempts, run_entries, runs, workers
from tests.runs.environment import FunctionEnvironments, RunsEnvironment, answer


async def test_a_queued_run_is_executed_and_its_result_stored(env: RunsEnvironment) -> None:
    callback = env.callback()
    async with env.working():
        (run,) = env.queue(callback, prompt="say hello")
        row = await env.ended(run)
    assert (row.status, row.answer, row.attempt, row.error) == ("succeeded", "say hello", 1, None)
    assert row.queued_at <= row.started_at <= row.finished_at
    assert [(a.number, a.outcome) for a in env.all(select(attempts))] == [(1, "succeeded")]
    assert [e.kind for e in env.all(select(run_entries))] == ["message"]


async def test_no_more_runs_at_once_than_the_settings_allow(env: RunsEnvironment) -> None:
    env.settings = {"eventCallback.maxQueueSize": 3, "worker.maxRuns": 16}
    at_once: list[int] = []
    now = 0
    together = asyncio.Barrier(3)

    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        nonlocal now
        now += 1
        at_once.append(now)
        await together.wait()  # as many are allowed
        await asyncio.sleep(0.02)
        now -= 1
        return AgentResult("done")

    callback = env.callback()
    env.queue(callback, number=12)
    async with env.working(work):
        await env.until(lambda: env.statuses() == {"succeeded": 12})
    assert max(at_once) == 3


async def test_a_running_run_is_cancelled_with_its_agent(env: RunsEnvironment) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)  # as an agent that ends its children
            assert env.run(run).status == "running"  # the place is held until then
            ended.set()
        return AgentResult("too late")

    callback = env.callback()
    async with env.working(work):
        (run,) = env.queue(callback)
        await began.wait()
        await env.database.write(lambda conn: cancel(conn, "ws_a", run, by="Ann", now=1.0))  # type: ignore[arg-type]
        row = await env.ended(run)
    assert ended.is_set()
    assert (row.status, row.reason) == ("cancelled", cancelled_by("Ann").dumps())


async def test_a_stopped_worker_gives_its_runs_back(env: RunsEnvironment) -> None:
    began = asyncio.Event()

    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        if assignment.attempt == 1:
            began.set()
            await asyncio.sleep(60)
        return AgentResult(f"attempt {assignment.attempt}")

    callback = env.callback()
    (run,) = env.queue(callback)
    async with env.working(work):
        await began.wait()
    assert env.run(run).status == "queued"
    assert env.all(select(workers)) == []
    async with env.working(work):
        row = await env.ended(run)
    assert (row.status, row.answer) == ("succeeded", "attempt 2")
    assert [(a.number, a.outcome) for a in env.all(select(attempts))] == [(1, "lost"), (2, "succeeded")]


async def test_a_run_that_the_engine_lost_is_started_again(env: RunsEnvironment) -> None:
    callback = env.callback()
    async with env.working() as worker:
        row = env.row(callback, status="running", attempt=1, worker_id=worker.worker_id)
        await env.database.write(lambda conn: conn.execute(runs.insert().values(row)))
        attempt = {"run_id": row["id"], "number": 1, "worker_id": worker.worker_id, "started_at": 0.0}
        await env.database.write(lambda conn: conn.execute(attempts.insert().values(attempt)))
        ended = await env.ended(row["id"])
    assert (ended.status, ended.attempt) == ("succeeded", 2)


class AwayAtFirst(FunctionEnvironments):
    """The database is away whenever a run begins, for a moment."""

    refusals = 2

    @asynccontextmanager
    async def open(self, claim: AdmittedRun) -> AsyncIterator[ExecutionEnvironment]:
        if self.refusals:
            self.refusals -= 1
            raise UnavailableError("the database cannot be reached", where="postgresql://db.example.com/secret")
        async with super().open(claim) as workplace:
            yield workplace


async def test_a_database_that_is_away_when_a_run_begins_is_no_verdict_on_it(env: RunsEnvironment) -> None:
    (run,) = env.queue(env.callback())
    async with env.working(workplaces=AwayAtFirst(answer)):
        row = await env.ended(run)
    assert (row.status, row.attempt, row.error) == ("succeeded", 1, None)


async def test_an_agent_that_the_database_interrupts_starts_again_and_it_does_not_count(env: RunsEnvironment) -> None:
    env.settings = {"runs.maxAttempts": 1}

    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        if assignment.attempt == 1:
            raise UnavailableError("the database cannot be reached")
        return AgentResult("done")

    (run,) = env.queue(env.callback())
    async with env.working(work):
        row = await env.ended(run)
    assert (row.status, row.attempt, row.error) == ("succeeded", 2, None)
