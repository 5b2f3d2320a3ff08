"""`POST /api/v1/workspaces/{w}/events`: the hot path, plain ASGI without routing, middleware or validation layers.

Bytes to checked drafts (`events.envelope`), drafts to the path of an event (`intake.accept`), answer after the
commit: 202, 200 for a duplicate, 422, 429, 503. `web.app` puts it in front of everything else; the API's OpenAPI
describes it by `web.api.ingest_docs`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from time import perf_counter
from typing import Any, NamedTuple

from pydantic_core import to_json
from starlette.types import ASGIApp, Receive, Scope, Send

from hookyard.core.errors import HookyardError
from hookyard.events import envelope
from hookyard.identity.tokens import Scope as TokenScope
from hookyard.intake.pending import Accepted
from hookyard.telemetry import traces
from hookyard.web import problems
from hookyard.web.body_limit import announced, too_large
from hookyard.web.services import Services

PATH = "/api/v1/workspaces/{workspace}/events"

_PREFIX, _, _SUFFIX = PATH.partition("{workspace}")

logger = logging.getLogger(__name__)


class DisconnectedError(Exception):
    """The sender went away before the whole event was here."""


class IngestResponse(NamedTuple):
    """A whole response.

    Attributes:
        status: Its status.
        headers: Its headers, length included.
        body: Its body.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Ingest:
    """Takes events, and leaves every other request to the application behind it.

    Args:
        services: The parts it needs.
        behind: The rest of the server.
    """

    def __init__(self, services: Services, behind: ASGIApp) -> None:
        self._services = services
        self._counts = services.counts
        self._behind = behind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        workspace = workspace_of(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if workspace is None:
            await self._behind(scope, receive, send)
            return
        with suppress(DisconnectedError):
            status, headers, body = await self.answer(workspace, scope["headers"], receive)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})

    async def answer(self, workspace: str, headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> IngestResponse:
        """Accept the events of one request and return its response.

        Args:
            workspace: As the address names it.
            headers: Of the request, their names in lower case.
            receive: ASGI's channel of the request's body.

        Raises:
            DisconnectedError: The sender is gone.
        """
        begun = perf_counter()
        try:
            status, content = await self._take(workspace, headers, receive)
        except DisconnectedError:
            raise
        except Exception as error:
            if not isinstance(error, HookyardError):
                logger.exception("an event could not be taken")
            refusal = problems.of_error(error) if isinstance(error, HookyardError) else problems.fault()
            self._counts.refused[refusal.status_code] += 1
            return IngestResponse(refusal.status_code, refusal.raw_headers, bytes(refusal.body))
        finally:
            self._counts.seconds += perf_counter() - begun
        text = to_json(content)
        length = b"%d" % len(text)
        return IngestResponse(status, [(b"content-type", b"application/json"), (b"content-length", length)], text)

    async def _take(
        self, workspace: str, headers: Iterable[tuple[bytes, bytes]], receive: Receive
    ) -> tuple[int, dict[str, Any]]:
        services = self._services
        authorization = ""
        of_event: dict[str, str] = {}
        parents: list[bytes] = []
        for name, value in headers:
            if name == b"authorization":
                authorization = value.decode("latin-1")
            elif name == b"content-type" or name[:3] == b"ce-":
                of_event[name.decode("latin-1")] = value.decode("latin-1")
            elif name == b"traceparent":
                parents.append(value)
        principal = await services.auth.bearer(authorization)
        workspace_id = await services.auth.workspace(principal, workspace)
        principal.require(TokenScope.INGEST, TokenScope.MEMBER)
        if announced(headers) > envelope.MAX_BODY_BYTES:
            raise too_large(envelope.MAX_BODY_BYTES)
        body = await _body(receive)
        parsed = envelope.parse(body, of_event, workspace_id, services.event_types.current, principal.trust)
        drafts = parsed.drafts
        if parents and (parent := traces.sender(parents)) is not None:
            drafts = tuple(draft._replace(traceparent=parent) for draft in drafts)
        accepted = await services.accept.accept(workspace_id, drafts, limited=True)
        self._counts.accepted += len(accepted)
        for one in accepted:
            if one.duplicate_of is not None:
                self._counts.accepted -= 1
                self._counts.duplicates += 1
        if parsed.batch:
            return HTTPStatus.ACCEPTED, {"results": [_result(one) for one in accepted]}
        (one,) = accepted
        return HTTPStatus.ACCEPTED if one.duplicate_of is None else HTTPStatus.OK, _result(one)


def workspace_of(path: str) -> str | None:
    """Return the workspace that a path of events names; None for any other path."""
    if not path.endswith(_SUFFIX) or not path.startswith(_PREFIX):
        return None
    workspace = path[len(_PREFIX) : -len(_SUFFIX)]
    return workspace if workspace and "/" not in workspace else None


async def _body(receive: Receive) -> bytes:
    """Return the whole body.

    Raises:
        TooLargeError: It is too large, which is known before all of it is here.
        DisconnectedError: The sender is gone.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise DisconnectedError
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > envelope.MAX_BODY_BYTES:
            raise too_large(envelope.MAX_BODY_BYTES)
        more = message.get("more_body", False)
        if not more and not parts:
            return part
        parts.append(part)
        if not more:
            return b"".join(parts)


def _result(one: Accepted) -> dict[str, Any]:
    if one.duplicate_of is not None:
        return {"id": one.event_id, "duplicateOf": one.duplicate_of}
    result: dict[str, Any] = {"id": one.event_id, "runs": one.runs}
    if one.batch_id is not None:
        result["batchId"] = one.batch_id
    return result
