"""No address has a NUL character: PostgreSQL's texts cannot hold one, so nothing is kept under such a name.

Wrapped around every route but the ingest endpoint by `web.app`, which sees the address as routes do, with `%00` undone.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from hookyard.core.errors import HookyardError, InvalidError, NotFoundError
from hookyard.web import problems


class RejectNulMiddleware:
    """The middleware.

    Args:
        app: What it is wrapped around.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        refusal: HookyardError
        path = scope.get("path", "")
        if scope["type"] == "http" and "\x00" in path:
            refusal = NotFoundError("there is nothing at an address with a NUL character", hint="leave it out")
        elif scope["type"] == "http" and b"%00" in scope["query_string"] and path.startswith(("/api/", "/live")):
            # A page takes such a parameter for one that is not there (`visit.query`).
            refusal = InvalidError("the address has a NUL character", hint="leave it out")
        else:
            await self._app(scope, receive, send)
            return
        await problems.of_error(refusal)(scope, receive, send)
