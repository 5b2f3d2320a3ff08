"""`/event-types`: what can happen, with variables, types and samples; administrators declare more."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from fastapi import APIRouter, Response

from hookyard.identity.tokens import Scope
from hookyard.web.api.access import Administrator, Known, ServicesDep
from hookyard.web.api.bodies import Body

router = APIRouter(tags=["event types"])


class DeclaredVariable(Body):
    """A variable of a declared event type."""

    name: str
    type: Literal["string", "number", "boolean"]
    example: str | int | float | bool


class NewEventType(Body):
    """An event type to be declared; declared again, it is changed."""

    name: str
    variables: list[DeclaredVariable]
    description: str = ""


@router.get("/event-types")
async def list_event_types(services: ServicesDep, principal: Known) -> dict[str, Any]:
    """List every event type: the built-in ones, then the declared ones."""
    principal.require(Scope.MEMBER)
    return {"items": [one.as_dict() for one in services.event_types.current], "nextCursor": None}


@router.post("/event-types", status_code=HTTPStatus.CREATED)
async def declare_event_type(services: ServicesDep, _admin: Administrator, body: NewEventType) -> dict[str, Any]:
    """Declare an event type."""
    variables = [(variable.name, variable.type, variable.example) for variable in body.variables]
    made = await services.event_types.declare(body.name, variables, description=body.description)
    return {"id": made.name, **made.as_dict()}


@router.delete("/event-types/{name}", status_code=HTTPStatus.NO_CONTENT)
async def remove_event_type(services: ServicesDep, _admin: Administrator, name: str) -> Response:
    """Take a declaration back; events of that type stay."""
    await services.event_types.remove(name)
    return Response(status_code=HTTPStatus.NO_CONTENT)
