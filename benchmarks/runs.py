"""Runs: how many of no work a second beside the bare engine, how soon an event's run begins, what idleness costs.

The floor of the throughput is a bare queue of DBOS with the same limit, polled every 0.05 s, as durable as ours
(`benchmarks/engine.py`).
Both have all their runs queued before, and the time counts from the first body to the last end; ours also admits
fairly, counts attempts, and stores a result and a timeline for each.
"""

from __future__ import annotations

import asyncio
import tempfile

from benchmarks.engine import measure_apart, new_database
from benchmarks.figure import Figure
from benchmarks.process import idle_percent
from benchmarks.worker import Bench
from hookyard.store.schema import runs


def floor() -> float:
    """Runs a second of the bare queue, in a process of its own."""
    with new_database("", sqlite=True) as url:
        return measure_apart("DBOS queue, poll 0.05 s", url, "FULL")["runs/s"]


async def measure() -> list[Figure]:
    """All three."""
    bare = await asyncio.to_thread(floor)
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(f"sqlite:///{directory}/hookyard.db")
        await bench.worker.start()
        await asyncio.sleep(0.5)
        idle = await idle_percent()
        found = await bench.latencies()
        bench.agent.begun.clear()
        bench.database.write_sync(lambda conn: conn.execute(runs.delete()))
        rate, cpu = await bench.throughput()
        await bench.worker.stop(1.0)
        bench.database.close()
    note = f"bare DBOS queue; {cpu:.2f} ms of processor a run"
    return [
        Figure("runs of no work", rate, bare, "runs/s", 0.8, higher_is_better=True, note=note),
        Figure("a queued run to the first line of its agent, p50", found[len(found) // 2], None, "ms", 15.0),
        Figure("a queued run to the first line of its agent, p99", found[int(len(found) * 0.99)], None, "ms", 100.0),
        Figure("idle worker", idle, None, "% of a core", 3.0),
    ]
