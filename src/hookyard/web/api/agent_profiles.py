"""`/agent-profiles`: administrators write them, members choose one by name.

What a profile says besides its name and kind (programs, folders, variables) is shown to administrators only.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from hookyard.agents.profile_store import StoredProfile
from hookyard.agents.profiles import Profile
from hookyard.core.clock import iso
from hookyard.core.errors import InvalidError, Problem
from hookyard.identity.tokens import Scope
from hookyard.web.api.access import Administrator, Known, ServicesDep
from hookyard.web.api.bodies import JsonObject
from hookyard.web.api.paging import DEFAULT_LIMIT, Cursor, Limit, page, unpack
from hookyard.web.auth import Principal

router = APIRouter(tags=["agent profiles"])

ProfileBody = Annotated[
    JsonObject,
    Body(description="A profile", json_schema_extra={"properties": Profile.model_json_schema()["properties"]}),
]


@router.post("/agent-profiles", status_code=HTTPStatus.CREATED)
async def create_profile(services: ServicesDep, admin: Administrator, body: ProfileBody) -> dict[str, Any]:
    """Make a profile."""
    name = body.get("name")
    if not isinstance(name, str):
        raise InvalidError("name is missing", problems=(Problem("name", "is missing; give it a name"),))
    return show(await services.agent_profiles.create(name, body), admin)


@router.get("/agent-profiles")
async def list_profiles(
    services: ServicesDep, principal: Known, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> dict[str, Any]:
    """List the agent profiles."""
    principal.require(Scope.MEMBER)
    after = unpack(cursor, str) or ("",)
    found = await services.agent_profiles.list(after=after[0], limit=limit + 1)
    return page(found, limit, lambda kept: show(kept, principal), lambda kept: (kept.profile.name,))


@router.get("/agent-profiles/{name}")
async def get_profile(services: ServicesDep, principal: Known, name: str) -> dict[str, Any]:
    """Return one agent profile."""
    principal.require(Scope.MEMBER)
    return show(await services.agent_profiles.get(name), principal)


@router.put("/agent-profiles/{name}")
async def put_profile(services: ServicesDep, admin: Administrator, name: str, body: ProfileBody) -> dict[str, Any]:
    """Change all that a profile says."""
    if body.get("name", name) != name:
        message = "a profile keeps its name; make another one instead"
        raise InvalidError(message, where="name", problems=(Problem("name", message),))
    return show(await services.agent_profiles.replace(name, body), admin)


@router.delete("/agent-profiles/{name}", status_code=HTTPStatus.NO_CONTENT)
async def delete_profile(services: ServicesDep, _admin: Administrator, name: str) -> Response:
    """Forget a profile."""
    await services.agent_profiles.delete(name)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def show(kept: StoredProfile, principal: Principal) -> dict[str, Any]:
    """Return a profile as the API shows it."""
    profile = kept.profile
    shown = {"id": profile.name, "name": profile.name, "kind": profile.kind, "authors": profile.authors}
    if not principal.is_admin:
        return shown
    return {**shown, **profile.as_config(), "createdAt": iso(kept.created_at), "updatedAt": iso(kept.updated_at)}
