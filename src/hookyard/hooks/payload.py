"""What happened, and the request body that tells a webhook of it.

`HookEvent` is made by `hooks` when a point is fired; `dispatch` asks for a body per webhook and changes the occasion as
webhooks modify it. The layout is the contract's, section 3; nothing is sent from here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any, cast

from hookyard.core.clock import iso
from hookyard.hooks import formats
from hookyard.hooks.formats.base import ReadyBody, json_bytes
from hookyard.hooks.points import POINTS, Modifies, Point, PointSpec
from hookyard.hooks.values import once, value
from hookyard.hooks.webhook import Webhook

if TYPE_CHECKING:
    from hookyard.hooks.redaction.redactor import Marks, Redactor

_TOP_LEVEL = {
    Point.MODEL_RESPONSE: ("response", "turn_context"),
    Point.POST_TURN: ("turn_result",),
}
"""Own keys that stand at the top of the body instead of in `context`."""

_OF_RESULT = ("result", "success", "duration_ms")
"""Own keys of `post_tool` that stand in `result_context`."""

_ELSEWHERE = {**_TOP_LEVEL, Point.POST_TOOL: _OF_RESULT}
"""Own keys that do not stand in `context`."""

_OUR_OWN = {"hook_name", "trigger", "event", "agent", "timestamp", "timestamp_ms"}
"""Keys whose values hookyard makes itself, and which no pattern hides."""

_CONTENT_KEY = {
    Modifies.MESSAGE: "content",
    Modifies.SYSTEM_PROMPT: "system_prompt",
    Modifies.RESPONSE: "response",
    Modifies.RESULT: "result",
}


@value
class HookEvent:
    """One firing of a point.

    Attributes:
        point: The point.
        at: Seconds since the epoch.
        session_id: The agent's session.
        working_dir: The agent's working folder.
        turn_number: Turn of the session, from 1.
        tool_name: The tool that the point is about.
        tool_args: Its arguments, a JSON text as the model gave it.
        agent: Which agent.
        cause: The event, callback and run that led here.
        run_id: The run, `""` outside one; not sent by itself.
        workspace_id: The run's workspace, `""` outside one; not sent.
        own: The event's own keys.
    """

    point: Point
    at: float
    session_id: str | None = None
    working_dir: str | None = None
    turn_number: int | None = None
    tool_name: str | None = None
    tool_args: str | None = None
    agent: str = "hookyard"
    cause: Mapping[str, Any] | None = None
    run_id: str = ""
    workspace_id: str = ""
    own: Mapping[str, Any] = field(default_factory=dict)

    @once
    def spec(self) -> PointSpec:
        """Return the contract's entry for the point."""
        return POINTS[self.point]

    @property
    def content(self) -> str | None:
        """The thing that the point is about and that a webhook may modify, as text."""
        modifies = self.spec.modifies
        if modifies is Modifies.TOOL_ARGS:
            return self.tool_args
        value = self.own.get(_CONTENT_KEY[modifies]) if modifies in _CONTENT_KEY else None
        return value if value is None or isinstance(value, str) else as_json(value)

    @once
    def shared_body(self) -> dict[str, Any]:
        """Return the part of the body that is equal for every webhook; not to be changed."""
        common = hook_context(self)
        body: dict[str, Any] = {
            "event": self.spec.event,
            "context": _with_own(common, self, _ELSEWHERE.get(self.point, ())),
            "hook_context": common,
        }
        if self.point is Point.POST_TOOL:
            about = {"tool_name": self.tool_name, "tool_args": self.tool_args}
            about.update({key: self.own.get(key) for key in _OF_RESULT})
            body["result_context"] = {key: value for key, value in about.items() if value is not None}
        if self.point is Point.MODEL_RESPONSE:
            body["turn_context"] = common
        for key in _TOP_LEVEL.get(self.point, ()):
            if self.own.get(key) is not None:
                body[key] = self.own[key]
        body["agent"] = self.agent
        body["timestamp"] = iso(self.at)
        if self.cause:
            body["cause"] = self.cause
        return body

    @once
    def shared_body_json(self) -> bytes:
        """Return the shared part as JSON without the opening brace; it follows a webhook's `body_prefix`."""
        return json_bytes(self.shared_body)[1:]

    def with_content(self, content: str) -> HookEvent:
        """Return the event after a webhook modified its content."""
        if self.spec.modifies is Modifies.TOOL_ARGS:
            return replace(self, tool_args=content)
        if self.spec.modifies in _CONTENT_KEY:
            return replace(self, own={**self.own, _CONTENT_KEY[self.spec.modifies]: content})
        return self


