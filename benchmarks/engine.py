"""What executes runs: DBOS in its ways of use, beside a supervised task. The table of decision 0501.

`uv run python -m benchmarks.engine [--postgresql URL]`; each row in a process of its own, since DBOS is one to a
process. Every way does a run of no work with the two durable writes that an execution needs: begun and ended.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa

from benchmarks.dbos_queue import open_notes
from benchmarks.process import LIMIT, RUNS, cpu_seconds, idle_percent, resident_mb
from hookyard.store.engine import database_url

Runner = Callable[[int], Awaitable[None]]


class Bodies:
    """Counts the bodies that ran and tells when each began."""

    def __init__(self) -> None:
        self.begun: dict[int, float] = {}
        self.wanted = 0
        self.all_done = asyncio.Event()

    async def body(self, number: int) -> None:
        """The run's work: none."""
        self.begun[number] = time.perf_counter()
        if len(self.begun) >= self.wanted:
            self.all_done.set()


BODIES = Bodies()


def launch_dbos(url: str, synchronous: str) -> Any:
    """DBOS as hookyard configures it."""
    from dbos import DBOS

    DBOS(
        config={
            "name": "hookyard",
            "system_database_url": database_url(url).render_as_string(hide_password=False),
            "system_database_engine": open_notes(database_url(url), synchronous),
            "application_version": "1",
            "executor_id": f"bench-{os.getpid()}",
            "log_level": "CRITICAL",
            "enable_otlp": False,
            "use_listen_notify": False,
            "max_executor_threads": 8,
        }
    )

    @DBOS.workflow(name="run")
    async def run(number: int) -> None:
        await BODIES.body(number)

    DBOS.launch()
    return DBOS, run


async def with_dbos_queue(url: str, synchronous: str, poll: float) -> dict[str, float]:
    """The bare queue of DBOS: it admits and executes."""
    dbos, run = launch_dbos(url, synchronous)
    name = f"runs-{os.getpid()}"

    async def start(number: int) -> None:
        await dbos.enqueue_workflow_async(name, run, number)

    async def open_gate() -> None:
        await dbos.register_queue_async(name, global_concurrency=LIMIT, polling_interval_sec=poll)

    return await measured(start, open_gate)


async def with_dbos_direct(url: str, synchronous: str) -> dict[str, float]:
    """Started directly, by an admission that holds a limit."""
    dbos, run = launch_dbos(url, synchronous)
    gate = asyncio.Semaphore(LIMIT)

    async def start(number: int) -> None:
        await gate.acquire()
        handle = await dbos.start_workflow_async(run, number)
        task = asyncio.create_task(handle.get_result())
        task.add_done_callback(lambda _: gate.release())
        PENDING.add(task)
        task.add_done_callback(PENDING.discard)

    return await measured(start)


PENDING: set[asyncio.Task[Any]] = set()


async def with_task(url: str, synchronous: str) -> dict[str, float]:
    """A supervised task and the same two writes, those of one moment in one transaction."""
    engine = open_notes(database_url(url), synchronous)
    table = sa.Table(
        "bench_runs", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("status", sa.Text)
    )
    table.metadata.drop_all(engine)
    table.metadata.create_all(engine)
    waiting: list[tuple[Any, list[dict[str, Any]], asyncio.Future[None]]] = []
    wake = asyncio.Event()
    insert = table.insert()
    update = table.update().where(table.c.id == sa.bindparam("key")).values(status="done")

    def commit(batch: list[tuple[Any, list[dict[str, Any]], asyncio.Future[None]]]) -> None:
        with engine.begin() as connection:
            for statement, rows, _ in batch:
                connection.execute(statement, rows)

    async def writer() -> None:
        while True:
            await wake.wait()
            wake.clear()
            batch = waiting[:]
            waiting.clear()
            await asyncio.to_thread(commit, batch)
            for _, _, future in batch:
                future.set_result(None)

    async def write(statement: Any, rows: list[dict[str, Any]]) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append((statement, rows, future))
        wake.set()
        await future

    gate = asyncio.Semaphore(LIMIT)

    async def execute(number: int) -> None:
        await write(insert, [{"id": number, "status": "running"}])
        await BODIES.body(number)
        await write(update, [{"key": number}])
        gate.release()

    async def start(number: int) -> None:
        await gate.acquire()
        task = asyncio.create_task(execute(number))
        PENDING.add(task)
        task.add_done_callback(PENDING.discard)

    PENDING.add(asyncio.create_task(writer()))
    return await measured(start)


