"""Fires the points that a native event stands for and sums up what the webhooks decided.

Called by `handler` with the webhooks of the user and the project. Knows no agent: `dialects` do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hookyard.bridge.dialects.base import BridgeDecision, HookCall, NativeEvent, as_text
from hookyard.bridge.sessions import Session
from hookyard.core.clock import Clock
from hookyard.hooks.decision import Decision, Result
from hookyard.hooks.hooks import Hooks
from hookyard.hooks.points import POINTS, Modifies, Point

_CANNOT_TAKE = {
    Modifies.RESPONSE: "the model's answer",
    Modifies.SYSTEM_PROMPT: "the system prompt",
}


async def evaluate(hooks: Hooks, heard: NativeEvent, session: Session, clock: Clock) -> BridgeDecision:
    """Ask the webhooks about an event.

    Args:
        hooks: The webhooks that count.
        heard: The native event.
        session: What is known of its session; brought up to date.
        clock: Measures calls and turns.

    Returns:
        The ruling, before `settle`. The first deny ends the asking; each point sees the arguments as the one before
        left them.
    """
    if session.refused is not None and any(firing.point is Point.PRE_TOOL for firing in heard.firings):
        return BridgeDecision(session.refused)
    given = None if heard.tool_args is None else as_text(heard.tool_args)
    args = given
    warnings: list[str] = []
    result: str | None = None
    text: str | None = None
    for firing in heard.firings:
        own = _own(firing, heard, session, clock)
        decision = await hooks.fire(
            firing.point,
            session_id=heard.session_id,
            working_dir=heard.working_dir,
            turn_number=session.turn or None,
            tool_name=heard.tool_name,
            tool_args=args,
            agent=heard.agent,
            **own,
        )
        warnings += (
            f"{verdict.webhook}: {verdict.message}"
            for verdict in decision.verdicts
            if verdict.result is Result.WARNING and verdict.message
        )
        if decision.denied:
            return BridgeDecision(f"Denied: {decision.message or 'a webhook gave no reason'}", None, tuple(warnings))
        if decision.content is not None:
            modifies = POINTS[firing.point].modifies
            if modifies is Modifies.TOOL_ARGS:
                args = decision.content
            elif modifies is Modifies.RESULT:
                result = decision.content
            elif heard.takes_text:
                text = decision.content
            elif modifies is Modifies.MESSAGE:
                why = f"Blocked: {_author(decision)} changed the message, which {heard.agent} cannot do."
                return BridgeDecision(why, None, tuple(warnings))
            else:
                what = _CANNOT_TAKE[modifies]
                warnings.append(f"{_author(decision)} changed {what}, which {heard.agent} cannot do: it stays as it is")
    if args == given:
        return BridgeDecision(warnings=tuple(warnings), result=result, text=text)
    return new_arguments(args or "", tuple(warnings))


def new_arguments(content: str, warnings: tuple[str, ...] = ()) -> BridgeDecision:
    """Return the arguments after a modification by webhooks, or a deny where they are not an object."""
    try:
        made = json.loads(content)
    except (ValueError, RecursionError):
        made = None
    if not isinstance(made, dict):
        return BridgeDecision(
            "Not run: a webhook changed the arguments to something that is no object.", None, warnings
        )
    return BridgeDecision(None, made, warnings)


def _author(decision: Decision) -> str:
    return next((verdict.webhook for verdict in decision.verdicts if verdict.after is not None), "a webhook")


def _own(firing: HookCall, heard: NativeEvent, session: Session, clock: Clock) -> Mapping[str, Any]:
    """Return a call's own keys with what only the session knows; the session is updated."""
    now = clock.monotonic()
    own = dict(firing.own)
    call = heard.call_id or heard.tool_name or ""
    match firing.point:
        case Point.MESSAGE:
            session.begin_turn(now)
        case Point.TOOL_CALL_START:
            session.begin_call(call, now)
        case Point.POST_TOOL:
            measured = session.end_call(call, now)
            own["duration_ms"] = measured if heard.duration_ms is None else heard.duration_ms
        case Point.TURN_COMPLETE | Point.POST_TURN:
            result = own.pop("result_type", "Responded")
            if result == "Responded" and session.tool_calls:
                result = "UsedTools"
            if firing.point is Point.POST_TURN:
                return {"turn_result": result}
            own |= {"result_type": result, "tool_calls": session.tool_calls or None}
            if session.turn_began is not None:
                own["duration_ms"] = round((now - session.turn_began) * 1000, 1)
    return own
