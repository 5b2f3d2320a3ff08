"""The server's whole route table on one page.

Built by `wiring`. The ingest endpoint is first, plain ASGI; the inbound webhooks are Starlette routes;
the rest of the API is one FastAPI application under /api, so that one OpenAPI document describes it; everything else is
the pages'.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any, cast

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from hookyard.events.envelope import MAX_BODY_BYTES
from hookyard.telemetry import metrics
from hookyard.web import health, inbound_webhooks, problems
from hookyard.web.body_limit import BodyLimitMiddleware
from hookyard.web.ingest import Ingest
from hookyard.web.lazy_app import LazyApp
from hookyard.web.reject_nul import RejectNulMiddleware
from hookyard.web.services import Services

Respond = Callable[[Request, Exception], Awaitable[Response]]

_NO_PAGES = ("/api/", "/in/", "/healthz", "/readyz", "/metrics")


def make_app(services: Services, *, pages: ASGIApp | None = None, page_error: Respond | None = None) -> ASGIApp:
    """Return the whole server as an ASGI application.

    Args:
        services: The parts that routes need.
        pages: What serves every address that has no route here.
        page_error: Answers an error of a page; without it as a problem document, like all others.
    """
    app = Starlette(
        routes=[
            Route("/healthz", health.alive),
            Route("/readyz", health.ready),
            Route("/metrics", metrics.scrape),
            Route(inbound_webhooks.PATH, inbound_webhooks.receive, methods=["POST"]),
            Route("/api/{rest:path}", LazyApp(lambda: _api(services))),
        ],
        middleware=[Middleware(RejectNulMiddleware), Middleware(BodyLimitMiddleware, limit=MAX_BODY_BYTES)],
        exception_handlers={kind: _handler(answer, page_error) for kind, answer in problems.HANDLERS.items()},
    )
    app.state.services = services
    if pages is not None:
        app.router.default = pages
    # POST /api/v1/workspaces/{workspace}/events never reaches the routes above.
    # Forwarded addresses are of use behind it only, and reading them would cost each event 3 %.
    trusted = os.environ.get("FORWARDED_ALLOW_IPS", "127.0.0.1")  # uvicorn's variable and default
    behind = ProxyHeadersMiddleware(cast("Any", app), trusted)
    return Ingest(services, cast("ASGIApp", behind))


def _api(services: Services) -> ASGIApp:
    from hookyard.web.api.application import make_api

    return make_api(services)


def _handler(answer: Respond, page_error: Respond | None) -> Respond:
    """Return an exception handler: problem documents for programs, pages for people."""

    async def handle(request: Request, error: Exception) -> Response:
        if page_error is None or request.url.path.startswith(_NO_PAGES):
            return await answer(request, error)
        return await page_error(request, error)

    return handle
