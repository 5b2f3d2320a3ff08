"""The real parts that tests of the webhooks half stand on: a receiver on loopback, a home, a clock that tests own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from hookyard.hooks.hooks import Hooks

Answer = web.StreamResponse | dict[str, Any]
Answerer = Callable[["Received"], Answer | Awaitable[Answer]]


@dataclass
class Received:
    """One request that the receiver got."""

    path: str
    headers: dict[str, str]
    raw: bytes
    request: web.Request

    @property
    def body(self) -> dict[str, Any]:
        value = json.loads(self.raw)
        assert isinstance(value, dict)
        return value


def _say_ok(_: Received) -> dict[str, Any]:
    return {"result": "ok"}


@dataclass
class Receiver:
    """A webhook receiver on loopback that answers what a test tells it."""

    port: int = 0
    answers: dict[str, Answerer] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(self, with_: Answerer | dict[str, Any], path: str = "/hook") -> None:
        """Answer with an object, or with what a function makes."""
        self.answers[path] = with_ if callable(with_) else lambda _: with_

    def at(self, path: str = "/hook") -> list[Received]:
        return [request for request in self.requests if request.path == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        received = Received(request.path, dict(request.headers), await request.read(), request)
        self.requests.append(received)
        answer = self.answers.get(request.path, _say_ok)(received)
        if not isinstance(answer, web.StreamResponse | dict):
            answer = await answer
        return web.json_response(answer) if isinstance(answer, dict) else answer


@dataclass
class Home:
    """An empty HOOKYARD_HOME, and what hooks loaded from it print."""

    path: Path
    lines: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    opened: list[Hooks] = field(default_factory=list)

    def write(self, text: str, name: str = "hooks.toml") -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def hooks(self, project: Path | None = None, **parts: Any) -> Hooks:
        environ = {"ATOMCODE_HOME": str(self.path / "atomcode"), **self.environ}
        hooks = Hooks.load(project, environ=environ, home=self.path, warn=self.lines.append, **parts)
        self.opened.append(hooks)
        return hooks

    def one(self, url: str, *, trigger: str = "pre_tool", name: str = "gate", **keys: object) -> Hooks:
        """Hooks with one webhook; values of keys are TOML texts as `json.dumps` makes them."""
        self.write(entry(name, trigger, url, **keys))
        return self.hooks()


def entry(name: str, trigger: str, url: str, **keys: object) -> str:
    """A `[[webhooks]]` entry."""
    values = {"name": name, "trigger": trigger, "url": url, **keys}
    return "[[webhooks]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


class FakeClock:
    """A clock that moves only when told; `sleep` moves it."""

    __test__ = False

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.at = now
        self.ticks = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.ticks

    def advance(self, seconds: float) -> None:
        self.at += seconds
        self.ticks += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)
