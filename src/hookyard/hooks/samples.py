"""A realistic sample of every hook point, for `hookyard hooks test` and the documentation.

The values are those that the built-in agent would send. Nothing here is read by a running agent.
"""

from __future__ import annotations

import json
from typing import Any

from hookyard.hooks.payload import HookEvent
from hookyard.hooks.points import POINTS, Point

SAMPLE_TOOL = "bash"

_ARGS = json.dumps({"command": "rm -rf build/ && make"})
_OTHER_ARGS = json.dumps({"path": "build/notes.md", "content": "make"})
SHELLS = ("bash", "shell", "run_shell_command")

_OWN: dict[Point, dict[str, Any]] = {
    Point.MESSAGE: {"content": "Please clean the build folder and build again.", "attached_files": ["README.md"]},
    Point.TURN_START: {"phase": "start", "has_file_context": False},
    Point.SYSTEM_PROMPT: {"system_prompt": "You are a careful engineer."},
    Point.MODEL_RESPONSE: {"model_name": "sample-model", "response": "I will remove build/ and run make."},
    Point.TOOL_CALL_START: {"call_id": "call_sample"},
    Point.PRE_TOOL: {"call_id": "call_sample"},
    Point.POST_TOOL: {"call_id": "call_sample", "result": "make: done", "success": True, "duration_ms": 150},
    Point.TURN_COMPLETE: {
        "result_type": "UsedTools",
        "tokens_used": 1840,
        "tool_calls": 1,
        "duration_ms": 2300,
        "truncated": False,
        "edited_files": ["Makefile"],
    },
    Point.POST_TURN: {"turn_result": "The project was built."},
    Point.SESSION_START: {"model_name": "sample-model", "provider_name": "sample"},
    Point.SESSION_END: {"model_name": "sample-model", "provider_name": "sample"},
    Point.ERROR: {"error_type": "SampleError", "error_message": "this is only a test", "phase": "tool"},
}


def sample(point: Point, at: float, working_dir: str, tool: str = SAMPLE_TOOL) -> HookEvent:
    """Return a sample of a point.

    Args:
        point: The point.
        at: Seconds since the epoch.
        working_dir: The folder that it names.
        tool: The tool that it is about, where the point is about one.
    """
    about_a_tool = POINTS[point].for_tools
    args = _ARGS if tool.lower() in SHELLS else _OTHER_ARGS
    return HookEvent(
        point,
        at,
        session_id="ses_sample",
        working_dir=working_dir,
        turn_number=1,
        tool_name=tool if about_a_tool else None,
        tool_args=args if about_a_tool else None,
        own=_OWN[point],
    )
