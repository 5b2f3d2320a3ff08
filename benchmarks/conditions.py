"""How fast conditions are judged: server and evaluator together on one core, beside the bare engine in one process."""

from __future__ import annotations

import asyncio
import json
import os
import time

import quickjs  # type: ignore[import-untyped]

from benchmarks.figure import Figure
from hookyard.conditions.condition_set import ConditionSet
from hookyard.conditions.conditions import Conditions
from hookyard.core.clock import SystemClock
from hookyard.events.catalog import Catalog

SECONDS = 2.0
AT_ONCE = 32

_TASK_UPDATED = Catalog().select(["task.updated"])[0]
EVENT = dict(_TASK_UPDATED.sample)
CONDITIONS = tuple((f"cb_{n}:1", f"ctx.taskStatus === 'blocked' && ctx.taskId !== 'task-{n}'") for n in range(100))
HUNDRED, ONE = ConditionSet.of(CONDITIONS), ConditionSet.of(CONDITIONS[:1])


async def _events_a_second(conditions: Conditions, asked: ConditionSet, at_once: int) -> float:
    await conditions.evaluate("ws", EVENT, asked)
    done = 0
    began = time.perf_counter()
    while (taken := time.perf_counter() - began) < SECONDS:
        await asyncio.gather(*(conditions.evaluate("ws", EVENT, asked) for _ in range(at_once)))
        done += at_once
    return done / taken


def _bare_engine() -> float:
    """Conditions a second when the engine is called straight from Python, one condition in each call."""
    context = quickjs.Context()
    functions = [context.eval(f"(ctx) => !!({text})") for _, text in CONDITIONS]
    event = json.dumps(EVENT)
    done = 0
    began = time.perf_counter()
    while (taken := time.perf_counter() - began) < SECONDS:
        ctx = context.parse_json(event)
        for function in functions:
            function(ctx)
        done += len(functions)
    return done / taken


async def measure() -> list[Figure]:
    """Judge as fast as it goes on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the evaluators inherit it
    floor = _bare_engine()
    conditions = Conditions(SystemClock())
    await conditions.start()
    try:
        many = await _events_a_second(conditions, HUNDRED, AT_ONCE) * len(CONDITIONS)
        single = await _events_a_second(conditions, ONE, AT_ONCE)
        alone = await _events_a_second(conditions, ONE, 1)
    finally:
        await conditions.close()
    return [
        Figure(
            "conditions judged on one core, 100 an event", many, None, "/s", 20_000, True, f"{AT_ONCE} events at once"
        ),
        Figure(
            "the same compared with the bare engine",
            many,
            floor,
            "/s",
            None,
            True,
            "floor: quickjs in process, a call each",
        ),
        Figure("conditions judged on one core, 1 an event", single, None, "/s", 20_000, True, f"{AT_ONCE} at once"),
        Figure("one condition, nothing else to do", 1e6 / alone, None, "µs"),
    ]
