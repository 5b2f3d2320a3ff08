"""The twelve points of an agent's life at which webhooks are called: one table, everything else is derived from it.

Read by `dispatch` (what an answer may do), `config.configuration` (trigger words), `payload` (wire names), `bridge` and
`adapters` (what an agent fires) and by the documentation's tables. Source: the contract for lifecycle webhooks, section
2.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Point(StrEnum):
    """A point of an agent's life, by its canonical trigger word."""

    MESSAGE = "message"
    TURN_START = "turn_start"
    SYSTEM_PROMPT = "system_prompt"
    MODEL_RESPONSE = "model_response"
    TOOL_CALL_START = "tool_call_start"
    PRE_TOOL = "pre_tool"
    POST_TOOL = "post_tool"
    TURN_COMPLETE = "turn_complete"
    POST_TURN = "post_turn"
    SESSION_START = "session_start"
    SESSION_END = "session_end"
    ERROR = "error"


class Modifies(StrEnum):
    """What the `modified_content` of an answer replaces at a point."""

    NOTHING = "nothing"
    MESSAGE = "message"
    SYSTEM_PROMPT = "system_prompt"  # appended, never replaced
    RESPONSE = "response"
    TOOL_ARGS = "tool_args"
    RESULT = "result"


@dataclass(frozen=True, slots=True)
class PointSpec:
    """What the contract says of one point.

    Attributes:
        point: The point.
        event: The value of `event` on the wire.
        words: Trigger words; a hook receives the event when its trigger contains one of them, whatever the case.
        may_deny: A `deny` here refuses the step; elsewhere it is a warning.
        modifies: What a `modify` here changes; at `NOTHING` it is a warning.
        for_tools: The point concerns one tool call, so `matcher` applies.
    """

    point: Point
    event: str
    words: tuple[str, ...]
    may_deny: bool = False
    modifies: Modifies = Modifies.NOTHING
    for_tools: bool = False

    @property
    def gating(self) -> bool:
        """The agent waits for the answer, since it may change what happens next."""
        return self.may_deny or self.modifies is not Modifies.NOTHING


POINTS: dict[Point, PointSpec] = {
    spec.point: spec
    for spec in (
        PointSpec(Point.MESSAGE, "on_message_received", ("message",), may_deny=True, modifies=Modifies.MESSAGE),
        PointSpec(Point.TURN_START, "on_turn_start", ("turn_start",)),
        PointSpec(Point.SYSTEM_PROMPT, "system_prompt", ("system_prompt",), modifies=Modifies.SYSTEM_PROMPT),
        PointSpec(Point.MODEL_RESPONSE, "on_model_response", ("model_response",), modifies=Modifies.RESPONSE),
        PointSpec(
            Point.TOOL_CALL_START,
            "on_tool_call_start",
            ("tool_call_start",),
            may_deny=True,
            modifies=Modifies.TOOL_ARGS,
            for_tools=True,
        ),
        PointSpec(
            Point.PRE_TOOL,
            "pre_tool_execution",
            ("pre_tool", "before_tool"),
            may_deny=True,
            modifies=Modifies.TOOL_ARGS,
            for_tools=True,
        ),
        PointSpec(
            Point.POST_TOOL,
            "post_tool_execution",
            ("post_tool", "after_tool"),
            modifies=Modifies.RESULT,
            for_tools=True,
        ),
        PointSpec(Point.TURN_COMPLETE, "on_turn_complete", ("turn_complete", "after_turn")),
        PointSpec(Point.POST_TURN, "post_turn", ("post_turn",)),
        PointSpec(Point.SESSION_START, "on_session_start", ("session_start",)),
        PointSpec(Point.SESSION_END, "on_session_end", ("session_end",)),
        PointSpec(Point.ERROR, "on_error", ("error",)),
    )
}
"""Every point, in the order of the contract's table."""

ANY = "*"
"""The trigger word that matches every event."""


def points_of(trigger: str) -> frozenset[Point]:
    """Return the points that a `trigger` string listens to, by substring in any case."""
    text = trigger.lower()
    if ANY in text:
        return frozenset(POINTS)
    return frozenset(spec.point for spec in POINTS.values() if any(word in text for word in spec.words))
