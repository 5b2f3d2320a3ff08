"""A connection whose responses go out in one piece."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import cast

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from hookyard.web.connection import BufferedTransport, Connection, ConnectionLimits, default_limits
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


def buffered(recorder: Recorder) -> BufferedTransport:
    return BufferedTransport(cast("asyncio.Transport", recorder), asyncio.get_running_loop())


async def test_parts_of_a_turn_are_written_at_once() -> None:
    recorder = Recorder()
    transport = buffered(recorder)
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
    transport = buffered(recorder)
    transport.write(b"head ")
    transport.write(bytes(100_000))
    assert [len(data) for data in recorder.written] == [100_005]


async def test_closing_writes_first_and_a_client_that_went_away_gets_nothing() -> None:
    recorder = Recorder()
    transport = buffered(recorder)
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


async def _connect(port: int, stack: AsyncExitStack) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def close() -> None:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    stack.push_async_callback(close)
    return reader, writer


@asynccontextmanager
async def _served(
    limits: ConnectionLimits | None = None,
) -> AsyncIterator[tuple[Starlette, asyncio.StreamReader, asyncio.StreamWriter]]:
    app = Starlette(routes=[Route("/echo", _echo, methods=["POST", "GET", "HEAD"]), Route("/stream", _stream)])
    app.state.released = asyncio.Event()
    protocol = Connection.limited(limits or ConnectionLimits())
    config = uvicorn.Config(app, host="127.0.0.1", port=0, http=protocol, log_config=None, lifespan="off")
    server = QuietServer(config)
    serving = asyncio.create_task(server.serve())
    try:
        await server.ready.wait()
        port = server.servers[0].sockets[0].getsockname()[1]
        async with AsyncExitStack() as stack:
            app.state.connect = lambda: _connect(port, stack)
            reader, writer = await app.state.connect()
            yield app, reader, writer
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


async def _response(reader: asyncio.StreamReader) -> bytes:
    """Return everything up to the end of the connection."""
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:  # the server closed while bytes of ours were under way
        return b""


_ECHO = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("head", "unit"),
    [
        (b"GET /echo HTTP/1.1\r\nhost: x\r\n", b"x-filler: " + b"a" * 1000 + b"\r\n"),
        (b"GET /echo HTTP/1.1\r\nhost: x\r\nx-endless: ", b"a" * 1000),
        (b"GET /", b"a" * 1000),
        (b"GET /echo HTTP/1.1\r\nhost: x\r\nx-", b"a" * 1000),
        (_ECHO + b"GET /", b"a" * 1000),
        (b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"t: " + b"a" * 900 + b"\r\n"),
    ],
    ids=["many headers", "one value", "the url", "one name", "a pipelined head", "trailers"],
)
async def test_a_head_without_end_is_answered_and_closed(head: bytes, unit: bytes) -> None:
    async with _served(ConnectionLimits(head_bytes=8000)) as (_, reader, writer):
        answer = asyncio.create_task(_response(reader))
        writer.write(head)
        sent = 0
        with suppress(ConnectionError):
            while not answer.done() and sent < 4_000_000:
                writer.write(unit)
                sent += len(unit)
                await writer.drain()
                await asyncio.sleep(0)
        text = await answer
        assert sent < 4_000_000
        if text:  # not reset meanwhile
            assert b"HTTP/1.1 431 " in text
            assert b"application/problem+json" in text


async def test_a_whole_head_above_the_limit_is_answered() -> None:
    async with _served(ConnectionLimits(head_bytes=8000)) as (_, reader, writer):
        writer.write(b"GET /echo HTTP/1.1\r\nhost: x\r\nx-large: " + b"a" * 8000 + b"\r\n\r\n")
        assert (await _response(reader)).startswith(b"HTTP/1.1 431 ")


async def test_a_body_is_not_counted_as_a_head() -> None:
    async with _served(ConnectionLimits(head_bytes=8000, head_seconds=0.5)) as (_, reader, writer):
        writer.write(b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 100000\r\n\r\n")
        for _ in range(10):
            await asyncio.sleep(0.1)  # as a slow sender does: longer than a head may take
            writer.write(b"b" * 10_000)
        assert (await _response(reader)).endswith(b"b" * 100_000)


async def test_a_head_that_does_not_arrive_in_time_is_answered_and_closed() -> None:
    async with _served(ConnectionLimits(head_seconds=0.3)) as (app, reader, writer):
        silent, _ = await app.state.connect()
        writer.write(b"GET /echo HTTP/1.1\r\nhost: x")
        assert (await _response(reader)).startswith(b"HTTP/1.1 408 ")
        assert await _response(silent) == b""


async def test_a_second_head_that_trickles_is_bounded_too() -> None:
    async with _served(ConnectionLimits(head_seconds=0.3)) as (_, reader, writer):
        writer.write(_ECHO)
        await reader.readuntil(b"\r\n\r\nok")
        trickle = asyncio.create_task(_trickle(writer))
        assert (await _response(reader)).startswith(b"HTTP/1.1 408 ")
        trickle.cancel()


async def _trickle(writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /")
    with suppress(ConnectionError):
        while True:
            writer.write(b"a")
            await writer.drain()
            await asyncio.sleep(0.05)


async def test_blank_lines_do_not_keep_a_connection_open() -> None:
    async with _served(ConnectionLimits(head_seconds=0.3)) as (_, reader, writer):
        writer.write(_ECHO)
        await reader.readuntil(b"\r\n\r\nok")
        writer.write(b"\r\n")
        assert await _response(reader) == b""


async def test_a_streamed_response_may_take_longer_than_a_head() -> None:
    async with _served(ConnectionLimits(head_seconds=0.2, connections=2)) as (app, reader, writer):
        writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b"first" in await reader.readuntil(b"first\r\n")
        for _ in range(3):  # above the limit the idle connections go, not the one with a request under way
            await app.state.connect()
        await asyncio.sleep(0.5)
        app.state.released.set()
        assert b"second" in await reader.readuntil(b"0\r\n\r\n")


async def test_idle_connections_above_the_limit_make_way_for_new_ones() -> None:
    async with _served(ConnectionLimits(connections=10)) as (app, first, _):
        for _ in range(30):
            await app.state.connect()
        reader, writer = await app.state.connect()
        writer.write(_ECHO)
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\nok"), 20)
        assert await _response(first) == b""


async def test_with_every_connection_at_work_a_new_one_is_answered_503() -> None:
    async with _served(ConnectionLimits(connections=2)) as (app, reader, writer):
        writer.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        await reader.readuntil(b"first\r\n")
        second, other = await app.state.connect()
        other.write(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
        await second.readuntil(b"first\r\n")
        third, _ = await app.state.connect()
        answer = await _response(third)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 2\r\n" in answer
        app.state.released.set()


def test_the_default_limit_leaves_descriptors_for_the_server() -> None:
    limits = default_limits()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == resource.RLIM_INFINITY or limits.connections <= max(16, soft - 256)
