"""`/workspaces/{w}/members`: administrators add and remove them, members list them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Response

from hookyard.core.clock import iso
from hookyard.web.api.access import AdminAccess, MemberAccess, ServicesDep
from hookyard.web.api.bodies import Body
from hookyard.web.api.paging import DEFAULT_LIMIT, Cursor, Limit, page, unpack
from hookyard.workspace.members import Member

router = APIRouter(tags=["members"])


class NewMember(Body):
    """A person who joins."""

    user_id: str
    user_name: str


@router.post("/workspaces/{workspace}/members", status_code=HTTPStatus.CREATED)
async def add_member(services: ServicesDep, access: AdminAccess, body: NewMember) -> dict[str, Any]:
    """Add a member: workspace.member_joined."""
    return show(await services.members.add(access.workspace_id, body.user_id, body.user_name, access.actor))


@router.get("/workspaces/{workspace}/members")
async def list_members(
    services: ServicesDep, access: MemberAccess, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> dict[str, Any]:
    """List the members."""
    after = unpack(cursor, str) or ("",)
    found = await services.members.list(access.workspace_id, after=after[0], limit=limit + 1)
    return page(found, limit, show, lambda member: (member.user_id,))


@router.delete("/workspaces/{workspace}/members/{user_id}", status_code=HTTPStatus.NO_CONTENT)
async def remove_member(services: ServicesDep, access: AdminAccess, user_id: str) -> Response:
    """Remove a member: workspace.member_left. Tokens that act for them here end."""
    await services.members.remove(access.workspace_id, user_id, access.actor)
    services.auth.forget()
    return Response(status_code=HTTPStatus.NO_CONTENT)


def show(member: Member) -> dict[str, Any]:
    """Return a member as the API shows it."""
    return {
        "id": member.user_id,
        "userId": member.user_id,
        "userName": member.user_name,
        "joinedAt": iso(member.joined_at),
    }