def body_of(webhook: Webhook, occasion: HookEvent) -> dict[str, Any]:
    """Return the request body for one webhook.

    Args:
        webhook: Whom it is for.
        occasion: What happened, as the webhooks before it left it.

    Returns:
        A JSON object of the contract.
    """
    return {"hook_name": webhook.name, "trigger": webhook.trigger, **occasion.shared_body}


def single_body(webhook: Webhook, occasion: HookEvent) -> dict[str, Any]:
    """Return the request body, as ready JSON where it goes out unchanged."""
    if webhook.format != formats.DEFAULT or webhook.redact:
        return body_of(webhook, occasion)
    return _ready(webhook.body_prefix + occasion.shared_body_json)


def stored_body(webhook: Webhook, text: str) -> dict[str, Any]:
    """Return a body that was stored as JSON; it is parsed only where a format rewrites it."""
    if webhook.format != formats.DEFAULT:
        return cast("dict[str, Any]", json.loads(text))
    return _ready(text.encode())


def _ready(text: bytes) -> ReadyBody:
    body = ReadyBody()
    body.json = text
    return body


def whole_body(webhook: Webhook, occasion: HookEvent) -> dict[str, Any]:
    """Return what goes out when one event is sent alone: a batch of one to a webhook that takes batches."""
    return {"events": [batch_entry(webhook, occasion)]} if webhook.batch else single_body(webhook, occasion)


def redacted(body: dict[str, Any], redactor: Redactor | None) -> tuple[dict[str, Any], Marks | None]:
    """Return a body whose secrets are replaced by marks, and the marks.

    What hookyard itself says of the event (its name, the webhook's, the time) stays as it is.
    """
    if redactor is None:
        return body, None
    hidden, marks = redactor.hide({key: value for key, value in body.items() if key not in _OUR_OWN})
    return {key: hidden.get(key, value) for key, value in body.items()}, marks


def batch_entry(webhook: Webhook, occasion: HookEvent) -> dict[str, Any]:
    """Return one element of `events` in the body of a batch."""
    return {
        "event": occasion.spec.event,
        "hook_name": webhook.name,
        "trigger": webhook.trigger,
        "context": _with_own(hook_context(occasion), occasion),
        "timestamp_ms": int(occasion.at * 1000),
    }


def hook_context(occasion: HookEvent) -> dict[str, Any]:
    """Return the common part without what does not apply."""
    common: dict[str, Any] = {}
    if occasion.tool_name is not None:
        common["tool_name"] = occasion.tool_name
    if occasion.tool_args is not None:
        common["tool_args"] = occasion.tool_args
    if occasion.working_dir is not None:
        common["working_dir"] = occasion.working_dir
    if occasion.session_id is not None:
        common["session_id"] = occasion.session_id
    if occasion.turn_number is not None:
        common["turn_number"] = occasion.turn_number
    return common


def _with_own(common: dict[str, Any], occasion: HookEvent, elsewhere: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the common part and the event's own keys, without those that are elsewhere in the body."""
    context = dict(common)
    if occasion.point is Point.MESSAGE:
        context["attached_files"] = []
        context["timestamp"] = iso(occasion.at)
    context.update({key: own for key, own in occasion.own.items() if own is not None and key not in elsewhere})
    return context


def as_json(value: object) -> str:
    """Return a value as a JSON text; what JSON has no form for becomes text, and a lone surrogate `?`."""
    return json_bytes(value).decode()
