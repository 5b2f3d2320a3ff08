"""One body of each of the twelve points, as the contract describes them, for the tests of formats."""

from __future__ import annotations

import json
from typing import Any

from hookyard.hooks.points import POINTS, Point

_COMMON: dict[str, Any] = {"working_dir": "/home/ada/shop", "session_id": "ses_42", "turn_number": 5}
_BASH: dict[str, Any] = {"tool_name": "bash", "tool_args": json.dumps({"command": "rm -rf build && make"}), **_COMMON}
_EDIT: dict[str, Any] = {
    "tool_name": "edit_file",
    "tool_args": json.dumps({"path": "src/cart.py", "old": "total = 0", "new": "total = Decimal(0)"}),
    **_COMMON,
}


def body(point: Point, common: dict[str, Any], own: dict[str, Any], **top: Any) -> dict[str, Any]:
    """A body as `payload` builds it."""
    return {
        "hook_name": "team-channel",
        "trigger": point.value,
        "event": POINTS[point].event,
        "context": {**common, **own},
        "hook_context": common,
        "agent": "claude-code",
        "timestamp": "2026-01-15T09:00:00.000Z",
        **top,
    }


_SESSION = {"model_name": "claude-opus-5", "provider_name": "anthropic"}
_STATISTICS = {
    "result_type": "UsedTools",
    "tokens_used": 18_240,
    "tool_calls": 7,
    "duration_ms": 83_500,
    "truncated": False,
    "edited_files": ["src/cart.py", "tests/test_cart.py"],
}
_RESULT = {
    "tool_name": "edit_file",
    "tool_args": _EDIT["tool_args"],
    "result": "File updated",
    "success": True,
    "duration_ms": 150,
}

BODIES: dict[Point, dict[str, Any]] = {
    Point.MESSAGE: body(
        Point.MESSAGE, _COMMON, {"content": "请修复购物车的舍入错误", "attached_files": ["bug.png"], "timestamp": 1}
    ),
    Point.TURN_START: body(Point.TURN_START, _COMMON, {"phase": "plan", "has_file_context": True}),
    Point.SYSTEM_PROMPT: body(
        Point.SYSTEM_PROMPT, _COMMON, {"system_prompt": "You are a careful engineer.\nBe brief."}
    ),
    Point.MODEL_RESPONSE: body(
        Point.MODEL_RESPONSE,
        _COMMON,
        {"model_name": "claude-opus-5"},
        response="The total is a float; I will use Decimal.",
        turn_context={},
    ),
    Point.TOOL_CALL_START: body(Point.TOOL_CALL_START, _BASH, {"call_id": "call_1"}),
    Point.PRE_TOOL: body(Point.PRE_TOOL, _BASH, {"call_id": "call_1"}),
    Point.POST_TOOL: body(Point.POST_TOOL, _EDIT, {"call_id": "call_2"}, result_context=_RESULT),
    Point.TURN_COMPLETE: body(Point.TURN_COMPLETE, _COMMON, _STATISTICS),
    Point.POST_TURN: body(Point.POST_TURN, _COMMON, {}, turn_result="Fixed the rounding of the cart's total."),
    Point.SESSION_START: body(Point.SESSION_START, _COMMON, _SESSION, cause={"event": "evt_1", "run": "run_9"}),
    Point.SESSION_END: body(Point.SESSION_END, _COMMON, _SESSION),
    Point.ERROR: body(
        Point.ERROR, _COMMON, {"error_type": "RateLimited", "error_message": "429 from provider", "phase": "model"}
    ),
}
"""A realistic body of every point."""

FAILED_TOOL = body(
    Point.POST_TOOL,
    _BASH,
    {"call_id": "call_3"},
    result_context={
        "tool_name": "bash",
        "tool_args": _BASH["tool_args"],
        "result": "make: *** [all] Error 2",
        "success": False,
        "duration_ms": 2300,
    },
)
"""A tool that failed."""


def hostile(text: str) -> dict[str, Any]:
    """A body of which every text of the agent is `text`."""
    tool = {"tool_name": text, "tool_args": json.dumps({"command": text, "note": text})}
    common = {**tool, "working_dir": text, "session_id": text, "turn_number": 1}
    made = body(Point.POST_TOOL, common, {"call_id": text}, result_context={**tool, "result": text, "success": True})
    return {**made, "agent": text, "hook_name": text, "cause": {"event": text}}
