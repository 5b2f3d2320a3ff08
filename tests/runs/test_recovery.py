"""Worker processes killed with SIGKILL in the middle of runs: none lost, none completed twice, attempts counted."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from hookyard.agents.base import AgentResult, Assignment, Recorder
from hookyard.agents.processes import started
from hookyard.core.ids import RunId, WorkerId
from hookyard.core.message_catalog import Message, Param
from hookyard.runs import recovery
from hookyard.runs.admission import Limits, NoTokens, admit
from hookyard.runs.control import cancel, cancelled_by
from hookyard.runs.lease import HEARTBEAT_SECONDS
from hookyard.runs.liveness import FileLocks, Leases
from hookyard.runs.queue import Execution
from hookyard.runs.quota import Quotas
from hookyard.store.schema import attempts, run_entries, runs, spend, workers
from tests.runs.environment import RunsEnvironment

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def worker_process(
    env: RunsEnvironment, directory: Path, seconds: float
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker in a process of its own, ready; killed at the end if it still lives."""
    url = env.database.url.render_as_string(hide_password=False)
    command = (sys.executable, "-m", "tests.runs.worker_process", url, str(directory), str(seconds))
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 60) == b"ready\n"
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def notes(directory: Path) -> list[list[str]]:
    path = directory / "notes"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def ended_in_database(env: RunsEnvironment) -> int:
    return env.statuses().get("succeeded", 0)


async def test_nothing_is_lost_and_nothing_ends_twice_when_workers_are_killed(
    env: RunsEnvironment, tmp_path: Path
) -> None:
    chance = random.Random(7)
    callback = env.callback()
    total = 0
    for _ in range(4):
        ended = ended_in_database(env)
        # A second's work more than is waited for, so that each is killed while it works.
        env.queue(callback, number=60 - (total - ended))
        total = ended + 60
        async with worker_process(env, tmp_path, 0.15) as process:
            await env.until(lambda: ended_in_database(env) >= ended + 12)  # noqa: B023 - of this round only
            await asyncio.sleep(chance.random() * 0.15)
            process.kill()
    async with worker_process(env, tmp_path, 0.15):
        await env.until(lambda: ended_in_database(env) == total)
    rows = env.all(select(runs))
    assert Counter(row.status for row in rows) == {"succeeded": total}
    numbered = env.all(select(attempts.c.run_id, attempts.c.number, attempts.c.outcome).order_by(attempts.c.number))
    for row in rows:
        outcomes = [outcome for run, _, outcome in numbered if run == row.id]
        assert outcomes == ["lost"] * (row.attempt - 1) + ["succeeded"]
        assert row.answer == f"attempt {row.attempt}"
    # Every attempt that began is one that was counted, and none of them twice.
    began = [(run, int(number)) for what, run, number, _ in notes(tmp_path) if what == "began"]
    assert len(began) == len(set(began))
    assert set(began) <= {(run, number) for run, number, _ in numbered}
    assert any(row.attempt > 1 for row in rows)


async def test_a_new_worker_on_the_same_file_takes_over_at_once(tmp_path: Path, sqlite_scene: RunsEnvironment) -> None:
    env = sqlite_scene
    env.queue(env.callback(), number=3)
    async with worker_process(env, tmp_path, 60) as process:
        await env.until(lambda: len(notes(tmp_path)) == 3)
        process.kill()
        await process.wait()
    async with env.working():
        lost = select(attempts.c.run_id).where(attempts.c.outcome == "lost")
        assert len(env.all(lost)) == 3, "a worker that is ready has taken over"
        await env.until(lambda: env.statuses() == {"succeeded": 3})


async def test_a_living_worker_keeps_its_runs(tmp_path: Path, env: RunsEnvironment) -> None:
    env.queue(env.callback(), number=3)
    (tmp_path / "hold").touch()
    async with worker_process(env, tmp_path, 0):
        await env.until(lambda: len(notes(tmp_path)) == 3)
        async with env.working() as second:
            await asyncio.sleep(HEARTBEAT_SECONDS + 0.5)  # the second one has looked
            assert second.executing == ()
            assert env.statuses() == {"running": 3}
            assert len(env.all(select(workers))) == 2
            (tmp_path / "hold").unlink()
            await env.until(lambda: env.statuses() == {"succeeded": 3})
    assert len(notes(tmp_path)) == 6


