"""`/workspaces/{w}/sources`: the services whose webhooks the workspace takes. Secrets go in and never come out."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Response

from hookyard.core.clock import iso
from hookyard.web.api.access import AdminAccess, ServicesDep
from hookyard.web.api.bodies import Body
from hookyard.workspace.integrations import ConfiguredIntegration

router = APIRouter(tags=["sources"])


class SourceBody(Body):
    """How a service is set up; what is left out stays as it is.

    `secret` verifies its deliveries. With `credential` comments are posted back; then `identities` names the logins
    that it acts as, and `url` the address of a service that has no usual one.
    """

    secret: str | None = None
    credential: str | None = None
    identities: list[str] | None = None
    url: str | None = None


@router.put("/workspaces/{workspace}/sources/{kind}")
async def put_source(services: ServicesDep, access: AdminAccess, kind: str, body: SourceBody) -> dict[str, Any]:
    """Set a service up, or change it."""
    made = await services.sources.configure(
        access.workspace_id,
        kind,
        secret=body.secret,
        credential=body.credential,
        identities=body.identities,
        home=body.url,
    )
    return show(made, access.workspace_id)


@router.get("/workspaces/{workspace}/sources")
async def list_sources(services: ServicesDep, access: AdminAccess) -> dict[str, Any]:
    """List the services that are configured."""
    found = await services.sources.list(access.workspace_id)
    return {"items": [show(source, access.workspace_id) for source in found], "nextCursor": None}


@router.delete("/workspaces/{workspace}/sources/{kind}", status_code=HTTPStatus.NO_CONTENT)
async def delete_source(services: ServicesDep, access: AdminAccess, kind: str) -> Response:
    """Take no more deliveries of a service."""
    await services.sources.remove(access.workspace_id, kind)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def show(source: ConfiguredIntegration, workspace_id: str) -> dict[str, Any]:
    """Return a source as the API shows it."""
    return {
        "id": source.kind,
        "kind": source.kind,
        "door": f"/in/{source.kind}/{workspace_id}",
        "hasCredential": source.has_credential,
        "identities": list(source.identities),
        "url": source.home,
        "updatedAt": iso(source.updated_at),
    }
