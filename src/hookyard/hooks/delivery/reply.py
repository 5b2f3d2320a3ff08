"""What a webhook's answer means at a point.

Pure: `dispatch` gives it a 2xx body and the point, and gets back what counts. Contract, section 5.
"""

from __future__ import annotations

import codecs
import json
from functools import lru_cache
from typing import Any, NamedTuple

from hookyard.hooks.decision import Result
from hookyard.hooks.delivery.egress import charset_of
from hookyard.hooks.points import Modifies, PointSpec

LONGEST_MESSAGE = 4000
"""Characters of a webhook's message that a model is shown at most."""

_SHORT = 256


class WebhookReply(NamedTuple):
    """What one answer counts for.

    Attributes:
        result: After the rules of the point: a `deny` where none is possible is a `warning`.
        message: What the webhook said, or why its answer does not count as what it says.
        content: With `modify`, what is to be used: tool arguments as a JSON text, elsewhere plain text.
        well_formed: It is a valid `ok`, `warning`, `deny` or `modify`; a gate that fails closed passes nothing else.
    """

    result: Result
    message: str = ""
    content: str | None = None
    well_formed: bool = True


def parse_reply(body: bytes, content_type: str, spec: PointSpec | None, *, may_modify: bool) -> WebhookReply:
    """Read the body of a 2xx answer.

    Args:
        body: As received, at most 1 MiB.
        content_type: As declared; it matters only for a body that is no UTF-8.
        spec: The point; None when no caller waits for the answer, so that it can only warn.
        may_modify: Whether this webhook may modify at all (chat services and plain http off loopback may not).
    """
    value = _json_object(body, content_type)
    if value is None:
        what = "empty" if not body.strip() else "not a JSON object"
        return WebhookReply(Result.OK, f"the answer is {what}", well_formed=False)
    said = value.get("result")
    message = _text(value.get("message"))
    word = said.strip().lower() if isinstance(said, str) else None
    if word is None and "result" not in value:
        return WebhookReply(Result.OK, message or "the answer has no 'result'", well_formed=False)
    if word == "ok":
        return WebhookReply(Result.OK, message)
    if word == "warning":
        return WebhookReply(Result.WARNING, message or "warning without a message")
    if word == "deny":
        message = message or "denied without a reason"
        if spec is not None and spec.may_deny:
            return WebhookReply(Result.DENY, message)
        return WebhookReply(Result.WARNING, f"wants to deny, which is not possible {_where(spec)}: {message}")
    if word == "modify":
        return _modification(value, message, spec, may_modify=may_modify)
    return WebhookReply(
        Result.WARNING, f"unknown result {_shown(said)}" + (f": {message}" if message else ""), well_formed=False
    )


def _where(spec: PointSpec | None) -> str:
    return "in the background" if spec is None else f"at {spec.point}"


def _modification(value: dict[str, Any], message: str, spec: PointSpec | None, *, may_modify: bool) -> WebhookReply:
    if spec is None or spec.modifies is Modifies.NOTHING:
        return WebhookReply(Result.WARNING, f"wants to modify, which is not possible {_where(spec)}")
    if not may_modify:
        return invalid_reply("a chat service, or plain http:// to another machine, may not modify", spec)
    content = value.get("modified_content")
    if content is None:
        return invalid_reply("modify without 'modified_content'", spec)
    if spec.modifies is not Modifies.TOOL_ARGS:
        if not isinstance(content, str):
            return invalid_reply("'modified_content' must be a text here", spec)
        return WebhookReply(Result.MODIFY, message, _sendable(content))
    try:
        arguments = json.loads(content) if isinstance(content, str) else content
        written = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        written.encode()
    except UnicodeEncodeError:
        return invalid_reply("'modified_content' holds half a character, so it cannot be the tool's arguments", spec)
    except (ValueError, RecursionError):
        return invalid_reply("'modified_content' is not JSON, so it cannot be the tool's arguments", spec)
    if not isinstance(arguments, dict):
        return invalid_reply("'modified_content' is not a JSON object, so it cannot be the tool's arguments", spec)
    # A text goes through as it was given: key order and number forms are the webhook's.
    return WebhookReply(Result.MODIFY, message, content if isinstance(content, str) else written)


def invalid_reply(reason: str, spec: PointSpec) -> WebhookReply:
    """Return the reply for a modification that cannot be used: the step must not run unmodified."""
    if spec.may_deny:
        return WebhookReply(Result.DENY, f"the modification cannot be used: {reason}", well_formed=False)
    return WebhookReply(Result.WARNING, f"the modification is not used: {reason}", well_formed=False)


def _json_object(body: bytes, content_type: str) -> dict[str, Any] | None:
    # Receivers say the same few short things all the time.
    return _short_json_object(body, content_type) if len(body) <= _SHORT else _parsed(body, content_type)


@lru_cache(maxsize=64)
def _short_json_object(body: bytes, content_type: str) -> dict[str, Any] | None:
    return _parsed(body, content_type)


def _parsed(body: bytes, content_type: str) -> dict[str, Any] | None:
    try:
        text = body.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError:
        try:
            text = body.decode(charset_of(content_type) or "ascii")
        except (UnicodeDecodeError, LookupError, ValueError):
            return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _text(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _sendable(text[:LONGEST_MESSAGE]).strip()


def _sendable(text: str) -> str:
    """Return text without what models and databases reject although JSON can hold it: NUL and halves of characters."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _shown(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)[:60]
