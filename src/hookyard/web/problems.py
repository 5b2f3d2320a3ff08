"""Errors as answers: RFC 9457 problem documents, for every route but the pages.

Installed by `web.app` and `web.api`. The reader gets what our own errors say (what, where, the hint, each
problem with its place); of any other error only that it happened, and the log has the details.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hookyard.core.errors import (
    ConflictError,
    HookyardError,
    InvalidError,
    LimitError,
    NotAllowedError,
    NotFoundError,
    Problem,
    TemporaryError,
    TooLargeError,
    UnauthenticatedError,
)

MEDIA_TYPE = "application/problem+json"
"""RFC 9457, section 3."""

# The only table of statuses: the pages use it too. The first that an error is an instance of counts.
_STATUS: tuple[tuple[type[HookyardError], HTTPStatus], ...] = (
    (InvalidError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (UnauthenticatedError, HTTPStatus.UNAUTHORIZED),
    (NotAllowedError, HTTPStatus.FORBIDDEN),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (ConflictError, HTTPStatus.CONFLICT),
    (TooLargeError, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (LimitError, HTTPStatus.TOO_MANY_REQUESTS),
    (TemporaryError, HTTPStatus.SERVICE_UNAVAILABLE),
)

_RETRY_AFTER_SECONDS = 2.0

_NOT_THERE = "see that it is written rightly and is of this workspace; the lists show what there is"

_UNROUTED = {
    HTTPStatus.NOT_FOUND: ("there is nothing at this address", "GET /api/openapi.json lists the addresses of the API"),
    HTTPStatus.METHOD_NOT_ALLOWED: (
        "this address does not take this method",
        "GET /api/openapi.json lists its methods",
    ),
}


class JsonResponse(Response):
    """An answer in JSON, made by the fastest serializer at hand."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Return the body."""
        return to_json(content)


def status_of(error: HookyardError) -> HTTPStatus:
    """Return the HTTP status of one of our errors."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def of_error(error: HookyardError) -> Response:
    """Return the response to one of our errors."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = 'Bearer realm="hookyard"'
    if isinstance(error, TemporaryError):
        headers["retry-after"] = str(math.ceil(error.retry_after or _RETRY_AFTER_SECONDS))
    problems = error.problems if isinstance(error, InvalidError) else ()
    hint = error.hint or (_NOT_THERE if status is HTTPStatus.NOT_FOUND else None)
    # The place of an internal error is one inside the server, such as the database's: nothing for senders.
    where = error.where if status < HTTPStatus.INTERNAL_SERVER_ERROR else None
    return document(status, error.what, where=where, hint=hint, problems=problems, headers=headers)


def document(
    status: HTTPStatus,
    detail: str | None = None,
    *,
    where: str | None = None,
    hint: str | None = None,
    problems: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a problem document."""
    content: dict[str, Any] = {"type": "about:blank", "title": status.phrase, "status": int(status)}
    given = {"detail": detail, "where": where, "hint": hint, "problems": [problem.as_dict() for problem in problems]}
    content.update((name, value) for name, value in given.items() if value)
    return Response(to_json(content), status, headers, MEDIA_TYPE)


async def on_hookyard_error(_request: Request, error: Exception) -> Response:
    """Answer one of our errors."""
    assert isinstance(error, HookyardError)
    return of_error(error)


async def on_http_exception(_request: Request, error: Exception) -> Response:
    """Answer the framework's own errors, such as a method that a route does not have."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    if error.detail != status.phrase:
        return document(status, error.detail, headers=error.headers)
    detail, hint = _UNROUTED.get(status, (None, None))
    return document(status, detail, hint=hint, headers=error.headers)


async def on_fault(_request: Request, _error: Exception) -> Response:
    """Answer any other error; the server logs it."""
    return fault()


def fault() -> Response:
    """Return the response to an unexpected error, without details."""
    return document(
        HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the server's own", hint="its log says more; please report it"
    )


HANDLERS: Mapping[Any, Any] = {
    HookyardError: on_hookyard_error,
    HTTPException: on_http_exception,
    Exception: on_fault,
}
"""What `web.api` installs, and `web.app` for its routes."""
