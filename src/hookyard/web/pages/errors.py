"""Pages for what went wrong: not found, not allowed, refused, away."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hookyard.core.errors import HookyardError, NotFoundError, TemporaryError
from hookyard.web import sessions
from hookyard.web.pages.page_context import PageContext, error_response, find_home
from hookyard.web.problems import status_of


async def error_page(visit: PageContext, error: HookyardError, status: int | None = None) -> Response:
    """Return a page that says what is wrong and the fix; the status is the error's unless one is given."""
    status = int(status_of(error) if status is None else status)
    known = status in (401, 403, 404, 429, 503)
    words = visit.language.t(f"error.{status}") if known else visit.language.message(error.what)
    hint = "" if known and status == 404 else visit.language.message(error.hint or "")
    response = await visit.page("error.html", status, code=status, words=words, hint=hint)
    if isinstance(error, TemporaryError):
        response.headers["Retry-After"] = str(int(error.retry_after or 2))
    return response


async def respond(request: Request, error: Exception) -> Response:
    """Answer an address that no page serves, or an internal error; signed-in readers see the page's frame."""
    visit = PageContext(request)
    visit.session = await sessions.find(request)
    await find_home(visit)
    if isinstance(error, HTTPException):
        known: HookyardError = (
            NotFoundError("there is no such page") if error.status_code == 404 else HookyardError(error.detail)
        )
        return await error_page(visit, known, error.status_code)
    if isinstance(error, HookyardError):
        return await error_response(visit, error)
    return await visit.page("error.html", 500, code=500, words=visit.language.t("error.500"), hint="")
