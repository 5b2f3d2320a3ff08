"""Whether the server lives, and whether it can work: `/healthz`, `/readyz`.

Asked by supervisors and load balancers, without a token; they say nothing that a stranger may not know.
"""

from __future__ import annotations

from http import HTTPStatus

from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from hookyard.errors import HookyardError
from hookyard.web.problems import JsonResponse, document
from hookyard.web.services import Services


async def alive(_request: Request) -> Response:
    """200 as long as the process answers."""
    return JsonResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """200 when events can be taken, 503 when the database cannot be reached."""
    services: Services = request.app.state.services
    try:
        await services.db.read(lambda conn: conn.execute(text("SELECT 1")).scalar())
    except HookyardError:
        return document(HTTPStatus.SERVICE_UNAVAILABLE, "the database cannot be reached", headers={"retry-after": "2"})
    return JsonResponse({"status": "ready"})
