"""A webhook receiver on loopback for tests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

Reply: TypeAlias = "web.StreamResponse | dict[str, Any]"
"""A whole response, or the JSON object of a 200."""

MakeReply: TypeAlias = "Callable[[Received], Reply | Awaitable[Reply]]"

_MAX_BODY_BYTES = 64 * 1024 * 1024


@dataclass
class Received:
    """One request that the receiver got.

    Attributes:
        path: Path of the URL.
        headers: Headers by the names that the sender used.
        raw: The body's bytes.
        request: aiohttp's request.
    """

    path: str
    headers: dict[str, str]
    raw: bytes
    request: web.Request

    @property
    def body(self) -> dict[str, Any]:
        """The body as a JSON object.

        Raises:
            TypeError: The body is another JSON value.
        """
        value = json.loads(self.raw)
        if not isinstance(value, dict):
            raise TypeError(f"the body is a {type(value).__name__}, not a JSON object")
        return value


def _reply_ok(_: Received) -> dict[str, Any]:
    return {"result": "ok"}


@dataclass
class Receiver:
    """A webhook receiver on 127.0.0.1. By default it answers `{"result": "ok"}`.

    Use it inside its context::

        async with Receiver.running() as receiver:
            receiver.answer({"result": "deny", "message": "no"})

    Attributes:
        port: The port, once it runs.
        answers: The reply of each path.
        requests: Every request so far, in the order of arrival.
    """

    port: int = 0
    answers: dict[str, MakeReply] = field(default_factory=dict)
    requests: list[Received] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Receiver]:
        """Run a receiver on a free port inside the block."""
        receiver = cls()
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", receiver.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            receiver.port = runner.addresses[0][1]
            yield receiver
        finally:
            await runner.cleanup()

    def url(self, path: str = "/hook") -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def answer(self, reply: MakeReply | dict[str, Any], path: str = "/hook") -> None:
        """Answer requests to a path with an object, or with the result of a function of the request."""
        self.answers[path] = reply if callable(reply) else lambda _: reply

    def at(self, path: str = "/hook") -> list[Received]:
        """Return the requests to a path."""
        return [request for request in self.requests if request.path == path]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Record a request and return its reply."""
        received = Received(request.path, dict(request.headers), await request.read(), request)
        self.requests.append(received)
        reply = self.answers.get(request.path, _reply_ok)(received)
        if not isinstance(reply, web.StreamResponse | dict):
            reply = await reply
        return web.json_response(reply) if isinstance(reply, dict) else reply


def webhook_entry(name: str, trigger: str, url: str, **keys: object) -> str:
    """Return a `[[webhooks]]` entry of a `hooks.toml`.

    Args:
        name: The webhook's name.
        trigger: Trigger words, such as `pre_tool`.
        url: Where it is called.
        keys: Further keys: strings, numbers, booleans, or lists of them.
    """
    values = {"name": name, "trigger": trigger, "url": url, **keys}
    return "[[webhooks]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
