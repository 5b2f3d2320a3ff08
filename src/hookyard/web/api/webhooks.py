"""`/workspaces/{w}/webhooks`: the webhooks of a workspace's runs, with the keys of a `hooks.toml` entry."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Response

from hookyard.core.clock import iso
from hookyard.core.errors import InvalidError, Problem
from hookyard.web.api.access import AdminAccess, ServicesDep
from hookyard.web.api.bodies import JsonObject
from hookyard.workspace.webhooks import StoredWebhook

router = APIRouter(tags=["webhooks"])

WebhookBody = Annotated[
    JsonObject,
    Body(description="The keys of a hooks.toml entry. url, headers and secret are never shown; left out, they stay."),
]


@router.post("/workspaces/{workspace}/webhooks", status_code=HTTPStatus.CREATED)
async def create_webhook(services: ServicesDep, access: AdminAccess, body: WebhookBody) -> dict[str, Any]:
    """Make a webhook."""
    name = body.get("name")
    if not isinstance(name, str) or not name.strip():
        raise InvalidError("name is missing", problems=(Problem("name", "is missing; give it a name"),))
    kept, _ = await services.webhooks.put(access.workspace_id, name, body, new_only=True)
    return show(kept)


@router.get("/workspaces/{workspace}/webhooks")
async def list_webhooks(services: ServicesDep, access: AdminAccess) -> dict[str, Any]:
    """List the webhooks without their secrets."""
    found = await services.webhooks.list(access.workspace_id)
    return {"items": [show(kept) for kept in found], "nextCursor": None}


@router.put("/workspaces/{workspace}/webhooks/{name}")
async def put_webhook(
    services: ServicesDep, access: AdminAccess, name: str, body: WebhookBody, response: Response
) -> dict[str, Any]:
    """Make a webhook of that name, or change it."""
    kept, new = await services.webhooks.put(access.workspace_id, name, body)
    response.status_code = HTTPStatus.CREATED if new else HTTPStatus.OK
    return show(kept)


@router.delete("/workspaces/{workspace}/webhooks/{name}", status_code=HTTPStatus.NO_CONTENT)
async def delete_webhook(services: ServicesDep, access: AdminAccess, name: str) -> Response:
    """Forget a webhook."""
    await services.webhooks.remove(access.workspace_id, name)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def show(kept: StoredWebhook) -> dict[str, Any]:
    """Return a webhook as the API shows it."""
    return {
        "id": kept.name,
        **kept.shown,
        "hasSecret": kept.has_secret,
        "createdAt": iso(kept.created_at),
        "updatedAt": iso(kept.updated_at),
    }
