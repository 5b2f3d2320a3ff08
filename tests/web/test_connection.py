"""A connection whose responses go out in one piece."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from hookyard.web.connection import Connection, Gathered
from tests.web.conftest import QuietServer


class Recorder:
    """Stands for the transport: remembers each write."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def gathered(recorder: Recorder) -> Gathered:
    return Gathered(cast("asyncio.Transport", recorder), asyncio.get_running_loop())


async def test_parts_of_a_turn_are_written_at_once() -> None:
    recorder = Recorder()
    transport = gathered(recorder)
    transport.write(b"head ")
    transport.write(b"body")
    assert recorder.written == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert recorder.written == [b"head body"]
    transport.write(b"next")
    transport.flush()
    assert recorder.written == [b"head body", b"next"]


async def test_what_is_large_does_not_wait() -> None:
    recorder = Recorder()
    transport = gathered(recorder)
    transport.write(b"head ")
    transport.write(bytes(100_000))
    assert [len(data) for data in recorder.written] == [100_005]


async def test_closing_writes_first_and_a_client_that_went_away_gets_nothing() -> None:
    recorder = Recorder()
    transport = gathered(recorder)
    transport.write(b"last")
    transport.close()
    transport.write(b"too late")
    transport.flush()
    assert recorder.written == [b"last"]
    assert transport.is_closing()


async def _echo(request: Request) -> Response:
    return PlainTextResponse(await request.body())


async def _stream(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        await released.wait()
        yield b"second"

    released: asyncio.Event = request.app.state.released
    return StreamingResponse(parts())


@asynccontextmanager
async def _served() -> AsyncIterator[tuple[Starlette, asyncio.StreamReader, asyncio.StreamWriter]]:
    app = Starlette(routes=[Route("/echo", _echo, methods=["POST", "GET", "HEAD"]), Route("/stream", _stream)])
    app.state.released = asyncio.Event()
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http=Connection, log_config=None, lifespan="off")
    server = QuietServer(config)
    serving = asyncio.create_task(server.serve())
    try:
        await server.ready.wait()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
        yield app, reader, writer
        writer.close()
        await writer.wait_closed()
    finally:
        server.should_exit = True
        await serving


async def test_one_connection_serves_request_after_request() -> None:
    async with _served() as (_, reader, writer):
        for body in (b"one", b"", b"three" * 50_000):
            writer.write(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert await reader.readexactly(len(body)) == body
        writer.write(b"HEAD /echo HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"GET /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert b"connection: close" in await reader.read()


async def test_requests_sent_together_are_answered_in_their_order() -> None:
    async with _served() as (_, reader, writer):
        writer.write(b"".join(b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n%d" % n for n in range(5)))
        for number in range(5):
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(1) == b"%d" % number


async def test_a_stream_does_not_wait_for_its_end() -> None:
    async with _served() as (app, reader, writer):
        writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"first" in await reader.readuntil(b"first\r\n")
        app.state.released.set()
        assert b"second" in await reader.readuntil(b"0\r\n\r\n")
