"""Accepting events over HTTP: `hookyard serve` beside the floor, the least that could keep the promise.

Ours is the server as users start it, with tokens and all (but no worker). The floor answers the same POST after
parsing its JSON and committing it as one row to SQLite, all waiting rows in one transaction, synced to the disk like
ours. Each runs in a process of its own under uvicorn (uvloop, httptools); 32 connections each send the next event when
the last is answered. The two take turns, and the round with the median ratio counts: whatever else the machine does
mostly slows down both turns of a round.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import queue
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import cast

import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.figure import Figure

CONNECTIONS = 32
TURN_SECONDS = 1.5
ROUNDS = 5
_EVENT = (
    '{"eventName": "task.updated", "taskId": "task-NUMBER", "taskDBId": "a1b2c3d4-0000-4000-8000-NUMBER",'
    ' "taskType": "task", "taskTitle": "修复登录Bug NUMBER", "taskStatus": "todo", "updatedBy": "王五",'
    ' "changes": "{\\"status\\":\\"todo\\"}"}'
).encode()
TOKEN = "benchmark-" + secrets.token_hex(12)


async def measure() -> list[Figure]:
    """All figures of accepting."""
    note = "floor: Starlette + json + one row, SQLite group commit, synced"
    figures = []
    with tempfile.TemporaryDirectory() as directory:
        async with _server("floor", 0, Path(directory)) as floor:
            for kind, callbacks, what, bound in (
                ("none", 1, "1 callback, not matching", 0.6),
                ("none", 100, "100 callbacks, none matching", 0.6),
                ("engine", 100, "100 callbacks, none matching, each condition in the engine", None),
            ):
                async with _server(kind, callbacks, Path(directory)) as ours:
                    rates = await _in_turns(floor, ours)
                name = f"accept, {CONNECTIONS} connections, {what}"
                figures.append(Figure(name, rates[1].rate, rates[0].rate, "events/s", bound, True, note))
        async with _server("one", 1, Path(directory)) as single, _server("one", 1000, Path(directory)) as many:
            turns = await _in_turns(single, many)
        figures.append(
            Figure(
                "CPU of an event, 1,000 callbacks of which one matches",
                turns[1].cpu_us,
                turns[0].cpu_us,
                "µs",
                2.0,
                note="floor: the same with that one callback alone; evaluators included",
            )
        )
    return figures


# -- the load --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn gave."""

    rate: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Server:
    """A running server.

    Attributes:
        pid: Its process; its children's CPU counts too.
        port: On loopback.
        path: Where events are posted.
    """

    pid: int
    port: int
    path: str


async def _in_turns(*servers: Server) -> list[Turn]:
    """The turns of the round whose ratio is the median one."""
    counter = iter(range(sys.maxsize))
    for server in servers:
        await _load(server, counter, 0.5)
    rounds = []
    for _ in range(ROUNDS):
        turns = []
        for server in servers:
            before = _cpu_seconds(server.pid)
            started = time.perf_counter()
            answered = await _load(server, counter, TURN_SECONDS)
            took = time.perf_counter() - started
            turns.append(Turn(answered / took, (_cpu_seconds(server.pid) - before) / answered * 1e6))
        rounds.append(turns)
    return sorted(rounds, key=lambda turns: turns[-1].rate / turns[0].rate)[ROUNDS // 2]


class _Client(asyncio.Protocol):
    """One keep-alive connection that sends the next event as soon as the last is answered."""

    def __init__(self, path: str, counter: Iterator[int], until: float, done: asyncio.Future[int]) -> None:
        self._head = (
            f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n"
        )
        self._counter = counter
        self._until = until
        self._done = done
        self._answered = 0
        self._left = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclasses of asyncio's
        self._send()

    def _send(self) -> None:
        number = next(self._counter)
        body = _EVENT.replace(b"NUMBER", b"%012d" % number)
        head = f"{self._head}content-length: {len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)

    def data_received(self, data: bytes) -> None:
        data = self._left + data
        head, found, body = data.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]) if found else 0
        if not found or len(body) < length:
            self._left = data
            return
        self._left = b""
        if not head.startswith(b"HTTP/1.1 202"):
            self._done.set_exception(RuntimeError(data.decode()))
            self._transport.close()
            return
        self._answered += 1
        if time.perf_counter() < self._until:
            self._send()
        else:
            self._done.set_result(self._answered)
            self._transport.close()


