"""A client's connection: uvicorn's HTTP/1.1 protocol with gathered writes and bounded request heads.

`cli.serve` gives `Connection` to uvicorn. It adds two things at the transport's side and leaves parsing and the ASGI
cycle to uvicorn:

- uvicorn writes the head and the body of a response separately. Each write is a system call and a packet, which cost
  as much as storing an event, and the client wakes twice. `BufferedTransport` joins them.
- A request's head is bounded in bytes and time, and the number of connections is bounded, before any handler runs. An
  unauthenticated client could otherwise fill the memory or use up the file descriptors.
"""

from __future__ import annotations

import asyncio
import resource
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, cast
from weakref import WeakKeyDictionary

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from hookyard.web import problems

_MAX_BUFFERED_BYTES = 64 * 1024
"""A larger response is written at once, so that the receiver's pace is noticed."""

_RESERVED_DESCRIPTORS = 256
"""File descriptors kept for databases, webhooks, agents and files."""

_MOST_CONNECTIONS = 10_000


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Bounds of what a client may hold before its request is known.

    Attributes:
        head_bytes: Size of the request line and headers; trailers count as well.
        head_seconds: Time from the first byte of a head (or from the connection's start) to its end.
        connections: Open connections of the server; see `default_limits`.
    """

    head_bytes: int = 64 * 1024
    head_seconds: float = 10.0
    connections: int = _MOST_CONNECTIONS


def default_limits() -> ConnectionLimits:
    """Raise the soft limit of open files to the hard one and return limits that leave descriptors for the server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_CONNECTIONS + _RESERVED_DESCRIPTORS
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        soft = most
    available = wanted if soft == resource.RLIM_INFINITY else soft
    return ConnectionLimits(connections=max(16, min(_MOST_CONNECTIONS, available - _RESERVED_DESCRIPTORS)))


class BufferedTransport:
    """A transport whose writes wait for the end of the response, or of the event loop's current iteration.

    Args:
        transport: Where the joined writes go.
        loop: The transport's event loop.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Buffer a part of a response."""
        if not self._parts:
            self._loop.call_soon(self.flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _MAX_BUFFERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the buffer, unless the client has closed the connection."""
        if self._parts:
            data = b"".join(self._parts)
            self._parts, self._size = [], 0
            if not self._transport.is_closing():
                self._transport.write(data)

    def close(self) -> None:
        """Write the buffer and close the transport."""
        self.flush()
        self._transport.close()


# Connections whose next request head is not complete, longest waiting first, for each server of the process.
_WAITING: WeakKeyDictionary[ServerState, dict[Connection, None]] = WeakKeyDictionary()


class Connection(HttpToolsProtocol):
    """The protocol of one connection.

    Attributes:
        limits: Bounds for every connection of the class; see `limited`.
    """

    limits: ClassVar[ConnectionLimits] = ConnectionLimits()

    def __init__(self, config: Config, server_state: ServerState, *args: Any, **options: Any) -> None:
        super().__init__(config, server_state, *args, **options)
        self._waiting = _WAITING.setdefault(server_state, {})
        self._in_head = True
        self._head_started = False
        self._head_bytes = 0
        self._header_count = 0
        self._head_timer: asyncio.TimerHandle | None = None

    @classmethod
    def limited(cls, limits: ConnectionLimits) -> type[Connection]:
        """Return a protocol class with other limits."""
        return cast("type[Connection]", type(cls.__name__, (cls,), {"limits": limits}))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept a connection; above the limit, drop the one that has waited longest for its head, or answer 503."""
        self._buffer = BufferedTransport(transport, self.loop)
        super().connection_made(cast("asyncio.Transport", self._buffer))
        if len(self.connections) > self.limits.connections:
            oldest = next(iter(self._waiting), None)
            if oldest is None:
                self._reject(HTTPStatus.SERVICE_UNAVAILABLE, "the server has too many connections")
                return
            oldest.drop()
        self._waiting[self] = None
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._waiting.pop(self, None)
        self._stop_head_timer()
        super().connection_lost(exc)

    def drop(self) -> None:
        """Close a connection that has no complete request, without a response."""
        self._waiting.pop(self, None)
        self._stop_head_timer()
        self._buffer.close()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived; answer 431 when a head is still incomplete above its limit."""
        if self._buffer.is_closing():
            return
        super().data_received(data)
        if not self._in_head:
            if len(self.headers) > self._header_count:
                self._bound_trailers()
            return
        if self._head_started:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.head_bytes:
                self._reject_head()
                return
        # uvicorn ended its keep-alive timer when the data arrived, and would wait for the rest without a limit.
        if self._head_timer is None and not self._is_answering() and not self._buffer.is_closing():
            self._start_head_timer()

    def on_message_begin(self) -> None:
        """Start to count a request's head."""
        self._in_head = self._head_started = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop waiting: the request's head is complete."""
        self._in_head = self._head_started = False
        self._header_count = len(self.headers)
        self._waiting.pop(self, None)
        if self._head_timer is not None:
            self._stop_head_timer()
        if len(self.url) + sum([len(name) + len(value) for name, value in self.headers]) > self.limits.head_bytes:
            self._reject_head()
        else:
            super().on_headers_complete()

    def _bound_trailers(self) -> None:
        """Answer 431 when the headers that follow a chunked body exceed the limit of a head."""
        trailers = self.headers[self._header_count :]
        if sum(len(name) + len(value) for name, value in trailers) > self.limits.head_bytes:
            self._reject_head()

    def on_message_complete(self) -> None:
        """Prepare for another head on this connection."""
        super().on_message_complete()
        self._in_head = True

    def on_response_complete(self) -> None:
        """Write the whole response; the connection waits for its next request."""
        self._buffer.flush()
        super().on_response_complete()
        if self._in_head and not self._is_answering() and not self._buffer.is_closing():
            self._waiting[self] = None
            if self._head_started and self._head_timer is None:
                self._start_head_timer()

    def _start_head_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_seconds, self._on_head_timeout)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _on_head_timeout(self) -> None:
        self._head_timer = None
        if self._is_answering():  # `on_response_complete` starts the timer again
            return
        if self._head_started:
            self._reject(HTTPStatus.REQUEST_TIMEOUT, "the request's head did not arrive in time")
        else:
            self.drop()

    def _is_answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request, although uvicorn's annotation has no None
        return cycle is not None and not cycle.response_complete

    def _reject_head(self) -> None:
        limit = self.limits.head_bytes
        self._reject(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the request line and headers exceed {limit:,} bytes")

    def _reject(self, status: HTTPStatus, detail: str) -> None:
        """Answer with a problem document and close; nothing further of the connection is read."""
        self._waiting.pop(self, None)
        self._stop_head_timer()
        if self._buffer.is_closing():
            return
        retry = {"retry-after": "2"} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
        response = problems.document(status, detail, headers={**retry, "connection": "close"})
        lines = [f"HTTP/1.1 {status.value} {status.phrase}".encode()]
        lines += [name + b": " + value for name, value in response.raw_headers]
        if not self._is_answering():  # bytes in the middle of another response would garble it
            self._buffer.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        self._buffer.close()
