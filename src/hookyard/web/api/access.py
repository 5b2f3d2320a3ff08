"""Who calls an API route and for which workspace: FastAPI dependencies, one for each right.

Used by every module of this package; the rules themselves are in `web.auth`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Request
from fastapi.security import HTTPBearer

from hookyard.core.errors import NotAllowedError
from hookyard.core.ids import UserId, WorkspaceId
from hookyard.identity.tokens import Scope
from hookyard.web.auth import Principal, actor_name
from hookyard.web.services import Services
from hookyard.workspace.actor import Actor
from hookyard.workspace.agent_tools import run_actor

# Only for the OpenAPI document; `web.auth` reads the header.
_BEARER = HTTPBearer(auto_error=False, description="A token, see POST /api/v1/workspaces/{workspace}/tokens")


def services_of(request: Request) -> Services:
    """Return the parts of the server."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(services_of)]


async def _principal(request: Request, services: ServicesDep) -> Principal:
    return await services.auth.bearer(request.headers.get("authorization", ""))


Known = Annotated[Principal, Depends(_principal)]
"""Anybody with a good token."""


async def _administrator(principal: Known) -> Principal:
    principal.require()
    return principal


Administrator = Annotated[Principal, Depends(_administrator)]
"""An administrator."""


@dataclass(frozen=True, slots=True)
class Access:
    """One caller in one workspace.

    Attributes:
        workspace_id: The workspace; it exists and the caller may know of it.
        principal: Who calls.
        actor: Who does what is done: the caller, or whom an administrator's token names.
    """

    workspace_id: WorkspaceId
    principal: Principal
    actor: Actor


WorkspacePath = Annotated[str, Path(description="Id of the workspace")]


async def _enter(request: Request, services: Services, principal: Principal, workspace: str, *scopes: Scope) -> Access:
    workspace_id = await services.auth.workspace(principal, workspace)
    principal.require(*scopes)
    return Access(workspace_id, principal, await _actor(request, services, principal, workspace_id))


async def _actor(request: Request, services: Services, principal: Principal, workspace_id: WorkspaceId) -> Actor:
    if principal.run_id is not None:
        return await run_actor(services.database, workspace_id, principal.run_id, principal.user_name)
    name = actor_name(request.headers)
    if name is None:
        return principal.actor()
    if not principal.is_admin:
        raise NotAllowedError("only an administrator's token may act for another user", where="X-Hookyard-Actor")
    member = await services.members.by_id_or_name(workspace_id, name)
    # A person who is no member here: the administrator vouches for them.
    return Actor(UserId(name), name) if member is None else Actor(member.user_id, member.user_name)


async def _member(request: Request, services: ServicesDep, principal: Known, workspace: WorkspacePath) -> Access:
    return await _enter(request, services, principal, workspace, Scope.MEMBER)


async def _member_or_run(request: Request, services: ServicesDep, principal: Known, workspace: WorkspacePath) -> Access:
    return await _enter(request, services, principal, workspace, Scope.MEMBER, Scope.RUN)


async def _workspace_admin(
    request: Request, services: ServicesDep, principal: Known, workspace: WorkspacePath
) -> Access:
    return await _enter(request, services, principal, workspace)


MemberAccess = Annotated[Access, Depends(_member)]
"""A member of the workspace."""

TaskAccess = Annotated[Access, Depends(_member_or_run)]
"""A member of the workspace, or a run in it with its task tools."""

AdminAccess = Annotated[Access, Depends(_workspace_admin)]
"""An administrator, in a workspace."""
