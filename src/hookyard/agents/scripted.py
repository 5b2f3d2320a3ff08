"""The scripted model: answers read from a file instead of a model, for the demo and for tests.

Named as such wherever it shows (`provider_name` is `scripted`, the model's name `scripted model`), so that nobody takes
what it says for a model's work. A profile names it as `scripted:FILE`. The file is a JSON list with one entry for each
answer: `{"text": …}`, `{"tool": NAME, "args": {…}}`, or `{"text": …, "tools": [{"tool": …, "args": …}, …]}`; after the
last entry it only says that the script has ended. Which entry comes next follows from the conversation alone, so that a
run started again after a crash begins at the first.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelResponse, ModelResponsePart, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from hookyard.agents.base import SCRIPTED_MODEL, AgentError

END = "The script of the scripted model has ended."


def scripted_model(path: Path) -> FunctionModel:
    """The model that answers what a file says.

    Raises:
        AgentError: The file is not there or is no script.
    """
    try:
        steps = [_answer(step, number) for number, step in enumerate(json.loads(path.read_text(encoding="utf-8")))]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise AgentError(
            f"{path} is no script of the scripted model: {error}",
            mend='give a JSON list of {"text": …} and {"tool": …, "args": {…}}',
        ) from error

    async def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        number = sum(isinstance(message, ModelResponse) for message in messages)
        return ModelResponse(parts=steps[number] if number < len(steps) else [TextPart(END)])

    return FunctionModel(answer, model_name=SCRIPTED_MODEL)


def _answer(step: dict[str, Any], number: int) -> list[ModelResponsePart]:
    parts: list[ModelResponsePart] = [TextPart(step["text"])] if "text" in step else []
    calls = step.get("tools", [step] if "tool" in step else [])
    for index, call in enumerate(calls):
        args = call.get("args", {})
        parts.append(
            ToolCallPart(
                call["tool"],
                args if isinstance(args, str) else json.dumps(args, ensure_ascii=False),
                tool_call_id=f"call_{number + 1}_{index + 1}",
            )
        )
    if not parts:
        raise KeyError("an entry needs 'text', 'tool' or 'tools'")
    return parts