async def _load(server: Server, counter: Iterator[int], seconds: float) -> int:
    """Events answered in that time. In a loop of its own, since a slow client would slow both sides alike."""
    return await asyncio.to_thread(uvloop.run, _connections(server, counter, seconds))


async def _connections(server: Server, counter: Iterator[int], seconds: float) -> int:
    loop = asyncio.get_running_loop()
    until = time.perf_counter() + seconds
    done: list[asyncio.Future[int]] = [loop.create_future() for _ in range(CONNECTIONS)]
    for future in done:
        await loop.create_connection(partial(_Client, server.path, counter, until, future), "127.0.0.1", server.port)
    return sum(await asyncio.gather(*done))


def _cpu_seconds(pid: int) -> float:
    """CPU of a process and its living children."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(stat.parent.name) == pid or int(fields[1]) == pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def _server(kind: str, callbacks: int, directory: Path) -> AsyncIterator[Server]:
    """A server in a process of its own."""
    home = directory / f"{kind}{callbacks}"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HOOKYARD_")}
    environment |= {"HOOKYARD_HOME": str(home), "HOOKYARD_ADMIN_TOKEN": TOKEN}
    environment["HOOKYARD_EVENT_CALLBACK_MAX_BACKLOG"] = "10000000"
    command = [sys.executable, "-m", "hookyard.cli", "serve", "--port", "0", "--data", str(home), "--no-worker"]
    if kind == "floor":
        command = [sys.executable, "-m", "benchmarks.accept", str(home / "floor.db")]
    start = partial(subprocess.Popen[str], command, stdout=subprocess.PIPE, text=True, env=environment)
    process = await asyncio.to_thread(start)
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        port = int(line.split()[-1].rpartition(":")[2])
        path = "/events" if kind == "floor" else await asyncio.to_thread(_prepare, port, kind, callbacks)
        yield Server(process.pid, port, path)
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 20)


def _prepare(port: int, kind: str, callbacks: int) -> str:
    """A workspace with callbacks; the path of its events."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def post(path: str, content: object) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        connection.request("POST", f"/api/v1/workspaces{path}", json.dumps(content), headers)
        response = connection.getresponse()
        answer: dict[str, str] = json.loads(response.read())
        if response.status != HTTPStatus.CREATED:
            raise RuntimeError(f"{path}: {answer}")
        return answer

    workspace = post("", {"name": "Benchmark"})["id"]
    for number in range(callbacks):
        wanted = "todo" if kind == "one" and number == callbacks // 2 else f"blocked-{number}"
        condition = f"ctx.taskStatus === '{wanted}'"
        if kind == "engine":
            condition = f"ctx.taskTitle.includes('{wanted}')"
        spec = {"name": str(number), "events": ["task.updated"], "prompt": "{{taskTitle}}", "condition": condition}
        post(f"/{workspace}/callbacks", spec)
    connection.close()
    return f"/api/v1/workspaces/{workspace}/events"


# -- the floor -----------------------------------------------------------------------------------------------------


def _floor_app(path: str) -> Starlette:
    waiting: queue.SimpleQueue[tuple[str, asyncio.AbstractEventLoop, asyncio.Future[int]]] = queue.SimpleQueue()

    def settle(futures: list[asyncio.Future[int]]) -> None:
        for future in futures:
            future.set_result(1)

    def write() -> None:
        conn = sqlite3.connect(path, isolation_level=None)
        conn.execute("PRAGMA journal_mode = WAL")
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("CREATE TABLE events (id INTEGER PRIMARY KEY, body TEXT)")
        while True:
            group = [waiting.get()]
            while not waiting.empty():
                group.append(waiting.get_nowait())
            conn.execute("BEGIN IMMEDIATE")
            conn.executemany("INSERT INTO events (body) VALUES (?)", [(body,) for body, _, _ in group])
            conn.execute("COMMIT")
            loop = group[0][1]
            loop.call_soon_threadsafe(settle, [future for _, _, future in group])

    threading.Thread(target=write, daemon=True).start()

    async def receive(request: Request) -> Response:
        event = json.loads(await request.body())
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        waiting.put((json.dumps(event), loop, future))
        await future
        return Response(b'{"id":"x","runs":[]}', 202, media_type="application/json")

    return Starlette(routes=[Route("/events", receive, methods=["POST"])])


async def _serve_floor(path: str) -> None:
    import uvicorn

    config = uvicorn.Config(
        _floor_app(path), host="127.0.0.1", port=0, log_level="warning", access_log=False, http="httptools"
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving


if __name__ == "__main__":
    uvloop.run(_serve_floor(sys.argv[1]))
