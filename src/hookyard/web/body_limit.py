"""No request body is read beyond its bound.

Wrapped around the whole server by `web.app`. A length that is announced is refused at once, one that is not is counted
while it arrives; either way the answer is 413 and nothing has been held. (Starlette's own middleware answers in plain
text.)
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hookyard.core.errors import TooLargeError
from hookyard.web import problems


class BodyTooLargeError(HTTPException):
    """More came than is read; a refusal of the framework's kind, so that every layer lets it through."""

    def __init__(self, limit: int) -> None:
        super().__init__(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, too_large(limit).what)


class BodyLimitMiddleware:
    """The middleware.

    Args:
        app: What it is wrapped around.
        limit: Bytes of a body.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        if announced(scope["headers"]) > self._limit:
            await problems.of_error(too_large(self._limit))(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise BodyTooLargeError(self._limit)
            return message

        await self._app(scope, counted, send)


def too_large(limit: int) -> TooLargeError:
    """Return the error for a body above the limit."""
    return TooLargeError(f"a body has at most {limit:,} bytes here", hint="send less at once")


def announced(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the bytes of the body that a request's head announces; 0 without an announcement."""
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