async def test_a_worker_that_hangs_past_its_lease_loses_its_runs_and_its_late_result(
    tmp_path: Path, postgresql_scene: RunsEnvironment
) -> None:
    env = postgresql_scene
    (run,) = env.queue(env.callback())
    (tmp_path / "hold").touch()
    async with worker_process(env, tmp_path, 0) as process:
        await env.until(lambda: len(notes(tmp_path)) == 1)
        os.kill(process.pid, signal.SIGSTOP)
        async with env.working():
            row = await env.ended(run)
        assert (row.status, row.attempt, row.answer) == ("succeeded", 2, "do it")
        (tmp_path / "hold").unlink()
        os.kill(process.pid, signal.SIGCONT)
        await env.until(lambda: len(env.all(select(workers))) == 1)  # it has written itself down anew
    assert env.run(run).answer == "do it"
    assert {entry.attempt for entry in env.all(select(run_entries))} <= {1, 2}


async def test_cancelling_ends_the_child_before_the_place_is_free(env: RunsEnvironment, tmp_path: Path) -> None:
    children: list[int] = []

    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        async with started(["sleep", "300"], working_dir=tmp_path, environment=dict(os.environ)) as child:
            children.append(child.pid)
            await child.wait()
        return AgentResult("not reached")

    async with env.working(work):
        (run,) = env.queue(env.callback())
        await env.until(lambda: bool(children))
        os.kill(children[0], 0)
        await env.database.write(lambda conn: cancel(conn, "ws_a", run, by="Ann", now=1.0))  # type: ignore[arg-type]
        row = await env.ended(run)
        with pytest.raises(ProcessLookupError):
            os.kill(children[0], 0)
    assert row.status == "cancelled"


# -- what becomes of a lost run --------------------------------------------------------------------------------------


def lose(env: RunsEnvironment, callback: str, attempt: int = 1, **columns: Any) -> str:
    """A run that a worker which is gone was executing."""
    row = env.row(callback, status="running", attempt=attempt, worker_id="wrk_gone", **columns)
    started = {"run_id": row["id"], "number": attempt, "worker_id": "wrk_gone", "started_at": 0.0}
    env.database.write_sync(lambda conn: conn.execute(insert(runs).values(row)))
    env.database.write_sync(lambda conn: conn.execute(insert(attempts).values(started)))
    return str(row["id"])


def recover(env: RunsEnvironment, max_attempts: int = 3) -> recovery.Recovered | None:
    gone = recovery.OtherWorker(WorkerId("wrk_gone"), None)
    return env.database.write_sync(lambda conn: recovery.recover_worker(conn, gone, max_attempts, 10.0, NoTokens()))


def test_a_lost_run_is_queued_again_before_all_that_came_after_it(env: RunsEnvironment) -> None:
    callback = env.callback()
    lost = lose(env, callback)
    (younger,) = env.queue(callback)
    assert recover(env) == recovery.Recovered(queued=1)
    assert recover(env) == recovery.Recovered()
    limits = Limits(10, 10)
    claims = env.database.write_sync(lambda conn: admit(conn, WorkerId("w"), limits, 11.0, NoTokens())).claims
    assert [(claim.run_id, claim.attempt) for claim in claims] == [(lost, 2), (younger, 1)]


def test_a_run_that_was_lost_too_often_fails(env: RunsEnvironment) -> None:
    lost = lose(env, env.callback(), attempt=3)
    assert recover(env) == recovery.Recovered(ended=1)
    row = env.run(lost)
    assert (row.status, row.error) == ("failed", exhausted(3))


def test_an_orderly_stop_counts_as_no_attempt(env: RunsEnvironment) -> None:
    callback = env.callback()
    env.queue(callback)
    limits, worker = Limits(10, 10), WorkerId("wrk_gone")

    def begin(at: float) -> int:
        (claim,) = env.database.write_sync(lambda conn: admit(conn, worker, limits, at, NoTokens())).claims
        return claim.attempt

    for number in (1, 2, 3, 4):
        assert begin(float(number)) == number
        left = env.database.write_sync(lambda conn: recovery.deregister(conn, worker, 9.0, NoTokens()))
        assert left == recovery.Recovered(queued=1)
    begin(5.0)
    assert recover(env, max_attempts=2) == recovery.Recovered(queued=1)
    begin(6.0)
    assert recover(env, max_attempts=2) == recovery.Recovered(ended=1)
    (run,) = env.all(select(runs.c.error))
    assert run.error == exhausted(2)


