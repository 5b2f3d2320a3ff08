"""Agents that die and agents at once: what nobody waited for arrives, in order, once but for its idempotency key."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.hooks.receiver import Home, Received, Receiver, entry

SCRIPT = Path(__file__).with_name("agent_process.py")


async def agent(home: Home, first: int, last: int, mode: str) -> int:
    """Run an agent to its end; its exit code."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT), str(home.path), str(first), str(last), mode), cwd=SCRIPT.parents[2]
    )
    return await asyncio.wait_for(process.wait(), 60)


def numbers(received: list[Received]) -> list[int]:
    """What the firings were numbered, in the order of arrival, repeats left out."""
    first: dict[str, list[int]] = {}
    for request in received:
        events: list[dict[str, Any]] = request.body.get("events", [request.body])
        results = [e.get("result_context", e["context"])["result"] for e in events]
        first.setdefault(request.headers["webhook-id"], [int(result) for result in results])
    return [number for batch in first.values() for number in batch]


async def until_arrived(home: Home, receiver: Receiver, count: int) -> None:
    """Let processes come and go until everything has arrived."""
    for _ in range(60):
        assert await agent(home, 0, 0, "end") == 0
        if len(numbers(receiver.at())) >= count:
            return
        await asyncio.sleep(1)
    pytest.fail(f"only {len(numbers(receiver.at()))} of {count} arrived")


@pytest.mark.parametrize("kind", ["background", "batch"])
async def test_a_process_killed_after_firing_loses_nothing(home: Home, receiver: Receiver, kind: str) -> None:
    if kind == "batch":
        home.write(f'[[async_webhooks]]\nname = "audit"\nurl = "{receiver.url()}"\nbatch_size = 7\n')
    else:
        home.write(entry("audit", "post_tool", receiver.url(), mode="background"))
    assert await agent(home, 0, 40, "kill") == -signal.SIGKILL
    await until_arrived(home, receiver, 40)
    assert numbers(receiver.at()) == list(range(40))


async def test_processes_at_once_double_nothing(home: Home, receiver: Receiver) -> None:
    home.write(entry("audit", "post_tool", receiver.url(), mode="background"))
    codes = await asyncio.gather(*(agent(home, 100 * n, 100 * n + 30, "end") for n in range(3)))
    assert codes == [0, 0, 0]
    await until_arrived(home, receiver, 90)
    assert Counter(request.headers["webhook-id"] for request in receiver.at()).most_common(1)[0][1] == 1
    arrived = numbers(receiver.at())
    for n in range(3):
        assert [number for number in arrived if number // 100 == n] == list(range(100 * n, 100 * n + 30))
