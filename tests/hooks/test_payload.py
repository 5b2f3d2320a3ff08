"""The request body at every point, key for key as the contract's section 3 has it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hookyard.core.clock import iso
from hookyard.hooks.payload import HookEvent, batch_entry, body_of
from hookyard.hooks.points import POINTS, Point
from hookyard.hooks.webhook import Webhook

COMMON: dict[str, Any] = {"working_dir": "/w", "session_id": "session-123", "turn_number": 5}
TOOL: dict[str, Any] = {"tool_name": "edit_file", "tool_args": '{ "path": "a" }', **COMMON}
AT = 1_768_467_600.25
WEBHOOK = Webhook("slack-notify", "post_tool, Error", frozenset(Point), "https://example.com/x")

OWN: dict[Point, dict[str, Any]] = {
    Point.MESSAGE: {"content": "hi", "attached_files": ["a.txt"]},
    Point.TURN_START: {"phase": "start", "has_file_context": False},
    Point.SYSTEM_PROMPT: {"system_prompt": "You are…"},
    Point.MODEL_RESPONSE: {"model_name": "m", "response": "done"},
    Point.TOOL_CALL_START: {"call_id": "c1"},
    Point.PRE_TOOL: {"call_id": "c1"},
    Point.POST_TOOL: {"call_id": "c1", "result": "File updated", "success": True, "duration_ms": 150},
    Point.TURN_COMPLETE: {
        "result_type": "UsedTools",
        "tokens_used": 12,
        "tool_calls": 1,
        "duration_ms": 9,
        "truncated": False,
        "edited_files": ["a"],
    },
    Point.POST_TURN: {"turn_result": "done"},
    Point.SESSION_START: {"model_name": "m", "provider_name": "p"},
    Point.SESSION_END: {"model_name": "m", "provider_name": "p"},
    Point.ERROR: {"error_type": "E", "error_message": "x", "phase": "tool"},
}

IN_CONTEXT: dict[Point, set[str]] = {
    Point.MESSAGE: {"content", "attached_files", "timestamp"},
    Point.MODEL_RESPONSE: {"model_name"},
    Point.POST_TOOL: {"call_id"},
    Point.POST_TURN: set(),
}

AT_THE_TOP: dict[Point, dict[str, Any]] = {
    Point.MODEL_RESPONSE: {"response": "done", "turn_context": COMMON},
    Point.POST_TURN: {"turn_result": "done"},
    Point.POST_TOOL: {
        "result_context": {
            "tool_name": "edit_file",
            "tool_args": '{ "path": "a" }',
            "result": "File updated",
            "success": True,
            "duration_ms": 150,
        }
    },
}


def occasion(point: Point, **keys: Any) -> HookEvent:
    common = TOOL if POINTS[point].for_tools else COMMON
    return HookEvent(point, AT, own=OWN[point], **{**common, **keys})


@pytest.mark.parametrize("point", list(Point))
def test_every_point(point: Point) -> None:
    body = body_of(WEBHOOK, occasion(point))
    common = TOOL if POINTS[point].for_tools else COMMON
    assert body.pop("hook_name") == "slack-notify"
    assert body.pop("trigger") == "post_tool, Error"
    assert body.pop("event") == POINTS[point].event
    assert body.pop("agent") == "hookyard"
    assert body.pop("timestamp") == "2026-01-15T09:00:00.250Z"
    assert body.pop("hook_context") == common
    own = {key: OWN[point].get(key, iso(AT)) for key in IN_CONTEXT.get(point, OWN[point].keys())}
    assert body.pop("context") == {**common, **own}
    assert body == AT_THE_TOP.get(point, {})


def test_what_does_not_apply_is_left_out() -> None:
    body = body_of(WEBHOOK, HookEvent(Point.POST_TOOL, AT, tool_name="bash", own={"success": None}))
    assert body["hook_context"] == body["context"] == {"tool_name": "bash"}
    assert body["result_context"] == {"tool_name": "bash"}
    assert "cause" not in body


def test_arguments_are_the_model_s_own_text() -> None:
    text = '{ "b": 1.0,\n "a": 1e2 }'
    body = json.loads(json.dumps(body_of(WEBHOOK, occasion(Point.PRE_TOOL, tool_args=text))))
    assert body["context"]["tool_args"] == body["hook_context"]["tool_args"] == text


def test_the_cause_goes_along() -> None:
    cause = {"eventId": "evt_1", "callbackId": "cb_1", "runId": "run_1"}
    assert body_of(WEBHOOK, occasion(Point.PRE_TOOL, cause=cause, agent="codex", run_id="run_1"))["cause"] == cause


def test_an_entry_of_a_batch_carries_no_url_and_no_header() -> None:
    webhook = Webhook("a", "*", frozenset(Point), "https://e.com/k3y", headers=(("X", "s3cret"),), secrets=("s",))
    entry = batch_entry(webhook, occasion(Point.POST_TOOL))
    assert set(entry) == {"event", "hook_name", "trigger", "context", "timestamp_ms"}
    assert entry["timestamp_ms"] == 1_768_467_600_250
    assert entry["context"]["result"] == "File updated"
    assert "k3y" not in json.dumps(entry)
    assert "s3cret" not in json.dumps(entry)


def test_what_a_webhook_modified_is_what_the_next_one_sees() -> None:
    for point, content in ((Point.MESSAGE, "hi"), (Point.POST_TOOL, "File updated"), (Point.MODEL_RESPONSE, "done")):
        before = occasion(point)
        assert before.content == content
        assert before.with_content("new").content == "new"
    assert occasion(Point.PRE_TOOL).with_content("{}").tool_args == "{}"
    assert occasion(Point.TURN_START).with_content("new") == occasion(Point.TURN_START)