def exhausted(attempts: int) -> str:
    """Return the stored error of a run whose worker died in the last of so many attempts."""
    params: dict[str, Param] = {"cause": recovery.DIED, "attempt": attempts, "max_attempts": attempts}
    return Message("attempts_exhausted", params).dumps()


@pytest.mark.parametrize("why", [recovery.CUT_OFF, recovery.UNCONFIRMED])
def test_an_attempt_that_ended_without_a_fault_of_the_run_counts_as_none(env: RunsEnvironment, why: Message) -> None:
    lost = lose(env, env.callback(), attempt=3)
    gone, execution = WorkerId("wrk_gone"), Execution(RunId(lost), 3)
    freed = env.database.write_sync(
        lambda conn: recovery.requeue_stalled(conn, gone, [execution], 3, 10.0, NoTokens(), why)
    )
    assert freed == recovery.Recovered(queued=1)
    assert env.run(lost).status == "queued"


def test_a_worker_that_comes_back_takes_the_blame_for_what_was_taken_from_it(env: RunsEnvironment) -> None:
    callback = env.callback()
    env.queue(callback)
    gone = WorkerId("wrk_gone")

    def begin(at: float) -> None:
        env.database.write_sync(lambda conn: admit(conn, gone, Limits(10, 10), at, NoTokens()))

    for number in (1, 2, 3):
        begin(float(number))
        assert recover(env, max_attempts=2) == recovery.Recovered(queued=1)
        env.database.write_sync(lambda conn: conn.execute(delete(workers)))
        env.database.write_sync(lambda conn: recovery.come_back(conn, gone, 5.0, {}))
    begin(9.0)
    assert recover(env, max_attempts=1) == recovery.Recovered(ended=1)


def test_a_callback_may_rather_have_its_runs_fail(env: RunsEnvironment) -> None:
    lost = lose(env, env.callback(after_crash="fail"))
    recover(env)
    assert env.run(lost).status == "failed"
    assert [(a.number, a.outcome) for a in env.all(select(attempts))] == [(1, "lost")]


def test_a_lost_run_that_somebody_had_cancelled_is_cancelled(env: RunsEnvironment) -> None:
    lost = lose(env, env.callback(), cancel_requested_at=1.0, cancel_requested_by="Ann")
    recover(env)
    assert (env.run(lost).status, env.run(lost).reason) == ("cancelled", cancelled_by("Ann").dumps())


def test_a_lost_attempt_gives_its_reservation_back_and_its_tokens_count_at_the_end(env: RunsEnvironment) -> None:
    callback = env.callback()
    env.queue(callback)
    limits = Limits(10, 10, Quotas(tokens_a_day=100_000))
    gone = WorkerId("wrk_gone")
    (claim,) = env.database.write_sync(lambda conn: admit(conn, gone, limits, 5.0, NoTokens())).claims
    env.database.write_sync(lambda conn: conn.execute(update(runs).values(input_tokens=300, output_tokens=20)))
    assert recover(env) == recovery.Recovered(queued=1)
    assert env.all(select(spend.c.tokens, spend.c.reserved)) == [(0, 0)]
    again = env.database.write_sync(lambda conn: admit(conn, gone, limits, 6.0, NoTokens())).claims
    assert (again[0].attempt, again[0].spent.input_tokens, again[0].spent.output_tokens) == (2, 300, 20)
    assert recover(env, max_attempts=2) == recovery.Recovered(ended=1)
    assert env.all(select(spend.c.tokens, spend.c.reserved)) == [(320, 0)]
    assert claim.token_limit == 25_000


def test_a_worker_whose_heart_beats_again_is_left_alone(env: RunsEnvironment) -> None:
    me = WorkerId("wrk_slow")
    env.database.write_sync(lambda conn: recovery.register(conn, me, 1.0, {}))
    seen = recovery.OtherWorker(me, 1.0)
    assert env.database.write_sync(lambda conn: recovery.heartbeat(conn, me, 2.0))
    assert env.database.write_sync(lambda conn: recovery.recover_worker(conn, seen, 3, 3.0, NoTokens())) is None
    assert len(env.all(select(workers))) == 1


