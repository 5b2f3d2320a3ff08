"""An application that is made when the first request for it comes.

Used for the API and for the pages: importing and building either takes longer than everything else at start-up, and a
server that only takes events never needs them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp, Receive, Scope, Send


class LazyApp:
    """Stands in for an application.

    Args:
        make: Imports what it takes and makes it; called once, in a thread, so that events are taken meanwhile.
    """

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._app: ASGIApp | None = None
        self._lock = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        app = self._app or await self._get_app()
        await app(scope, receive, send)

    async def _get_app(self) -> ASGIApp:
        async with self._lock:
            if self._app is None:
                self._app = await asyncio.to_thread(self._make)
            return self._app
