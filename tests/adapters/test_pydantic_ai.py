"""pydantic-ai with real webhooks: every point, deny and modify."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from hookyard.adapters.pydantic_ai import Webhooks
from hookyard.core.errors import NotAllowedError
from tests.hooks.receiver import Home, Received, Receiver


class AdapterEnvironment:
    """An agent whose model calls `add(a=1, b=2)` once, then says what it was told."""

    def __init__(self, home: Home, receiver: Receiver) -> None:
        self.home = home
        self.receiver = receiver
        self.ran: list[tuple[int, int]] = []
        self.instructions = ""
        self.arguments: dict[str, Any] = {"a": 1, "b": 2}

    async def run(self, trigger: str) -> Any:
        hooks = self.home.one(self.receiver.url(), trigger=trigger)
        agent = Agent(FunctionModel(self._model), instructions="Add.", capabilities=[Webhooks(hooks)])

        @agent.tool_plain
        def add(a: int, b: int, path: str = "") -> int:
            self.ran.append((a, b))
            return a + b

        return (await agent.run("one and two")).output

    def _model(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.instructions = info.instructions or ""
        told = [part for part in messages[-1].parts if part.part_kind in {"tool-return", "retry-prompt"}]
        if told:
            return ModelResponse([TextPart(f"told: {told[0].content}")])
        return ModelResponse([ToolCallPart("add", json.dumps(self.arguments), "call_1")])

    @property
    def events(self) -> list[str]:
        return [request.body["event"] for request in self.receiver.requests]


@pytest.fixture
def env(home: Home, receiver: Receiver) -> AdapterEnvironment:
    return AdapterEnvironment(home, receiver)


async def test_every_point_in_order(env: AdapterEnvironment) -> None:
    assert await env.run("*") == "told: 3"
    assert env.events == [
        "on_session_start",
        "on_message_received",
        "on_turn_start",
        "system_prompt",
        "on_tool_call_start",
        "pre_tool_execution",
        "post_tool_execution",
        "system_prompt",
        "on_model_response",
        "on_turn_complete",
        "post_turn",
        "on_session_end",
    ]
    bodies = {request.body["event"]: request.body for request in env.receiver.requests}
    assert bodies["on_message_received"]["context"]["content"] == "one and two"
    assert bodies["system_prompt"]["context"]["system_prompt"] == "Add."
    assert bodies["post_tool_execution"]["result_context"]["result"] == "3"
    assert bodies["on_turn_complete"]["context"]["result_type"] == "UsedTools"


@pytest.mark.parametrize("trigger", ["pre_tool", "tool_call_start"])
async def test_denied(env: AdapterEnvironment, trigger: str) -> None:
    env.receiver.answer({"result": "deny", "message": "not today"})
    assert await env.run(trigger) == "told: Denied: not today"
    assert env.ran == []


async def test_modified_arguments_are_validated(env: AdapterEnvironment) -> None:
    env.receiver.answer({"result": "modify", "modified_content": {"a": 10, "b": 20}})
    assert await env.run("pre_tool") == "told: 30"
    assert env.ran == [(10, 20)]


async def test_modified_to_what_does_not_fit(env: AdapterEnvironment) -> None:
    env.receiver.answer({"result": "modify", "modified_content": {"a": "many"}})
    assert "told:" in await env.run("pre_tool")
    assert env.ran == []


async def test_hook_files_are_kept_where_nothing_listens_to_tools(env: AdapterEnvironment) -> None:
    env.arguments = {"a": 1, "b": 2, "path": str(env.home.path / "hooks.toml")}
    assert "a person has to change it" in await env.run("session_start")
    assert env.ran == []


async def test_refused_message(env: AdapterEnvironment) -> None:
    env.receiver.answer({"result": "deny", "message": "say please"})
    with pytest.raises(NotAllowedError, match="say please"):
        await env.run("message")


async def test_modified_prompt_answer_and_result(env: AdapterEnvironment) -> None:
    def change(received: Received) -> dict[str, Any]:
        texts = {"system_prompt": " Be brief.", "on_model_response": "other words", "post_tool_execution": "4"}
        return {"result": "modify", "modified_content": texts[received.body["event"]]}

    env.receiver.answer(change)
    assert await env.run("system_prompt,model_response,post_tool") == "other words"
    assert "Be brief." in env.instructions
    assert env.receiver.requests[-1].body["response"] == "told: 4"