def test_a_heartbeat_changes_even_when_the_clock_stands_still_or_goes_back(env: RunsEnvironment) -> None:
    me = WorkerId("wrk_me")
    env.database.write_sync(lambda conn: recovery.register(conn, me, 100.0, {}))
    values = {100.0}
    for now in (100.0, 100.0, 50.0, 50.0):
        assert env.database.write_sync(lambda conn, now=now: recovery.heartbeat(conn, me, now))  # type: ignore[misc]
        values.add(env.all(select(workers.c.heartbeat_at))[0][0])
    assert len(values) == 5


def test_runs_of_a_disabled_callback_are_skipped_without_waiting_for_a_place(env: RunsEnvironment) -> None:
    disabled, kept = env.callback(enabled=False), env.callback()
    (gone,), (stays,) = env.queue(disabled), env.queue(kept)
    assert env.database.write_sync(lambda conn: recovery.skip_unwanted(conn, 1.0)) == 1
    assert (env.run(gone).status, env.run(stays).status) == ("skipped", "queued")


# -- who is alive ----------------------------------------------------------------------------------------------------


class FakeClock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.wall = 1000.0
        self.steady = 0.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.steady


def test_a_lease_is_measured_on_the_observers_own_steady_clock() -> None:
    clock = FakeClock()
    leases = Leases(clock, lease_seconds=9)
    other = WorkerId("wrk_other")

    def dead_after(seconds: int, heartbeat_at: float) -> bool:
        for _ in range(seconds):
            clock.steady += 1
            if leases.is_dead(other, heartbeat_at):
                return True
        return False

    assert not leases.is_dead(other, heartbeat_at=5.0)
    clock.wall += 1e9  # somebody sets the clock
    assert not dead_after(8, heartbeat_at=5.0)
    assert not leases.is_dead(other, heartbeat_at=4.0)  # its own clock went back, but it lives
    assert not dead_after(8, heartbeat_at=4.0)
    assert dead_after(1, heartbeat_at=4.0)


def test_silence_that_nobody_could_have_broken_expires_no_lease() -> None:
    clock = FakeClock()
    leases = Leases(clock, lease_seconds=9)
    other = WorkerId("wrk_other")
    assert not leases.is_dead(other, heartbeat_at=5.0)
    clock.steady += 60  # the database was away: this observer could not look either
    assert not leases.is_dead(other, heartbeat_at=5.0)
    clock.steady += 3
    assert not leases.is_dead(other, heartbeat_at=5.0)


def test_a_lease_is_as_long_as_its_owner_says() -> None:
    clock = FakeClock()
    leases = Leases(clock, lease_seconds=9)
    other = WorkerId("wrk_other")
    for _ in range(30):
        assert not leases.is_dead(other, 5.0, {"leaseSeconds": 30})
        clock.steady += 1
    assert leases.is_dead(other, 5.0, {"leaseSeconds": 30})


def test_an_observer_with_a_long_lease_notices_that_a_short_one_has_expired() -> None:
    clock = FakeClock()
    leases = Leases(clock, lease_seconds=45)
    other = WorkerId("wrk_other")
    looks = 0
    while not leases.is_dead(other, 5.0, {"leaseSeconds": 6}):
        clock.steady += HEARTBEAT_SECONDS + 0.2
        looks += 1
        assert looks < 4


async def test_a_file_lock_tells_at_once_that_its_holder_has_died(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from hookyard.runs.liveness import FileLocks\n"
        "FileLocks(pathlib.Path(sys.argv[1])).hold('wrk_1'); print('held', flush=True); sys.stdin.read()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), 60)
    locks = FileLocks(tmp_path)
    assert not locks.is_dead(WorkerId("wrk_1"), 0.0)
    process.kill()
    await process.wait()
    assert locks.is_dead(WorkerId("wrk_1"), 0.0)
    assert locks.is_dead(WorkerId("wrk_never"), 0.0)
    assert names_in(tmp_path) == []
