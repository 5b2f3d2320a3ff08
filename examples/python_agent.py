"""A small agent loop with every hook point in its place: what a Python program does to be governed by webhooks.

Run it with `python examples/python_agent.py`. The model is a list of scripted turns; put your own in its place.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from hookyard import Hooks

SESSION = {"session_id": "example-session", "working_dir": ".", "agent": "example"}


def model() -> Iterator[dict[str, Any]]:
    """What the model says, turn by turn."""
    yield {"text": "I will look around.", "tool": "bash", "args": {"command": "ls"}}
    yield {"text": "Now I clean up.", "tool": "bash", "args": {"command": "rm -rf build/"}}
    yield {"text": "Done."}


async def run_tool(hooks: Hooks, turn: int, name: str, args: dict[str, Any]) -> str:
    """One tool call under its three points; gives back what the model is told."""
    call = {**SESSION, "turn_number": turn, "tool_name": name, "call_id": f"call_{turn}"}
    text = json.dumps(args)
    for point in ("tool_call_start", "pre_tool"):
        # Between the two an agent asks for permission, with the arguments as the first left them.
        decision = await hooks.fire(point, tool_args=text, **call)
        if decision.denied:
            return f"denied: {decision.message}"
        text = decision.content or text
    start = time.monotonic()
    result = f"(would run {name} with {text})"
    took = int((time.monotonic() - start) * 1000)
    after = await hooks.fire("post_tool", tool_args=text, result=result, success=True, duration_ms=took, **call)
    return after.content or result


async def main() -> None:
    """The life of one session."""
    async with Hooks.load(project=".") as hooks:
        if line := hooks.loaded_line():
            print(line, file=sys.stderr)
        await hooks.fire("session_start", model_name="scripted", provider_name="none", **SESSION)
        prompt = "Clean the project."
        message = await hooks.fire("message", content=prompt, attached_files=[], **SESSION)
        if message.denied:
            print("refused:", message.message)
            return
        await hooks.fire("turn_start", phase="start", has_file_context=False, turn_number=1, **SESSION)
        system = await hooks.fire("system_prompt", system_prompt="You are careful.", **SESSION)
        print("system prompt:", "You are careful." + (f"\n\n{system.content}" if system.content else ""))
        tool_calls = 0
        for turn, said in enumerate(model(), 1):
            response = await hooks.fire(
                "model_response", response=said["text"], model_name="scripted", turn_number=turn, **SESSION
            )
            print("model:", response.content or said["text"])
            if "tool" in said:
                tool_calls += 1
                print("tool:", await run_tool(hooks, turn, said["tool"], said["args"]))
        await hooks.fire(
            "turn_complete",
            result_type="UsedTools",
            tokens_used=0,
            tool_calls=tool_calls,
            duration_ms=0,
            truncated=False,
            edited_files=[],
            **SESSION,
        )
        await hooks.fire("post_turn", turn_result="Done.", **SESSION)
        await hooks.fire("session_end", model_name="scripted", provider_name="none", **SESSION)


if __name__ == "__main__":
    asyncio.run(main())
