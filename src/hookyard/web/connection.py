"""A client's connection, as uvicorn serves it, but with each response in one piece.

Given to uvicorn by `cli.serve`. uvicorn writes the head and the body of a response apart. Each write is a system call
and a packet, which together cost as much as storing an event does, and the client is woken twice.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from hookyard.web.body_limit import announced
from hookyard.web.ingest import Ingest, workspace_of

_MOST_BYTES = 64 * 1024
"""What is gathered at most: more goes on its way, where its receiver's pace is noticed."""


class Gathered:
    """A transport whose writes wait for the end of the response, or of the loop's turn.

    Args:
        transport: What they go to then.
        loop: The transport's.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Take a part of a response."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _MOST_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered, unless the client has gone away meanwhile."""
        if self._parts:
            data = b"".join(self._parts)
            self._parts, self._size = [], 0
            if not self._transport.is_closing():
                self._transport.write(data)

    def close(self) -> None:
        """Write what was gathered, and close."""
        self.flush()
        self._transport.close()


class _Heedless:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Nobody waits."""


class _Exchange:
    """One request of the ingest door and its response, in the place of uvicorn's `RequestResponseCycle`.

    Attributes:
        workspace: As the address names it.
        headers: Of the request.
        body: As far as it is here.
        more_body: There may be more.
        keep_alive: The connection serves another request afterwards.
        disconnected: The client is gone.
        response_complete: It is answered.
        message_event: What uvicorn calls when any of that has changed.
    """

    __slots__ = ("body", "disconnected", "headers", "keep_alive", "more_body", "response_complete", "workspace")

    message_event = _Heedless()

    def __init__(self, workspace: str, headers: list[tuple[bytes, bytes]], *, keep_alive: bool) -> None:
        self.workspace = workspace
        self.headers = headers
        self.body = b""
        self.more_body = True
        self.keep_alive = keep_alive
        self.disconnected = False
        self.response_complete = False


class Connection(HttpToolsProtocol):
    """The protocol of a connection.

    Small requests of the ingest door are answered here, without ASGI between: what that makes and passes on for each
    request costs a third of what accepting an event does. Whatever is in any way unusual goes the ordinary way, to the
    same door.
    """

    def __init__(self, config: Config, *args: Any, **options: Any) -> None:
        super().__init__(config, *args, **options)
        app = config.app
        self._ingest = app if isinstance(app, Ingest) and config.limit_concurrency is None else None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        self._gathered = Gathered(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", self._gathered))

    def on_headers_complete(self) -> None:
        """A request's head is here."""
        workspace = None if self._ingest is None else self._small_event()
        if workspace is None:
            super().on_headers_complete()
        else:
            exchange = _Exchange(workspace, self.headers, keep_alive=self.parser.should_keep_alive())
            self.cycle = cast("RequestResponseCycle", exchange)

    def on_message_complete(self) -> None:
        """A whole request is here."""
        super().on_message_complete()
        exchange: object = self.cycle
        if type(exchange) is _Exchange:
            task = self.loop.create_task(self._answer(exchange))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def on_response_complete(self) -> None:
        """A response has been written as a whole."""
        self._gathered.flush()
        super().on_response_complete()

    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn's types forget that there is none at first
        return cycle is not None and not cycle.response_complete

    def _small_event(self) -> str | None:
        """The workspace of a request that brings a small event, and nothing out of the ordinary; None for others."""
        parser = self.parser
        if (
            parser.get_method() != b"POST"
            or self.expect_100_continue
            or parser.should_upgrade()
            or parser.get_http_version() != "1.1"
            or self._is_answering()
        ):
            return None
        if b"%" in self.url or (workspace := workspace_of(self.url.decode("latin-1"))) is None:
            return None
        return workspace if 0 < announced(self.headers) <= HIGH_WATER_LIMIT else None

    async def _answer(self, exchange: _Exchange) -> None:
        assert self._ingest is not None
        try:
            status, headers, body = await self._ingest.answer(exchange.workspace, exchange.headers, exchange.body)
            if self.flow.write_paused:
                await self.flow.drain()
        except BaseException:  # the server is being ended: nobody may wait for this answer
            self.transport.close()
            raise
        exchange.response_complete = True
        if exchange.disconnected or self.transport.is_closing():
            return
        parts = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            parts += (name, b": ", value, b"\r\n")
        parts += (b"\r\n" if exchange.keep_alive else b"connection: close\r\n\r\n", body)
        self.transport.write(b"".join(parts))
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()
