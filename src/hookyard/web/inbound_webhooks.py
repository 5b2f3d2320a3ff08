"""`POST /in/{kind}/{workspace}`: the endpoints of services that sign their own webhooks.

202 with the outcome, 204 when it means nothing here, 401 when the signature is not right.
"""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from hookyard.core.errors import HookyardError
from hookyard.web.problems import JsonResponse, status_of
from hookyard.web.services import Services

PATH = "/in/{kind}/{workspace}"


async def receive(request: Request) -> Response:
    """Take one delivery."""
    services: Services = request.app.state.services
    kind, workspace = request.path_params["kind"], request.path_params["workspace"]
    counts = services.counts
    try:
        accepted = await services.sources.deliver(
            workspace, kind, dict(request.headers), dict(request.query_params), await request.body()
        )
    except HookyardError as error:
        counts.refused[status_of(error)] += 1
        raise
    repeated = sum(one.duplicate_of is not None for one in accepted)
    counts.accepted += len(accepted) - repeated
    counts.duplicates += repeated
    if not accepted:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    return JsonResponse({"results": [{"id": one.event_id} for one in accepted]}, HTTPStatus.ACCEPTED)
