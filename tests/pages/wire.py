"""A TCP relay between a browser and a server, whose connections a test can cut or freeze."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from tests.pages.environment import PagesEnvironment


class _Connection:
    """One connection and whether bytes move over it.

    Args:
        writers: Those of both sides.
    """

    def __init__(self, *writers: asyncio.StreamWriter) -> None:
        self.writers = writers
        self.streams = False  # its last request was for the stream
        self.moves = asyncio.Event()
        self.moves.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy one direction until its end."""
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if data.startswith((b"GET ", b"POST ")):
                    self.streams = data.startswith(b"GET /live?")
                await self.moves.wait()
                writer.write(data)
                await writer.drain()
            writer.write_eof()

    def abort(self) -> None:
        """Reset both sides."""
        self.moves.set()
        for writer in self.writers:
            writer.transport.abort()


class Wire:
    """The relay.

    Args:
        port: Where the server listens.

    Attributes:
        url: The address to open in the browser.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: set[_Connection] = set()
        self._refuses = False
        self._server: asyncio.Server
        self.url = ""

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def cut(self) -> None:
        """Reset every connection and refuse new ones, as when the server has died."""
        self._refuses = True
        self._reset()

    async def freeze(self) -> None:
        """Carry nothing more over the streams that are open, and close none; other connections work."""
        frozen = [one for one in self._open if one.streams]
        assert frozen
        for one in frozen:
            one.moves.clear()

    async def heal(self) -> None:
        """Accept connections again."""
        self._refuses = False

    async def close(self) -> None:
        """End the relay."""
        self._refuses = True
        self._server.close()
        self._reset()

    def _reset(self) -> None:
        for one in self._open:
            one.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        mine = _Connection(writer, far_writer)
        self._open.add(mine)
        try:
            await asyncio.gather(mine.carry(reader, far_writer), mine.carry(far_reader, writer))
        finally:
            self._open.discard(mine)
            mine.abort()


@contextmanager
def wire(server: PagesEnvironment) -> Iterator[Wire]:
    """Open a relay to a server, in the server's loop."""
    port = urlsplit(server.url).port
    assert port
    made = Wire(port)
    server.call(made.open())
    try:
        yield made
    finally:
        server.call(made.close())
