"""The pages: what a person sees. `wiring` hands `make_pages` to `web.app`, which serves them where no other route is.

Reads through `pages.queries`, changes through the services of `web.services`. Pages know nothing of tokens and of the
API; both stand on the same services. Nothing of them is imported before the first request for one (`lazy_app`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Router
from starlette.types import ASGIApp

__all__ = ["make_pages", "respond"]


def make_pages() -> ASGIApp:
    """Return all pages as one application; imports them."""
    from hookyard.web.pages.render import environment
    from hookyard.web.pages.routes import routes

    for template in ("base.html", "bare.html", "parts.html"):
        environment().get_template(template)  # compiled now, in this thread: every page stands on them
    return Router(routes())


async def respond(request: Request, error: Exception) -> Response:
    """Return the page that shows an error."""
    answer = await asyncio.to_thread(_error_page)
    return await answer(request, error)


def _error_page() -> Callable[[Request, Exception], Awaitable[Response]]:
    from hookyard.web.pages import errors

    return errors.respond
