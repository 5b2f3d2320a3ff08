"""What firing a hook point costs, beside bare aiohttp POSTs of the same bodies to the same receiver in the same run.

The receiver is a process of its own. Ours and the floor take turns, so that noise of the machine hits both.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp

from benchmarks.figure import Figure
from hookyard.hooks.hooks import Hooks

ROUNDS = 1500
BLOCK = 5
ARGS = json.dumps({"command": "pytest -q tests && git status", "timeout": 120, "description": "x" * 200})

_RECEIVER = """
import asyncio
from aiohttp import web
async def answer(request):
    await request.read()
    return web.json_response({"result": "ok"})
async def main():
    app = web.Application()
    app.router.add_post("/hook", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


@asynccontextmanager
async def receiver() -> AsyncIterator[str]:
    """A receiver in a process of its own that answers `ok`; gives its URL."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", _RECEIVER, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}/hook"
    finally:
        process.kill()
        await process.wait()


def median(times: list[float]) -> float:
    """The median, in microseconds."""
    return sorted(times)[len(times) // 2] * 1e6


async def timed(times: list[float], work: Callable[[], Awaitable[object]]) -> None:
    """Do it once and note how long it took."""
    start = time.perf_counter()
    await work()
    times.append(time.perf_counter() - start)


async def in_turns(rounds: int, *works: tuple[list[float], Callable[[], Awaitable[object]]]) -> None:
    """Measure works in turns of a few calls each, so that noise of the machine hits all of them.

    Records of deliveries are written four times a second; that hits few of the calls, so it does not move a median.
    """
    for _ in range(rounds // BLOCK):
        for times, work in works:
            for _ in range(BLOCK):
                await timed(times, work)


async def measure() -> list[Figure]:
    """One gating webhook, ten notifying ones, and a point to which nothing listens."""
    async with receiver() as url, aiohttp.ClientSession() as session:
        return [await one_gate(url, session), await ten_at_once(url, session), await nothing()]


async def one_gate(url: str, session: aiohttp.ClientSession) -> Figure:
    ours: list[float] = []
    floor: list[float] = []
    async with hooks_of(url, 1, "pre_tool") as hooks:
        body = body_of_one(hooks)

        async def fire() -> None:
            await hooks.fire(
                "pre_tool",
                tool_name="bash",
                tool_args=ARGS,
                session_id="ses_1",
                working_dir="/w",
                turn_number=3,
                call_id="call_1",
            )

        await in_turns(ROUNDS, (floor, lambda: post(session, url, body)), (ours, fire))
    return Figure(
        "dispatch to one gating webhook, p50", median(ours), median(floor), "µs", 1.3, note="bare aiohttp POST"
    )


async def ten_at_once(url: str, session: aiohttp.ClientSession) -> Figure:
    ours: list[float] = []
    floor: list[float] = []
    async with hooks_of(url, 10, "turn_complete") as hooks:
        body = body_of_one(hooks)

        async def fire() -> None:
            await hooks.fire(
                "turn_complete",
                session_id="ses_1",
                working_dir="/w",
                turn_number=3,
                tokens_used=1200,
                tool_calls=4,
                duration_ms=900,
                truncated=False,
                edited_files=["a.py"],
            )

        async def ten_posts() -> None:
            await asyncio.gather(*(post(session, url, body) for _ in range(10)))

        await in_turns(ROUNDS // 5, (floor, ten_posts), (ours, fire))
    return Figure("ten webhooks at one point, p50", median(ours), median(floor), "µs", 1.5, note="ten concurrent POSTs")


async def nothing() -> Figure:
    ours: list[float] = []
    with tempfile.TemporaryDirectory() as home:
        async with Hooks.load(home=home, environ={}) as hooks:
            for _ in range(20 * ROUNDS):
                await timed(ours, lambda: hooks.fire("pre_tool", tool_name="bash", tool_args=ARGS, call_id="call_1"))
    return Figure("a point with nothing configured, p50", median(ours), None, "µs", 5.0)


@contextmanager
def home_of(url: str, count: int, trigger: str, more: str = "") -> Iterator[str]:
    with tempfile.TemporaryDirectory() as home:
        entries = (f'[[webhooks]]\nname = "w{i}"\ntrigger = "{trigger}"\nurl = "{url}"\n{more}' for i in range(count))
        Path(home, "hooks.toml").write_text("".join(entries), encoding="utf-8")
        yield home


@asynccontextmanager
async def hooks_of(url: str, count: int, trigger: str) -> AsyncIterator[Hooks]:
    with home_of(url, count, trigger) as home:
        async with Hooks.load(home=home, environ={}) as hooks:
            yield hooks


def body_of_one(hooks: Hooks) -> bytes:
    """The bytes that the first webhook sends, so that the floor sends as many."""
    from hookyard.core.clock import SystemClock
    from hookyard.hooks.payload import HookEvent, body_of
    from hookyard.hooks.points import Point

    webhook = hooks.configuration.webhooks[0]
    point = next(iter(webhook.points))
    own = {"call_id": "call_1"} if point is Point.PRE_TOOL else {"tokens_used": 1200, "edited_files": ["a.py"]}
    occasion = HookEvent(point, SystemClock().now(), "ses_1", "/w", 3, "bash", ARGS, own=own)
    return json.dumps(body_of(webhook, occasion)).encode()


async def post(session: aiohttp.ClientSession, url: str, body: bytes) -> bytes:
    async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
        return await response.read()


if __name__ == "__main__":
    for figure in asyncio.run(measure()):
        print(figure, figure.ratio)
