"""Tries a workspace's webhook out from its page: a test delivery, and a delivery sent again.

What goes out is a real delivery with the same guard, signature and format as a run's, but its answer has no effect.
Its record is kept like any other. Modules of the HTTP client are imported when the first trial is made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from hookyard.core.errors import ConflictError, NotFoundError, PermanentError
from hookyard.core.ids import WorkspaceId
from hookyard.hooks.samples import SHELLS
from hookyard.store import schema
from hookyard.web.services import Services
from hookyard.web.webhook_coverage import trial_tool
from hookyard.workspace.webhooks import refuse

SAMPLE_ARGS = '{"command": "echo a test of hookyard"}'
OTHER_ARGS = '{"path": "a-test-of-hookyard.md"}'


async def test(services: Services, workspace_id: WorkspaceId, name: str) -> str:
    """Send a made-up occasion of the first point that the webhook listens to.

    Returns:
        The delivery's id; its record says how it went.

    Raises:
        NotFoundError: No such webhook.
        InvalidError: It cannot be used.
        ConflictError: Its matcher fits no known tool, so no run would call it for one.
    """
    from hookyard.hooks.payload import HookEvent
    from hookyard.hooks.points import POINTS, Point, points_of

    entry = await services.webhooks.entry(workspace_id, name)
    listened = points_of(str(entry.get("trigger", "")))
    point = Point.PRE_TOOL if Point.PRE_TOOL in listened or not listened else min(listened, key=list(Point).index)
    tool = _sample_call(entry) if POINTS[point].for_tools else {}
    occasion = HookEvent(
        point, services.clock.now(), session_id="test", turn_number=1, workspace_id=workspace_id, **tool  # type: ignore[arg-type]
    )  # fmt: skip
    return await _send(services, workspace_id, entry, occasion)


def _sample_call(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return a call of a tool that the webhook's matcher covers."""
    tool = trial_tool(entry)
    if tool is None:
        raise ConflictError(
            "the matcher fits no known tool, so nothing was sent", hint="change the matcher, or wait for a run"
        )
    return {"tool_name": tool, "tool_args": SAMPLE_ARGS if tool.lower() in SHELLS else OTHER_ARGS}


async def replay(services: Services, workspace_id: WorkspaceId, delivery_id: str) -> str:
    """Send a delivery's body once more, as a delivery of its own.

    Raises:
        NotFoundError: No such delivery or webhook.
        ConflictError: Its body was made for a chat service and cannot be read back.
    """
    table = schema.deliveries
    query = select(table.c.details).where(table.c.workspace_id == workspace_id, table.c.id == delivery_id)
    stored = await services.database.read(lambda conn: conn.execute(query).scalar())
    if stored is None:
        raise NotFoundError("there is no such delivery", where=delivery_id)
    details = json.loads(stored)
    if details.get("format") != "hookyard":
        raise ConflictError("a message to a chat service cannot be sent again", hint="send a test instead")
    entry = await services.webhooks.entry(workspace_id, details["webhook"])
    return await _send(services, workspace_id, entry, json.loads(details["request"]), details)


async def _send(
    services: Services,
    workspace_id: WorkspaceId,
    entry: Mapping[str, Any],
    what: Any,
    details: Mapping[str, Any] | None = None,
) -> str:
    from hookyard.hooks.delivery.breaker import Breaker
    from hookyard.hooks.delivery.delivery import Deliverer
    from hookyard.hooks.delivery.delivery_log import Delivery, DeliveryState
    from hookyard.hooks.delivery.egress import Egress
    from hookyard.hooks.delivery.guard import Guard
    from hookyard.hooks.dispatch import Dispatch
    from hookyard.hooks.webhook import Webhook
    from hookyard.runs.workspace_hooks import DeliveryRecords

    webhook = refuse(workspace_id, {**entry, "enabled": True}).gate
    if not isinstance(webhook, Webhook):
        raise PermanentError("the webhook cannot be called", where=str(entry.get("name")))
    records = DeliveryRecords(services.database)
    egress = Egress(Guard.for_server(services.settings.allow_private_hosts))
    made = str(services.ids.delivery())
    deliverer = Deliverer(egress, services.clock, warn=lambda _line: None)
    try:
        if details is None:
            await Dispatch(deliverer, _NoBackgroundQueue(), Breaker(None, services.clock), lambda: made, records).ask(
                webhook, what
            )
        else:
            sent = await deliverer.deliver(webhook, made, what)
            state = DeliveryState.FAILED if sent.failure else DeliveryState.DELIVERED
            records.record(
                Delivery(
                    made, webhook.name, str(details.get("event", "")), webhook.format, webhook.shown_url,
                    sent.request.decode("utf-8", "replace"), services.clock.now(), state, sent.attempts,
                    message=sent.failure, run_id=str(details.get("run_id") or ""), workspace_id=workspace_id,
                )
            )  # fmt: skip
    finally:
        await egress.aclose()
        await records.close()
    return made


class _NoBackgroundQueue:
    """Nothing is put off in a trial."""

    async def put(self, webhook: Any, occasion: Any) -> None:
        """Do nothing: a test waits for its reply."""

    async def is_rate_limited(self, webhook: Any) -> bool:
        """Return False: a test is sent at once."""
        return False
