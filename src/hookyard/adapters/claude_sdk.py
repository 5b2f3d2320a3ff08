"""The hook points inside programs made with claude-agent-sdk: `ClaudeAgentOptions(hooks=claude_hooks(Hooks.load()))`.

Used by programs that have the SDK; nothing of hookyard imports it. Only points for which a webhook is configured are
hooked, and tool calls wherever there is any webhook, to keep hook files from being written. The SDK fires neither the
start nor the end of a session; for these use `hookyard bridge install claude-code`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

from claude_agent_sdk import HookMatcher

from hookyard.hooks.hooks import Hooks
from hookyard.hooks.points import POINTS, Point

AGENT = "claude-agent-sdk"
SECONDS = 600.0
"""What the SDK allows a callback: the webhooks' own deadlines are shorter."""

_POINTS = {
    "UserPromptSubmit": (Point.MESSAGE, Point.TURN_START),
    "PreToolUse": (Point.TOOL_CALL_START, Point.PRE_TOOL),
    "PostToolUse": (Point.POST_TOOL,),
    "PostToolUseFailure": (Point.POST_TOOL,),
    "Stop": (Point.TURN_COMPLETE, Point.POST_TURN),
}

Callback = Callable[[Any, str | None, Any], Awaitable[Any]]


def claude_hooks(hooks: Hooks, *, agent: str = AGENT) -> dict[Any, list[HookMatcher]]:
    """Return the `hooks` argument of `ClaudeAgentOptions`.

    Args:
        hooks: What is asked.
        agent: Which agent, for the webhooks to see.

    Returns:
        One callback for each native event at which a webhook listens, and for tool calls. Where a gate fails closed, a
        callback that fails blocks the step.
    """
    found: dict[Any, list[HookMatcher]] = {}
    for event, points in _POINTS.items():
        keeps_hook_files = Point.PRE_TOOL in points and bool(hooks.configuration.gates)
        if keeps_hook_files or any(hooks.listens(point) for point in points):
            closed = any(hooks.fail_closed(point) for point in points if POINTS[point].may_deny)
            callback = _callback(hooks, points, agent)
            failing: Literal["block", "continue"] = "block" if closed else "continue"
            found[event] = [HookMatcher(hooks=[callback], timeout=SECONDS, on_failure=failing)]
    return found


def _callback(hooks: Hooks, points: tuple[Point, ...], agent: str) -> Callback:
    async def called(native: Mapping[str, Any], tool_use_id: str | None, context: Any) -> Mapping[str, Any]:
        event = str(native["hook_event_name"])
        given = native.get("tool_input")
        args = text = None if given is None else json.dumps(given, ensure_ascii=False)
        for point in points:
            decision = await hooks.fire(
                point,
                session_id=native.get("session_id"),
                working_dir=native.get("cwd"),
                tool_name=native.get("tool_name"),
                tool_args=text,
                agent=agent,
                **_own(point, native, tool_use_id),
            )
            if decision.denied:
                return _refused(event, decision.message or "a webhook gave no reason")
            if decision.content is not None and point is Point.MESSAGE:
                return _refused(event, "a webhook changed the message, which cannot be done here")
            if decision.content is not None and point is Point.POST_TOOL:
                return _specific(event, updatedToolOutput=_like(native.get("tool_response"), decision.content))
            text = decision.content or text
        # No permission decision: an "allow" would skip the permission check that the changed arguments must pass.
        return {} if text == args else _specific(event, updatedInput=json.loads(text or "{}"))

    return called


def _like(response: Any, content: str) -> Any:
    """Return a new result in the shape of the old one: the SDK keeps the old result when the shape of a tool's result
    changes."""
    if isinstance(response, str):
        return content
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return {**response, "stdout": content} if isinstance(response, dict) and "stdout" in response else content


def _own(point: Point, native: Mapping[str, Any], call_id: str | None) -> Mapping[str, Any]:
    match point:
        case Point.MESSAGE:
            return {"content": native.get("prompt", "")}
        case Point.TURN_START:
            return {"phase": "prompt"}
        case Point.TOOL_CALL_START | Point.PRE_TOOL:
            return {"call_id": call_id}
        case Point.POST_TOOL:
            result = native.get("tool_response", native.get("error", ""))
            return {
                "call_id": call_id,
                "result": result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str),
                "success": "error" not in native,
                "duration_ms": native.get("duration_ms"),
            }
        case Point.TURN_COMPLETE:
            return {"result_type": "Responded"}
    return {"turn_result": "Responded"}


def _refused(event: str, reason: str) -> Mapping[str, Any]:
    if event == "PreToolUse":
        return _specific(event, permissionDecision="deny", permissionDecisionReason=f"Denied: {reason}")
    return {"decision": "block", "reason": reason}


def _specific(event: str, **said: Any) -> Mapping[str, Any]:
    return {"hookSpecificOutput": {"hookEventName": event, **said}}
