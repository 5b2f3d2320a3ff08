"""A real server in a process of its own: from an event's request to the first line of its agent, and what idleness
costs.

The agent is an HTTP endpoint of this process, so its first line is the moment at which its request arrives: the way
back from
the agent's process is in the figure too. The floor of the latency is a bare POST to the same endpoint.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from benchmarks.figure import Figure
from tests.e2e.server import TOKEN, ServerProcess

EVENTS = 200
WARM_UP = 20
IDLE_SECONDS = 10.0
PAUSE_SECONDS = 0.02


class Endpoint:
    """The agent: notes when it is asked about which event."""

    def __init__(self) -> None:
        self.first_line: dict[str, float] = {}
        self.arrived = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        now = time.perf_counter()
        body: dict[str, Any] = await request.json()
        self.first_line[body["prompt"]] = now
        self.arrived.set()
        return web.Response(text="done")

    async def wait_for(self, prompt: str) -> float:
        async with asyncio.timeout(10):
            while prompt not in self.first_line:
                self.arrived.clear()
                await self.arrived.wait()
        return self.first_line[prompt]


def event(title: str) -> dict[str, Any]:
    return {
        "eventName": "task.created",
        "taskId": f"task-{title}",  # the loop guard stops a 31st run an hour for one task
        "taskDBId": str(uuid.uuid4()),
        "taskType": "task",
        "taskTitle": title,
        "taskStatus": "todo",
        "createdBy": "李四",
    }


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of those that it has started (Linux)."""
    ticks = 0
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            fields = (directory / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(directory.name) == pid or int(fields[1]) == pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


async def bare_posts(session: aiohttp.ClientSession, url: str, endpoint: Endpoint) -> list[float]:
    taken = []
    for _ in range(EVENTS):
        prompt = uuid.uuid4().hex
        sent = time.perf_counter()
        async with session.post(url, json={"prompt": prompt, "run": "r", "event": event(prompt)}) as response:
            await response.read()
        taken.append((await endpoint.wait_for(prompt) - sent) * 1000)
        await asyncio.sleep(PAUSE_SECONDS)
    return taken


async def events_to_agents(session: aiohttp.ClientSession, server: ServerProcess, endpoint: Endpoint) -> list[float]:
    taken = []
    for number in range(WARM_UP + EVENTS):
        title = uuid.uuid4().hex
        sent = time.perf_counter()
        async with session.post(
            f"{server.url}/api/v1/workspaces/w/events", json=event(title), headers={"Authorization": f"Bearer {TOKEN}"}
        ) as response:
            assert response.status == 202, await response.text()
        first = await endpoint.wait_for(title)
        if number >= WARM_UP:
            taken.append((first - sent) * 1000)
        await asyncio.sleep(PAUSE_SECONDS)
    return taken


async def measure() -> list[Figure]:
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_post("/", endpoint.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data"
        data.mkdir()
        server = ServerProcess(data, {"HOOKYARD_ALLOW_PRIVATE_HOSTS": "127.0.0.1/32"})
        server.start()
        try:
            server.api("POST", "/workspaces", {"id": "w", "name": "W"})
            agent = {"kind": "http", "url": url, "authors": "anyone"}
            spec = {"name": "c", "events": ["task.created"], "condition": "ctx.taskStatus === 'todo'", "fence": "never"}
            server.api("POST", "/workspaces/w/callbacks", {**spec, "prompt": "{{taskTitle}}", "agent": agent})
            await asyncio.sleep(3)
            before = cpu_seconds(server.pid)
            await asyncio.sleep(IDLE_SECONDS)
            idle = (cpu_seconds(server.pid) - before) / IDLE_SECONDS * 100
            async with aiohttp.ClientSession() as session:
                floor = await bare_posts(session, url, endpoint)
                ours = await events_to_agents(session, server, endpoint)
        finally:
            server.stop()
            await runner.cleanup()
    note = "floor: one bare POST"
    return [
        Figure(
            "event to first line of the agent, p50", statistics.median(ours), None, "ms", 15.0, note="its own bound"
        ),
        Figure("event to first line of the agent, p99", statistics.quantiles(ours, n=100)[98], None, "ms", 100.0),
        Figure("event to first line of the agent", statistics.median(ours), statistics.median(floor), "ms", note=note),
        Figure("idle server, evaluators included", idle, None, "% of a core", 3.0),
    ]