async def measured(start: Runner, open_gate: Callable[[], Awaitable[None]] | None = None) -> dict[str, float]:
    """Throughput at the limit, latency one at a time, idle cost and memory.

    With a gate the runs are all queued before it opens, and the time counts from the first body.
    """
    BODIES.wanted = RUNS
    began, used = time.perf_counter(), cpu_seconds()
    for number in range(RUNS):
        await start(number)
    if open_gate is not None:
        await open_gate()
        used = cpu_seconds()
    await BODIES.all_done.wait()
    if open_gate is not None:
        began = min(BODIES.begun.values())
    seconds, used = time.perf_counter() - began, cpu_seconds() - used
    await asyncio.sleep(1)
    latencies = sorted([await latency(start, RUNS + number) for number in range(25)][5:])
    gc.collect()
    return {
        "runs/s": RUNS / seconds,
        "cpu ms/run": used / RUNS * 1000,
        "p50 ms": latencies[len(latencies) // 2],
        "p99 ms": latencies[-1],
        "idle %": await idle_percent(),
        "memory MB": resident_mb(),
    }


async def latency(start: Runner, number: int) -> float:
    """From the start to the body of one run, milliseconds."""
    BODIES.begun.clear()
    BODIES.wanted = 1
    BODIES.all_done.clear()
    began = time.perf_counter()
    await start(number)
    await BODIES.all_done.wait()
    await asyncio.sleep(0.01)
    return (BODIES.begun[number] - began) * 1000


async def with_worker(url: str, queue: str) -> dict[str, float]:
    """All of hookyard's worker on an engine: admission, timeline, result."""
    from benchmarks.worker import Bench  # here: the bare engines' memory is measured without hookyard

    bench = Bench(url, queue)
    await bench.worker.start()
    rate, cpu = await bench.throughput()
    found = await bench.latencies()
    idle = await idle_percent()
    return {
        "runs/s": rate,
        "cpu ms/run": cpu,
        "p50 ms": found[len(found) // 2],
        "p99 ms": found[int(len(found) * 0.99)],
        "idle %": idle,
        "memory MB": resident_mb(),
    }


WAYS: dict[str, Callable[[str, str], Coroutine[Any, Any, dict[str, float]]]] = {
    "DBOS queue, poll 1.0 s": lambda url, sync: with_dbos_queue(url, sync, 1.0),
    "DBOS queue, poll 0.05 s": lambda url, sync: with_dbos_queue(url, sync, 0.05),
    "DBOS started directly": with_dbos_direct,
    "supervised task, two writes": with_task,
    "hookyard on DBOS started directly": lambda url, _: with_worker(url, "dbos"),
    "hookyard on supervised tasks": lambda url, _: with_worker(url, "tasks"),
}


def main() -> None:
    """Print the table, or measure one way in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--postgresql", default="postgresql://root@127.0.0.1:5432/postgres", help="a server to use")
    parser.add_argument("--way", choices=list(WAYS))
    parser.add_argument("--url")
    parser.add_argument("--synchronous", default="NORMAL")
    given = parser.parse_args()
    if given.way:
        print(json.dumps(asyncio.run(WAYS[given.way](given.url, given.synchronous))), flush=True)
        os._exit(0)  # without waiting for the threads of DBOS
    print("| database | way | runs/s | CPU ms/run | start p50/p99 ms | idle % of a core | memory MB |")
    print("|---|---|--:|--:|--:|--:|--:|")
    for name, synchronous in (("SQLite NORMAL", "NORMAL"), ("SQLite FULL", "FULL"), ("PostgreSQL", "")):
        for way in WAYS:
            if way.startswith("hookyard") and synchronous == "NORMAL":
                continue  # our own database is always FULL
            with new_database(given.postgresql, sqlite=bool(synchronous)) as url:
                f = measure_apart(way, url, synchronous or "NORMAL")
            print(
                f"| {name} | {way} | {f['runs/s']:.0f} | {f['cpu ms/run']:.2f} | {f['p50 ms']:.1f}/{f['p99 ms']:.1f} "
                f"| {f['idle %']:.1f} | {f['memory MB']:.0f} |",
                flush=True,
            )


@contextmanager
def new_database(server: str, *, sqlite: bool) -> Iterator[str]:
    """The URL of a database of its own for one measurement."""
    if sqlite:
        with tempfile.TemporaryDirectory() as directory:
            yield f"sqlite:///{directory}/engine.db"
        return
    name = f"bench_{os.getpid()}_{time.time_ns()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield server.rpartition("/")[0] + "/" + name
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def measure_apart(way: str, url: str, synchronous: str) -> dict[str, float]:
    """Measure one way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.engine", "--way", way, "--url", url, "--synchronous", synchronous]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=300)
    figures: dict[str, float] = json.loads(done.stdout.decode().splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
