"""The demo's server: `hookyard serve` in a process of its own, on a throw-away folder, and a small client of its API.

Called by `scenario`. Reads the ready line as a user would; knows nothing of the server's inside.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hookyard.core.errors import PermanentError

START_SECONDS = 15.0
_LOG = "server.log"


@dataclass(frozen=True, slots=True)
class DemoServer:
    """A running server.

    Attributes:
        url: Where it is, `http://127.0.0.1:PORT`.
        token: Its administrator's token.
        link: The one-time login link that it printed.
        log: Its standard error.
    """

    url: str
    token: str
    link: str
    log: Path

    def call(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None, raw: bytes = b""
    ) -> tuple[int, Any]:
        """Send one request; return the status and the JSON body (None when it is empty)."""
        parts = urllib.parse.urlsplit(self.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **(headers or {})}
        payload = raw or (json.dumps(body).encode() if body is not None else None)
        with contextlib.closing(connection):
            connection.request(method, path, payload, sent)
            response = connection.getresponse()
            answered = response.read()
        return response.status, json.loads(answered) if answered else None

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Send one request to the API that has to succeed.

        Raises:
            PermanentError: It did not; says what was answered.
        """
        status, answered = self.call(method, f"/api/v1{path}", body)
        if status >= 400:
            raise PermanentError(f"{method} {path} answered {status}: {answered}")
        return answered

    def log_tail(self, lines: int = 12) -> list[str]:
        """Return the last lines of the server's log."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]


@contextlib.contextmanager
def serving(directory: Path, environment: Mapping[str, str]) -> Iterator[DemoServer]:
    """Start `hookyard serve` on a folder and end it afterwards.

    Args:
        directory: Its data folder.
        environment: Variables of its own, over this process's without any `HOOKYARD_…` of the user's.

    Raises:
        PermanentError: It did not become ready; carries the end of its log.
    """
    token = secrets.token_urlsafe(24)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HOOKYARD_")}
    env = {**inherited, "HOOKYARD_HOME": str(directory), "HOOKYARD_ADMIN_TOKEN": token, **environment}
    log = directory / _LOG
    command = [sys.executable, "-m", "hookyard.cli", "serve", "--port", "0", "--data", str(directory)]
    with log.open("wb") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, env=env, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
        )
    try:
        url, link = _ready(process, log)
        yield DemoServer(url, token, link, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _ready(process: subprocess.Popen[bytes], log: Path) -> tuple[str, str]:
    """Return the address and the login link that the server prints when it is ready."""
    assert process.stdout is not None
    url, seen = "", b""
    deadline = time.monotonic() + START_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0 and selector.select(left):
            chunk = os.read(process.stdout.fileno(), 4096)
            if not chunk:
                break
            seen += chunk
            for line in seen.decode().splitlines():
                address = next((word for word in line.split() if word.startswith("http")), "")
                if url and address and address != url:
                    return url, address
                url = url or address
    tail = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    raise PermanentError("the server did not become ready", where=str(log), hint=" / ".join(tail) or "no log")
