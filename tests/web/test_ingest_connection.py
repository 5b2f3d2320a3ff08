"""Events over raw connections: keep-alive, pipelining, chunked bodies, unusual heads, senders that go away."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn
from sqlalchemy import Connection as Transaction
from sqlalchemy import func, select

from hookyard.store import schema
from hookyard.web.connection import Connection
from hookyard.web.ingest import Ingest, IngestResponse
from tests.web.conftest import Client, QuietServer, Server

PATH = "/api/v1/workspaces/w/events"


def event(number: int = 0, **more: object) -> bytes:
    """A task's event; each number gives another."""
    return json.dumps(
        {
            "eventName": "task.created",
            "taskId": "1",
            "taskDBId": "id-1",
            "taskType": "task",
            "taskTitle": f"Title {number}",
            "taskStatus": "todo",
            "createdBy": "李四",
            **more,
        }
    ).encode()


def request(caller: Client, body: bytes, *, path: str = PATH, chunked: bool = False, more: bytes = b"") -> bytes:
    """A whole request."""
    token = b"" if caller.token is None else b"authorization: Bearer " + caller.token.encode() + b"\r\n"
    head = b"POST " + path.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" + token + more
    if chunked:
        chunks = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return head + b"transfer-encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


class RawConnection:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next response."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:-2])
        return int(head[0].split()[1]), headers, await self.reader.readexactly(int(headers.get("content-length", 0)))


@contextlib.asynccontextmanager
async def line(server: Server) -> AsyncIterator[RawConnection]:
    """A connection to the server."""
    address = urlsplit(server.admin.address)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def stored(server: Server) -> int:
    """How many events of tasks there are."""
    table = schema.events
    query = select(func.count()).where(table.c.workspace_id == "w", table.c.name == "task.created")
    return await server.services.database.read(lambda conn: conn.execute(query).scalar_one())


async def test_chunked_and_plain_bodies_are_answered_alike(server: Server) -> None:
    cases = (
        (server.ingest, event(1), PATH),
        (server.ingest, event(1), PATH),  # a duplicate now
        (server.ingest, event(2, taskStatus=7), PATH),
        (server.ingest, b"{", PATH),
        (server.ingest, b"", PATH),
        (server.ingest, event(3), "/api/v1/workspaces/unknown/events"),
        (server.stranger, event(3), PATH),
        (server.nobody, event(3), PATH),
        (server.client("wrong"), event(3), PATH),
    )
    async with line(server) as raw:
        for number, (caller, body, path) in enumerate(cases):
            seen = []
            for chunked in (False, True):
                text = body.replace(b"Title 1", b"Title 1 chunked") if chunked and number < 2 else body
                raw.writer.write(request(caller, text, path=path, chunked=chunked))
                status, headers, answer = await raw.answer()
                shown = json.loads(answer)
                for name in ("id", "duplicateOf"):
                    if name in shown:
                        shown[name] = "evt_"
                headers["date"] = ""
                seen.append((status, headers, shown))
            assert seen[0] == seen[1], number
            assert seen[0][0] == (202, 200, 422, 422, 422, 404, 404, 401, 401)[number]
    assert await stored(server) == 2


async def test_requests_of_all_kinds_sent_together_are_answered_in_their_order(server: Server) -> None:
    health = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    async with line(server) as raw:
        raw.writer.write(
            request(server.ingest, event(1))
            + request(server.ingest, event(2), chunked=True)
            + health
            + request(server.ingest, b"nothing")
            + request(server.ingest, event(3))
            + health
            + request(server.ingest, event(3))
        )
        answers = [await raw.answer() for _ in range(7)]
    assert [status for status, _, _ in answers] == [202, 202, 200, 422, 202, 200, 200]
    assert json.loads(answers[6][2])["duplicateOf"] == json.loads(answers[4][2])["id"]


async def test_a_request_in_many_pieces(server: Server) -> None:
    whole = request(server.ingest, event())
    async with line(server) as raw:
        for index in range(0, len(whole), 7):
            raw.writer.write(whole[index : index + 7])
            await raw.writer.drain()
            await asyncio.sleep(0)
        assert (await raw.answer())[0] == 202


