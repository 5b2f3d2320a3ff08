"""`/workspaces/{w}/tokens` and `/tokens`: made and shown once, listed, revoked.

A member makes tokens of scope `member` for themselves; those that send events for others, `ingest`, and those of
administrators are administrators' to give.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from fastapi import APIRouter, Response

from hookyard.core.clock import iso
from hookyard.core.ids import TokenId
from hookyard.identity.tokens import ApiToken, Scope
from hookyard.web.api.access import AdminAccess, Administrator, ServicesDep
from hookyard.web.api.bodies import Body

router = APIRouter(tags=["tokens"])


class NewToken(Body):
    """A token of a workspace to be made. Of scope `member` it acts as its maker (or `X-Hookyard-Actor`)."""

    name: str
    scope: Literal["ingest", "member"]


class NewAdminToken(Body):
    """An administrator's token to be made."""

    name: str


@router.post("/workspaces/{workspace}/tokens", status_code=HTTPStatus.CREATED)
async def create_token(services: ServicesDep, access: AdminAccess, body: NewToken) -> dict[str, Any]:
    """Make a token; `token` in the answer is shown this once."""
    token, secret = await services.tokens.create(
        body.name, Scope(body.scope), access.workspace_id, access.actor.user_id
    )
    return show(token) | {"token": secret}


@router.get("/workspaces/{workspace}/tokens")
async def list_tokens(services: ServicesDep, access: AdminAccess) -> dict[str, Any]:
    """List the workspace's tokens, without the tokens themselves."""
    return {"items": [show(token) for token in await services.tokens.list(access.workspace_id)], "nextCursor": None}


@router.delete("/workspaces/{workspace}/tokens/{token_id}", status_code=HTTPStatus.NO_CONTENT)
async def revoke_token(services: ServicesDep, access: AdminAccess, token_id: str) -> Response:
    """End a token; it is refused by every server within 2 seconds."""
    await services.tokens.revoke(access.workspace_id, TokenId(token_id))
    services.auth.forget()
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post("/tokens", status_code=HTTPStatus.CREATED)
async def create_admin_token(services: ServicesDep, admin: Administrator, body: NewAdminToken) -> dict[str, Any]:
    """Make an administrator's token; `token` in the answer is shown this once."""
    token, secret = await services.tokens.create(body.name, Scope.ADMIN, None, admin.actor().user_id)
    return show(token) | {"token": secret}


@router.get("/tokens")
async def list_admin_tokens(services: ServicesDep, _admin: Administrator) -> dict[str, Any]:
    """List administrators' tokens, without the tokens themselves."""
    return {"items": [show(token) for token in await services.tokens.list(None)], "nextCursor": None}


@router.delete("/tokens/{token_id}", status_code=HTTPStatus.NO_CONTENT)
async def revoke_admin_token(services: ServicesDep, _admin: Administrator, token_id: str) -> Response:
    """End an administrator's token."""
    await services.tokens.revoke(None, TokenId(token_id))
    services.auth.forget()
    return Response(status_code=HTTPStatus.NO_CONTENT)


def show(token: ApiToken) -> dict[str, Any]:
    """Return a token as the API shows it."""
    return {
        "id": token.id,
        "name": token.name,
        "scope": token.scope.value,
        "userId": token.user_id,
        "createdAt": iso(token.created_at),
        "expiresAt": None if token.expires_at is None else iso(token.expires_at),
    }
