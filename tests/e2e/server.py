"""A real `hookyard serve` in a process of its own, as a user starts it; can be killed and started again."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

T = TypeVar("T")

TOKEN = "e2e-administrator-" + secrets.token_hex(12)
START_SECONDS = 60.0


class ServerProcess:
    """One server on one data folder, started as often as a test likes.

    Args:
        data: Its data folder.
        environment: Variables of its own.
        arguments: Further arguments of `hookyard serve`.
    """

    def __init__(self, data: Path, environment: Mapping[str, str] | None = None, *arguments: str) -> None:
        self.data = data
        self.log = data.parent / f"{data.name}.log"
        self.url = ""
        self._arguments = arguments
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, port: int = 0) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("HOOKYARD_")}
        env |= {"HOOKYARD_HOME": str(self.data), "HOOKYARD_ADMIN_TOKEN": TOKEN, **self._environment}
        command = [sys.executable, "-m", "hookyard.cli", "serve", "--data", str(self.data), "--port", str(port)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *self._arguments], env=env, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        self.url = self._ready_line().split()[-1]

    def _ready_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        seen = b""
        deadline = time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while selector.select(max(0.0, deadline - time.monotonic())):
                chunk = os.read(self._process.stdout.fileno(), 4096)
                seen += chunk
                if b"\n" in seen:
                    return seen.split(b"\n")[0].decode()
                if not chunk:
                    break
        raise AssertionError(f"the server did not become ready:\n{self.log.read_text()[-3000:]}")

    def __enter__(self) -> Self:
        """Started; killed at the end, whatever happens."""
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """SIGKILL, no chance to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(START_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None
        return code

    def request(
        self, method: str, path: str, body: object = None, *, raw: bytes | None = None, **headers: str
    ) -> tuple[int, Any]:
        """One request on a connection of its own; status and JSON.

        Raises:
            OSError: The server is away or went away meanwhile.
        """
        host = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=START_SECONDS)
        sent = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(
                method, path, json.dumps(body).encode() if raw is None and body is not None else raw, sent
            )
            response = connection.getresponse()
            answered = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        return response.status, json.loads(answered) if answered else None

    def api(self, method: str, path: str, body: object = None) -> Any:
        """One request to the API that has to succeed."""
        status, answered = self.request(method, f"/api/v1{path}", body)
        assert status < 400, (status, answered)
        return answered

    def everything(self, path: str) -> list[dict[str, Any]]:
        """All pages of a list."""
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.api("GET", f"{path}{'&' if '?' in path else '?'}limit=100{cursor}")
            items += page["items"]
            if not page.get("nextCursor"):
                return items
            cursor = f"&cursor={page['nextCursor']}"


def eventually(look: Callable[[], T | None], what: str, seconds: float = START_SECONDS) -> T:
    """What a look gives as soon as it gives something."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline, f"did not happen in {seconds:g} s: {what}"
        time.sleep(0.05)


def signed_in(server: ServerProcess, database_url: str) -> str:
    """The cookie of a session, from a one-time login link."""
    command = [sys.executable, "-m", "hookyard.cli", "login-link", "--data", str(server.data)]
    env = {"HOOKYARD_DATABASE_URL": database_url, "PATH": "/usr/bin:/bin"}
    link = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=START_SECONDS)
    try:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST", f"/login/{link.rpartition('/')[2]}", "", form)
        cookies = connection.getresponse().headers.get_all("Set-Cookie") or []
    finally:
        connection.close()
    return next(cookie for cookie in cookies if cookie.startswith("hookyard_session=")).partition(";")[0]
