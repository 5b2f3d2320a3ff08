"""The outbox alone: what a put takes, deliveries in and out a second. What an agent feels is in `hooks_background`.

The floor of sending is a bare aiohttp loop that posts the same bodies to the same receiver, one after the other.
The receiver is a process of its own: a bare asyncio protocol, so that it costs as little as it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp

from benchmarks.figure import Figure
from hookyard.core.clock import SystemClock
from hookyard.core.ids import Ids
from hookyard.hooks.delivery.delivery_log import Attempt, Delivery, DeliveryState
from hookyard.hooks.outbox.models import NewDelivery, QueuedDelivery, SendResult
from hookyard.hooks.outbox.outbox import Outbox

BODY = '{"hook_name":"audit","event":"pre_tool_execution","pad":"' + "x" * 1900 + '"}'
COUNT = 6000

RECEIVER = """
import asyncio
class Receiver(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""
    def data_received(self, data):
        self.buffer += data
        while (end := self.buffer.find(b"\\r\\n\\r\\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15:].split(b"\\r\\n")[0])
            if len(self.buffer) < end + 4 + size:
                return
            self.buffer = self.buffer[end + 4 + size:]
            self.transport.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n{}")
async def main():
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def receiver() -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", RECEIVER, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{(await process.stdout.readline()).strip().decode()}/"
    finally:
        process.kill()
        await process.wait()


def owed(delivery_id: str) -> NewDelivery:
    made = Delivery(delivery_id, "audit", "pre_tool_execution", "hookyard", "https://x.example/", BODY, time.time())
    return NewDelivery(made, "hooks.toml")


async def posted(session: aiohttp.ClientSession, url: str, body: bytes, delivery_id: str) -> int:
    async with session.post(url, data=body, headers={"webhook-id": delivery_id}) as response:
        await response.read()
        return response.status


async def measured(directory: Path, url: str) -> list[Figure]:
    ids = Ids()
    async with aiohttp.ClientSession() as session:

        async def send(parcel: QueuedDelivery) -> SendResult:
            made = parcel.delivery
            status = await posted(session, url, made.request.encode(), made.id)
            attempts = (*made.attempts, Attempt(len(made.attempts) + 1, time.time(), 1.0, status))
            return SendResult(replace(made, attempts=attempts, state=DeliveryState.DELIVERED))

        outbox = Outbox(directory / "outbox.db", clock=SystemClock(), ids=ids, send=send, warn=print)
        await outbox.put(owed(ids.delivery()))
        waits = []
        for _ in range(2000):
            started = time.perf_counter()
            await outbox.put(owed(ids.delivery()))
            waits.append(time.perf_counter() - started)
        started = time.perf_counter()
        for chunk in range(COUNT // 100):
            await asyncio.gather(*(outbox.put(owed(f"dlv_{chunk}_{number}")) for number in range(100)))
        into = COUNT / (time.perf_counter() - started)
        owing = await outbox.left()
        started = time.perf_counter()
        assert await outbox.drain(120) == 0
        out = owing / (time.perf_counter() - started)
        floor = await bare(session, url)
        outbox.close()
    return [
        Figure("Outbox: what an agent waits for a put, p50", statistics.median(waits) * 1e3, None, "ms", 1.0),
        Figure("Outbox: what an agent waits for a put, p99", sorted(waits)[-20] * 1e3, None, "ms"),
        Figure("Outbox: deliveries in", into, None, "deliveries/s", 3000, higher_is_better=True),
        Figure("Outbox: deliveries out to one receiver", out, None, "deliveries/s", 1500, higher_is_better=True),
        Figure(
            "Outbox: the same compared with a bare loop of POSTs",
            out,
            floor,
            "deliveries/s",
            note="aiohttp, one at a time",
        ),
    ]


async def bare(session: aiohttp.ClientSession, url: str) -> float:
    body = BODY.encode()
    started = time.perf_counter()
    for number in range(COUNT):
        await posted(session, url, body, f"dlv_{number}")
    return COUNT / (time.perf_counter() - started)


async def measure() -> list[Figure]:
    """Every figure of the outbox."""
    with tempfile.TemporaryDirectory() as directory:
        async with receiver() as url:
            return await measured(Path(directory), url)
