"""The endpoint of `http` agents: holds every request until the test lets go, and keeps its own history."""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Visit:
    """One request.

    Attributes:
        run: Whose it was.
        began: When it had been read, monotonic.
        ended: When it was answered or given up; None while it lasts.
        answered: It was not given up by its sender.
    """

    run: str
    began: float
    ended: float | None = None
    answered: bool = False


class Receiver:
    """The history; `hold` keeps requests waiting for as long as it is set."""

    def __init__(self) -> None:
        self.hold = threading.Event()
        self.visits: list[Visit] = []
        self.url = ""
        self._lock = threading.Lock()

    def of(self, run: str) -> list[Visit]:
        """The requests of one run, in the order of their beginnings."""
        with self._lock:
            return [visit for visit in self.visits if visit.run == run]

    def open_now(self) -> list[Visit]:
        """Requests that last."""
        with self._lock:
            return [visit for visit in self.visits if visit.ended is None]

    def overlapping(self) -> list[str]:
        """Runs of which two requests lasted at the same time."""
        with self._lock:
            return [
                one.run
                for index, one in enumerate(self.visits)
                for other in self.visits[index + 1 :]
                if one.run == other.run and (one.ended is None or one.ended > other.began)
            ]

    def serve(self, run: str, connection: socket.socket) -> bool:
        """Hold a request; False when its sender gave it up."""
        visit = Visit(run, time.monotonic())
        with self._lock:
            self.visits.append(visit)
        answered = True
        while answered and self.hold.is_set():
            ready, _, _ = select.select([connection], [], [], 0.02)
            answered = not ready
        with self._lock:
            visit.ended, visit.answered = time.monotonic(), answered
        return answered


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not receiver.serve(body["run"], self.connection):
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"done")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.hold.clear()
        server.shutdown()
        server.server_close()
