"""The OpenAPI description of the endpoints that are no FastAPI routes.

Read by `web.api.application`; the endpoints themselves are `web.ingest` and `web.inbound_webhooks`.
"""

from __future__ import annotations

from typing import Any

from hookyard.events.integrations import integrations
from hookyard.web import inbound_webhooks, ingest

_RESULT = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "string", "description": "The event"},
        "runs": {"type": "array", "items": {"type": "string"}, "description": "Runs that it started"},
        "batchId": {"type": "string", "description": "The batch that it joined"},
        "duplicateOf": {"type": "string", "description": "The event that it repeats; nothing was stored"},
    },
}
_RESULTS = {
    "type": "object",
    "required": ["results"],
    "properties": {"results": {"type": "array", "items": _RESULT}},
}
_CLOUD_EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string"},
        "source": {"type": "string"},
        "type": {"type": "string", "description": "The event's name"},
        "time": {"type": "string", "format": "date-time"},
        "operationid": {"type": "string"},
        "data": {"type": "object", "description": "The variables"},
    },
}
_FLAT = {
    "type": "object",
    "required": ["eventName"],
    "properties": {
        "eventName": {"type": "string"},
        "id": {"type": "string"},
        "source": {"type": "string"},
        "operationId": {"type": "string"},
        "timestamp": {"type": "string", "format": "date-time"},
    },
    "additionalProperties": {"description": "The variables, see GET /api/v1/event-types"},
}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/problem+json": {"schema": {"type": "object"}}}}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _path(name: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string"},
        "description": description,
    }


_WORKSPACE = _path("workspace", "Id of the workspace")
_TAKEN = {
    "type": "object",
    "required": ["results"],
    "properties": {
        "results": {
            "type": "array",
            "items": {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
            "description": "The events that it became",
        }
    },
}

INGEST_PATHS: dict[str, dict[str, Any]] = {
    ingest.PATH: {
        "post": {
            "tags": ["events"],
            "summary": "Send an event, or a batch of CloudEvents",
            "operationId": "send_event",
            "security": [{"HTTPBearer": []}],
            "parameters": [_WORKSPACE],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": _FLAT},
                    "application/cloudevents+json": {"schema": _CLOUD_EVENT},
                    "application/cloudevents-batch+json": {"schema": {"type": "array", "items": _CLOUD_EVENT}},
                },
            },
            "responses": {
                "200": _json("A duplicate; nothing was stored", _RESULT),
                "202": _json("Accepted and stored", {"oneOf": [_RESULT, _RESULTS]}),
                "401": _problem("No good token"),
                "403": _problem("A token that may not do this"),
                "404": _problem("Unknown or foreign workspace"),
                "413": _problem("More than 1 MiB"),
                "422": _problem("Refused; every problem is named and nothing was stored"),
                "429": _problem("Too many runs wait; Retry-After says when to come back"),
                "503": _problem("Cannot be judged or stored now; Retry-After says when to come back"),
            },
        }
    },
    inbound_webhooks.PATH: {
        "post": {
            "tags": ["sources"],
            "summary": "Take a webhook of a service, signed with the secret of the workspace's source",
            "operationId": "receive_delivery",
            "security": [],  # the service's own signature instead of a token
            "parameters": [
                _path("kind", "The service") | {"schema": {"type": "string", "enum": sorted(integrations())}},
                _WORKSPACE,
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object", "description": "As the service sends"}}},
            },
            "responses": {
                "202": _json("Accepted and stored", _TAKEN),
                "204": {"description": "It means nothing here; nothing was stored"},
                "401": _problem("Not signed with the secret, or no such source in such a workspace"),
                "404": _problem("Unknown service"),
                "413": _problem("More than 1 MiB"),
                "422": _problem("Cannot be read; nothing was stored"),
                "503": _problem("Cannot be judged or stored now; the service may send it again"),
            },
        }
    },
}
"""By path, what is added to the document."""
