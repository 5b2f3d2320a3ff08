"""The API as one FastAPI application with one OpenAPI document, the ingest endpoint included.

Made by `web.app` on the first request (`web.lazy_app`).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hookyard.core.errors import HookyardError, InvalidError, Problem
from hookyard.core.pydantic_errors import problem_of
from hookyard.events.catalog import MAX_NAME
from hookyard.web import problems
from hookyard.web.api import (
    agent_profiles,
    callbacks,
    event_types,
    events,
    members,
    runs,
    settings,
    sources,
    tasks,
    tokens,
    webhooks,
    workspaces,
)
from hookyard.web.api.head import HeadMiddleware, allowed
from hookyard.web.api.ingest_docs import INGEST_PATHS
from hookyard.web.services import Services

BASE = "/api/v1"

_REFUSED = "the request was refused; nothing was changed"

_PARTS = (
    workspaces,
    members,
    tokens,
    tasks,
    callbacks,
    events,
    runs,
    event_types,
    sources,
    webhooks,
    agent_profiles,
    settings,
)


def make_api(services: Services) -> FastAPI:
    """Return the API's application; it expects whole paths, the base included."""
    api = FastAPI(
        title="hookyard",
        version=importlib.metadata.version("hookyard"),
        description="Hooks for AI agents: events in, agents started, webhooks out. Errors are RFC 9457 documents.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            **problems.HANDLERS,
            RequestValidationError: on_invalid_request,
            HTTPException: on_http_exception,
        },
        default_response_class=problems.JsonResponse,
    )
    api.state.services = services
    for part in _PARTS:
        api.include_router(part.router, prefix=BASE)
    api.add_middleware(HeadMiddleware)
    make_document = api.openapi

    def openapi() -> dict[str, Any]:
        document = make_document()
        for path, operations in INGEST_PATHS.items():
            document["paths"].setdefault(path, {}).update(operations)
        return document

    api.openapi = openapi  # type: ignore[method-assign]
    return api


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """Answer a body or parameters that do not fit the route with a problem document."""
    assert isinstance(error, RequestValidationError)
    found = tuple(_problem(one, request) for one in error.errors()[:100])
    return await _refuse(request, found)


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer the framework's own errors with a problem document. The framework says less about a body that Python's
    JSON parser rejects (not UTF-8, nested too deep) than we do about any other."""
    if isinstance(error.__cause__, UnicodeDecodeError | RecursionError):
        reason = "is no UTF-8" if isinstance(error.__cause__, UnicodeDecodeError) else "is nested too deep"
        return await _refuse(request, (Problem("body", f"{reason}; send a JSON object"),))
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        methods = allowed(request.app.openapi(), request.url.path)
        error = HTTPException(error.status_code, headers={"allow": ", ".join(sorted(methods))})
    return await problems.on_http_exception(request, error)


async def _refuse(request: Request, found: tuple[Problem, ...]) -> Response:
    """Answer a rejected body, but only for callers who may know that the route exists: the framework parses the body
    before it checks who sent it."""
    services: Services = request.app.state.services
    try:
        principal = await services.auth.bearer(request.headers.get("authorization", ""))
        if (workspace := request.path_params.get("workspace")) is not None:
            await services.auth.workspace(principal, workspace)
    except HookyardError as error:
        return problems.of_error(error)
    return problems.of_error(InvalidError(_REFUSED, problems=found))


def _problem(one: dict[str, Any], request: Request) -> Problem:
    place: Sequence[str | int] = one["loc"]
    if one["type"] == "json_invalid":
        return Problem("body", f"no JSON at character {place[-1]}: {one['ctx']['error']}")
    told = problem_of(one, place[1:])
    field, message = told.field or str(place[0]), told.message
    if one["type"] in ("model_attributes_type", "model_type", "dict_type") and field == "body":
        sent = request.headers.get("content-type", "")
        as_json = "" if sent.startswith("application/json") else " with Content-Type: application/json"
        message = f"is no JSON object; send one{as_json}"
    # A name of the client's own choice may hold what an answer cannot.
    return Problem(field[:MAX_NAME].encode(errors="replace").decode(), message)