async def test_whatever_is_unusual_is_served_too(server: Server) -> None:
    async with line(server) as raw:
        raw.writer.write(request(server.ingest, event(1, taskTitle="x" * 200_000)))
        assert (await raw.answer())[0] == 202
        raw.writer.write(request(server.ingest, b"x" * (1024 * 1024 + 1)))
        assert (await raw.answer())[0] == 413
    async with line(server) as raw:
        head = request(server.ingest, b"", more=b"expect: 100-continue\r\n").replace(b"length: 0", b"length: 99999999")
        raw.writer.write(head)
        assert (await raw.answer())[0] == 413  # at once, and nobody asked for the body
    async with line(server) as raw:
        raw.writer.write(request(server.ingest, event(2), path="/api/v1/workspaces/%77/events"))
        assert (await raw.answer())[0] == 202
        body = event(3)
        head = request(server.ingest, body, more=b"expect: 100-continue\r\n")[: -len(body)]
        raw.writer.write(head)
        assert (await raw.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        raw.writer.write(body)
        assert (await raw.answer())[0] == 202
        raw.writer.write(request(server.ingest, event(4), path=PATH + "?x=1"))
        assert (await raw.answer())[0] == 202
        raw.writer.write(request(server.ingest, event(5)).replace(b" HTTP/1.1", b" HTTP/1.0", 1))
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"]) == (202, "close")
        assert await raw.reader.read() == b""
    async with line(server) as raw:
        raw.writer.write(request(server.ingest, event(6), more=b"connection: close\r\n"))
        status, headers, _ = await raw.answer()
        assert (status, headers["connection"]) == (202, "close")
        assert await raw.reader.read() == b""
    async with line(server) as raw:
        raw.writer.write(b"POST " + PATH.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n")
        assert (await raw.reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 400 ")
    assert await stored(server) == 6


async def test_a_sender_that_goes_away_leaves_nothing_half(server: Server) -> None:
    whole = request(server.ingest, event(1))
    async with line(server) as raw:
        raw.writer.write(whole[:-10])
        await raw.writer.drain()
    async with line(server) as raw:
        raw.writer.write(whole[:40])
        await raw.writer.drain()
    assert (await server.ingest.post(PATH, json.loads(event(2)))).status == 202
    assert await stored(server) == 1


async def test_one_that_goes_away_while_its_event_is_stored(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    held, free, entered = threading.Event(), threading.Event(), asyncio.Event()
    real = server.services.accept.accept

    async def accept(*given: Any, **more: Any) -> Any:
        entered.set()
        return await real(*given, **more)

    def hold(_conn: Transaction) -> None:
        held.set()
        assert free.wait(30)

    monkeypatch.setattr(server.services.accept, "accept", accept)
    holding = asyncio.create_task(server.services.database.write(hold))
    await asyncio.to_thread(held.wait, 30)
    async with line(server) as raw:
        raw.writer.write(request(server.ingest, event(1)))
        await entered.wait()
    free.set()
    await holding
    assert (await server.ingest.post(PATH, json.loads(event(2)))).status == 202
    async with asyncio.timeout(60):
        while await stored(server) < 2:  # noqa: ASYNC110 - it is accepted, though nobody hears
            await asyncio.sleep(0.01)


async def test_a_fault_is_answered_and_told_to_nobody_but_the_log(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("s3cret detail")

    monkeypatch.setattr(server.services.accept, "accept", fail)
    async with line(server) as raw:
        raw.writer.write(request(server.ingest, event(1)))
        status, headers, body = await raw.answer()
        assert (status, headers["content-type"]) == (500, "application/problem+json")
        assert b"s3cret" not in body
        raw.writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await raw.answer())[0] == 200
    assert "s3cret" in caplog.text


class SlowIngest(Ingest):
    """Answers when it is let."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.free = asyncio.Event()

    async def answer(self, *_: object) -> IngestResponse:
        """202, in the end."""
        self.entered.set()
        await self.free.wait()
        return IngestResponse(202, [(b"content-length", b"2")], b"{}")


async def test_when_the_server_ends_the_request_under_way_is_answered() -> None:
    door = SlowIngest()
    server = QuietServer(
        uvicorn.Config(door, host="127.0.0.1", port=0, http=Connection, lifespan="off", log_config=None)
    )
    serving = asyncio.create_task(server.serve())
    await server.ready.wait()
    port = server.servers[0].sockets[0].getsockname()[1]
    raw, idle = [RawConnection(*await asyncio.open_connection("127.0.0.1", port)) for _ in range(2)]
    raw.writer.write(b"POST " + PATH.encode() + b" HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}")
    await door.entered.wait()
    server.should_exit = True
    assert await idle.reader.read() == b""
    door.free.set()
    status, headers, _ = await raw.answer()
    assert (status, headers["connection"]) == (202, "close")
    assert await raw.reader.read() == b""
    await serving
    assert not server.server_state.tasks
    for one in (raw, idle):
        one.writer.close()
