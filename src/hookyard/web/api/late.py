"""The API's application, made when the first request for it comes.

Used by `web.app`: building some fifty routes with their schemas takes longer than everything else at start-up, and a
server that only takes events never needs them.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from hookyard.web.services import Services


class LateApi:
    """Stands in for the API.

    Args:
        services: The parts that its routes need.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._app: ASGIApp | None = None
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        app = self._app or await self._make()
        await app(scope, receive, send)

    async def _make(self) -> ASGIApp:
        async with self._lock:
            if self._app is None:
                # In a thread, so that events are taken meanwhile.
                self._app = await asyncio.to_thread(_make, self._services)
            return self._app


def _make(services: Services) -> ASGIApp:
    from hookyard.web.api.application import make_api

    return make_api(services)
