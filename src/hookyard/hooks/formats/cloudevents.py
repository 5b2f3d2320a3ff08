"""CloudEvents 1.0 in structured mode: hookyard's body as the data of an event.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md (attributes) and …/formats/json-format.md (media
type). The reply is read like any receiver's, so such a webhook may deny and modify.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

from hookyard.hooks.formats.base import Body, Rate, ReplyJudgement, Request, Target, json_request, judge_status

MEDIA_TYPE = "application/cloudevents+json; charset=UTF-8"
TYPE_PREFIX = "dev.hookyard.hook."


class CloudEvents:
    """Any receiver of CloudEvents over HTTP."""

    name = "cloudevents"
    chat = False
    rates: tuple[Rate, ...] = ()

    def matches(self, url: str) -> bool:
        """Return False: no address shows that it expects CloudEvents."""
        return False

    def build(self, body: Body, target: Target) -> Request:
        """Return the event; its `id` is the delivery's, so that source and id are the same on every retry."""
        context = body.get("hook_context")
        session = context.get("session_id") if isinstance(context, Mapping) else None
        event = body.get("event")
        message: dict[str, object] = {
            "specversion": "1.0",
            "id": target.delivery_id,
            "source": f"/hookyard/{quote(str(body.get('agent') or 'agent'), safe='')}",
            "type": TYPE_PREFIX + (event if isinstance(event, str) and event else "batch"),
            "datacontenttype": "application/json",
            "data": body,
        }
        if isinstance(session, str) and session:
            message["subject"] = session
        if _dated(body.get("timestamp")):
            message["time"] = body["timestamp"]
        return json_request(target.url, message, MEDIA_TYPE)

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ReplyJudgement:
        """Judge by status; `reply` reads the body of a 2xx."""
        return judge_status(status, headers, body, now)


def _dated(value: object) -> bool:
    """Return whether the value is a time with its offset, as RFC 3339 requires."""
    try:
        return isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


FORMAT = CloudEvents()
