"""The demo's webhook receiver: a gate for shell commands and a chat service, in this process, on loopback.

Called by `scenario`. It is what a team would write: about twenty lines of rules over the request of the contract.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GATE = "/gate"
CHAT = "/chat"
FREEZE = "releases are frozen until Monday; open a change request instead"


@dataclass(frozen=True, slots=True)
class GateCall:
    """One request that the gate answered.

    Attributes:
        command: What the agent wanted to run.
        result: What the gate said.
        message: Why.
        modified: The command that runs instead, `""` unless it was modified.
    """

    command: str
    result: str
    message: str = ""
    modified: str = ""


@dataclass(frozen=True, slots=True)
class Receiver:
    """The receiver while it listens.

    Attributes:
        url: Where, without a path.
        asked: What the gate was asked, in order.
        told: The JSON bodies that the chat service received.
    """

    url: str
    asked: queue.SimpleQueue[GateCall] = field(default_factory=queue.SimpleQueue)
    told: queue.SimpleQueue[dict[str, Any]] = field(default_factory=queue.SimpleQueue)


def judge(command: str) -> GateCall:
    """Return the rule's answer: nothing is deleted during a release freeze, and logs are read in small pieces."""
    if command.startswith("rm "):
        return GateCall(command, "deny", FREEZE)
    if command.startswith("tail -n 500 "):
        return GateCall(command, "modify", "logs are read 5 lines at a time", command.replace("-n 500", "-n 5"))
    return GateCall(command, "ok")


def _answer(asked: GateCall) -> dict[str, Any]:
    answer: dict[str, Any] = {"result": asked.result, "message": asked.message}
    if asked.modified:
        answer["modified_content"] = {"command": asked.modified}
    return answer


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Listen on a free port of loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == GATE:
                asked = judge(json.loads(body["hook_context"]["tool_args"])["command"])
                receiver.asked.put(asked)
                self._send("application/json", json.dumps(_answer(asked)).encode())
            else:
                receiver.told.put(body)
                self._send("text/plain", b"ok")

        def _send(self, content_type: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Keep the terminal for the story."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
