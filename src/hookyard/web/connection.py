"""A client's connection, as uvicorn serves it, but with each response in one piece.

Given to uvicorn by `cli.serve`. uvicorn writes the head and the body of a response apart. Each write is a system call
and a packet, which together cost as much as storing an event does, and the client is woken twice.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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


class Connection(HttpToolsProtocol):
    """The protocol of a connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        self._gathered = Gathered(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", self._gathered))

    def on_response_complete(self) -> None:
        """A response has been written as a whole."""
        self._gathered.flush()
        super().on_response_complete()
