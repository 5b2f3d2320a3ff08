"""The scripted model: answers read from a file instead of a model, for the demo and for tests.

Named as such wherever it shows (`provider_name` is `scripted`, the model's name `scripted model`), so that no reader
takes what it says for a model's work. A profile names it as `scripted:FILE`. The file is a JSON list with one entry
for each answer: `{"text": …}`, `{"tool": NAME, "args": {…}}`, or `{"text": …, "tools": [{"tool": …, "args": …},
…]}`; after the last entry it only says that the script has ended. Which entry comes next follows from the
conversation alone, so that a run started again after a crash begins at the first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponsePart, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from hookyard.agents.base import SCRIPTED_MODEL, AgentError

END = "The script of the scripted model has ended."


def scripted_model(path: Path) -> FunctionModel:
    """Return the model that answers what a file says.

    Raises:
        AgentError: The file is not there or is no script.
    """
    try:
        steps = _answers(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise AgentError(
            f"{path} is no script of the scripted model: {why}",
            hint='give a JSON list of {"text": …} and {"tool": …, "args": {…}}',
        ) from error

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        number = sum(isinstance(message, ModelResponse) for message in messages)
        return ModelResponse(parts=steps[number] if number < len(steps) else [TextPart(END)])

    return FunctionModel(answer, model_name=SCRIPTED_MODEL)


def _answers(script: Any) -> list[list[ModelResponsePart]]:
    if not isinstance(script, list):
        raise TypeError("it is no list")
    return [_answer(step, number) for number, step in enumerate(script, 1)]


def _answer(step: Any, number: int) -> list[ModelResponsePart]:
    """Return one entry of the script as the model's answer; entries are numbered from 1."""
    entry = _entry(step, {"text": str, "tools": list}, f"entry {number}")
    parts: list[ModelResponsePart] = [TextPart(entry["text"])] if "text" in entry else []
    for index, call in enumerate(entry.get("tools", [entry] if "tool" in entry else []), 1):
        asked = _entry(call, {"tool": str, "args": (str, dict)}, f"tool {index} of entry {number}")
        if "tool" not in asked:
            raise ValueError(f"tool {index} of entry {number} has no 'tool'")
        args = asked.get("args", {})
        parts.append(
            ToolCallPart(
                asked["tool"],
                args if isinstance(args, str) else json.dumps(args, ensure_ascii=False),
                tool_call_id=f"call_{number}_{index}",
            )
        )
    if not parts:
        raise ValueError(f"entry {number} needs 'text', 'tool' or 'tools'")
    return parts


def _entry(value: Any, kinds: Mapping[str, type | tuple[type, ...]], place: str) -> dict[str, Any]:
    """Return an object of the script after checking the types of its keys.

    Raises:
        TypeError: It is none; says where.
    """
    if not isinstance(value, dict):
        raise TypeError(f"{place} is no object")
    for key, kind in kinds.items():
        if key in value and not isinstance(value[key], kind):
            raise TypeError(f"{place}: {key!r} is not what it must be")
    return value
