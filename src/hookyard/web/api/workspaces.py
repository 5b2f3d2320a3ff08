"""`/workspaces`: administrators make them, everybody lists their own."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter

from hookyard.core.clock import iso
from hookyard.identity.tokens import Scope
from hookyard.web.api.access import AdminAccess, Administrator, Known, MemberAccess, ServicesDep
from hookyard.web.api.bodies import Body
from hookyard.web.api.paging import DEFAULT_LIMIT, Cursor, Limit, page, unpack
from hookyard.workspace.workspaces import Workspace

router = APIRouter(tags=["workspaces"])


class NewWorkspace(Body):
    """A workspace to be made."""

    name: str
    id: str | None = None


class WorkspaceChange(Body):
    """What is to be changed."""

    name: str


@router.post("/workspaces", status_code=HTTPStatus.CREATED)
async def create_workspace(services: ServicesDep, _admin: Administrator, body: NewWorkspace) -> dict[str, Any]:
    """Make a workspace."""
    return show(await services.workspaces.create(body.name, body.id))


@router.get("/workspaces")
async def list_workspaces(
    services: ServicesDep, principal: Known, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> dict[str, Any]:
    """List the workspaces that the caller may see."""
    principal.require(Scope.MEMBER)
    after = unpack(cursor, str) or ("",)
    found = await services.workspaces.list(principal.workspaces, after=after[0], limit=limit + 1)
    return page(found, limit, show, lambda workspace: (workspace.id,))


@router.get("/workspaces/{workspace}")
async def get_workspace(services: ServicesDep, access: MemberAccess) -> dict[str, Any]:
    """Return one workspace."""
    return show(await services.workspaces.get(access.workspace_id))


@router.patch("/workspaces/{workspace}")
async def rename_workspace(services: ServicesDep, access: AdminAccess, body: WorkspaceChange) -> dict[str, Any]:
    """Give a workspace another name."""
    return show(await services.workspaces.rename(access.workspace_id, body.name))


def show(workspace: Workspace) -> dict[str, Any]:
    """Return a workspace as the API shows it."""
    return {"id": workspace.id, "name": workspace.name, "createdAt": iso(workspace.created_at)}
