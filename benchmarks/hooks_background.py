"""What a background webhook adds to an agent's step, how fast deliveries leave, and memory over 100,000 of them.

Everything goes through `Hooks`, as an agent has it: configuration, body, outbox on disk, format, one POST each.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.hooks_dispatch import home_of, median
from benchmarks.outbox import receiver
from hookyard.hooks.hooks import Hooks

STEPS = 1000
BURST = 5000
MANY = 100_000
SETTLED = 20_000
ARGS = json.dumps({"command": "pytest -q tests && git status", "description": "x" * 200})


def resident_mb() -> float:
    """Memory of this process, MB (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6


async def fire(hooks: Hooks) -> None:
    """One step of an agent."""
    await hooks.fire(
        "post_tool",
        tool_name="bash",
        tool_args=ARGS,
        session_id="ses_1",
        working_dir="/w",
        turn_number=3,
        call_id="call_1",
        result="x" * 1000,
        success=True,
        duration_ms=12,
    )


@asynccontextmanager
async def hooks_to(url: str, mode: str) -> AsyncIterator[Hooks]:
    """Hooks with one webhook of a mode."""
    with home_of(url, 1, "post_tool", f'mode = "{mode}"\n') as home:
        async with Hooks.load(home=home, environ={}) as hooks:
            await fire(hooks)
            yield hooks


async def fewer_left(hooks: Hooks, count: int) -> None:
    """Wait until the outbox owes no more than so many."""
    for _ in range(100_000):
        if await hooks.sender.background.outbox.left() <= count:
            return
        await asyncio.sleep(0.02)


async def measure() -> list[Figure]:
    """What it adds, how fast it drains, and whether memory grows."""
    async with receiver() as url:
        async with hooks_to(url, "background") as hooks:
            added = await steps(hooks)
            into, out = await burst(hooks)
        async with hooks_to(url, "background") as hooks:
            background = await growth(hooks, lambda: fire(hooks), lambda: fewer_left(hooks, 1000))
        async with hooks_to(url, "wait") as hooks:
            waited = await growth(hooks, lambda: fire(hooks), lambda: fewer_left(hooks, 0))
    return [
        Figure("a background webhook adds to a step, p50", median(added) / 1e3, None, "ms", 1.0),
        Figure("a background webhook adds to a step, p99", sorted(added)[-len(added) // 100] * 1e3, None, "ms"),
        Figure("background deliveries in, through Hooks", into, None, "deliveries/s", 3000, higher_is_better=True),
        Figure("background deliveries out, through Hooks", out, None, "deliveries/s", 1500, higher_is_better=True),
        Figure("memory from 20,000 to 100,000 background deliveries", background, None, "MB", 20),
        Figure("memory from 20,000 to 100,000 deliveries waited for", waited, None, "MB", 20),
    ]


async def steps(hooks: Hooks) -> list[float]:
    """How long firing takes an agent that does something else in between."""
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        await fire(hooks)
        times.append(time.perf_counter() - start)
        await asyncio.sleep(0.002)
    await fewer_left(hooks, 0)
    return times


async def burst(hooks: Hooks) -> tuple[float, float]:
    """Deliveries a second that a burst brings in, a hundred agents at once, and that go out once they are owed."""
    outbox = hooks.sender.background.outbox
    start = time.perf_counter()
    for _ in range(BURST // 100):
        await asyncio.gather(*(fire(hooks) for _ in range(100)))
    into = BURST / (time.perf_counter() - start)
    owing, start = await outbox.left(), time.perf_counter()
    await fewer_left(hooks, 0)
    return into, owing / (time.perf_counter() - start)


async def growth(hooks: Hooks, step: Callable[[], Awaitable[None]], settle: Callable[[], Awaitable[None]]) -> float:
    """Growth of the resident set, MB, once everything that is kept has filled up."""
    before = 0.0
    for done in range(0, MANY, 100):
        await asyncio.gather(*(step() for _ in range(100)))
        if done % 1000 == 0:
            await settle()
        if done == SETTLED:
            gc.collect()
            before = resident_mb()
    await settle()
    gc.collect()
    return resident_mb() - before
