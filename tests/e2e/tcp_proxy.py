"""A TCP proxy in front of a server, which a test turns off in the ways that a network has."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from enum import Enum
from typing import Self


class Mode(Enum):
    """What the proxy does with connections."""

    FORWARD = "forward"
    HALF_OPEN = "half-open"
    """Takes connections and swallows every byte, and keeps those that are open: the peer's kernel sees nothing."""
    REFUSE = "refuse"
    """Resets every connection at once."""


class TcpProxy:
    """One port of 127.0.0.1 that leads to another.

    Args:
        target: The port behind it.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._mode = Mode.FORWARD
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        # The accepting thread may be waiting in the system: closing alone does not wake it.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.turn(Mode.REFUSE)

    def turn(self, mode: Mode) -> None:
        """Behave like that from now on; connections from before a half-open time end when it does."""
        with self._changed:
            ends = mode is Mode.REFUSE or self._mode is Mode.HALF_OPEN
            self._mode = mode
            self._changed.notify_all()
            for one in list(self._open) if ends else ():
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._mode is Mode.REFUSE:
                client.close()
                continue
            with self._changed:
                self._open.add(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                with socket.create_connection(("127.0.0.1", self._target)) as server:
                    with self._changed:
                        self._open.add(server)
                    back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
                    back.start()
                    self._pump(client, server)
                    back.join()
                    with self._changed:
                        self._open.discard(server)
            except OSError:
                pass
            finally:
                with self._changed:
                    self._open.discard(client)

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if self._mode is Mode.HALF_OPEN:
                    continue
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
