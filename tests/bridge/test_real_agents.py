"""The real Claude Code, Codex, Gemini CLI, Copilot CLI and OpenCode, hooked by `bridge install`, with real webhooks.

What each of them does is compared with `matrix.json`, from which the documentation's table is made; with
HOOKYARD_WRITE_MATRIX=1 the file is written instead.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from hookyard.bridge.dialects import dialect_of
from hookyard.bridge.install import Bridge, Done
from hookyard.hooks.points import Point
from tests.agents.conftest import MockModel, mock_model
from tests.bridge import real_agents
from tests.bridge.conftest import Bridged
from tests.hooks.receiver import Received, Receiver

__all__ = ["mock_model"]

MATRIX = Path(__file__).with_name("matrix.json")
CHAT = "/v1/chat/completions"


class Real:
    """One real agent in an isolated home, and what it does to the file that the model asks it to write."""

    def __init__(self, agent: str, user: Bridged, receiver: Receiver, server: MockModel) -> None:
        self.agent = agent
        self.user = user
        self.receiver = receiver
        self.server = server
        self.environ = real_agents.prepare(agent, user.home.parent, server.url)
        self.bridge = Bridge(user.home, user.home.parent, self.environ)

    def install(self, *, allow_modify: bool = False) -> Done:
        return self.bridge.install(self.agent, allow_modify=allow_modify, trust_codex=self.agent == "codex")

    async def run(self, *more: str) -> str:
        return await real_agents.run(self.agent, self.user.project, self.environ, *more)

    def listen_in(self) -> list[dict[str, Any]]:
        """What the agent says to the model from now on, in full: the mock model's log is short."""
        said: list[dict[str, Any]] = []

        async def pass_on(request: Received) -> web.Response:
            said.append(request.body)
            async with (
                ClientSession() as client,
                client.post(self.server.url + CHAT, data=request.raw) as got,
            ):
                return web.Response(body=await got.read(), content_type=got.content_type)

        self.receiver.answer(pass_on, CHAT)
        real_agents.prepare(self.agent, self.user.home.parent, self.receiver.url(""))
        return said

    @property
    def made(self) -> str | None:
        path = self.user.project / "made"
        return path.read_text() if path.exists() else None

    @property
    def told(self) -> str:
        """What the model was told last."""
        return str(self.server.requests[-1]["last"])

    @property
    def events(self) -> list[str]:
        return [request.body["event"] for request in self.receiver.requests]


@pytest.fixture(params=sorted(real_agents.RECIPES))
def real(
    request: pytest.FixtureRequest, bridged: Bridged, receiver: Receiver, mock_model: Callable[..., MockModel]
) -> Real:
    return Real(request.param, bridged, receiver, mock_model(MOCK_CMD="echo from-the-model > made"))


def proven(agent: str, what: str, value: object) -> None:
    """Compare with the matrix, or write it."""
    matrix = json.loads(MATRIX.read_text()) if MATRIX.exists() else {}
    row = matrix.setdefault(agent, {"version": dialect_of(agent).proven})
    if os.environ.get("HOOKYARD_WRITE_MATRIX"):
        row[what] = value
        MATRIX.write_text(json.dumps(matrix, indent=2, sort_keys=True) + "\n")
    assert row[what] == value
    assert row["version"] == dialect_of(agent).proven


async def test_what_is_seen_in_which_order(real: Real) -> None:
    real.user.gate(real.receiver.url(), "*")
    real.install()
    said = await real.run()
    assert real.made == "from-the-model\n", said
    events = [event for index, event in enumerate(real.events) if event not in real.events[:index]]
    if real.agent == "copilot":  # it fires these two at once
        events = sorted(events[:3], key=["on_session_start", "on_message_received", "on_turn_start"].index) + events[3:]
    proven(real.agent, "seen", events)
    bodies = {request.body["event"]: request.body for request in real.receiver.requests}
    assert {body["agent"] for body in bodies.values()} == {real.agent}
    assert len({body["hook_context"]["session_id"] for body in bodies.values()}) == 1
    assert {body["hook_context"]["working_dir"] for body in bodies.values()} == {str(real.user.project)}
    assert bodies["on_message_received"]["context"]["content"].strip('"') == real_agents.PROMPT  # OpenCode quotes it
    assert "from-the-model" in bodies["pre_tool_execution"]["hook_context"]["tool_args"]
    assert bodies["post_tool_execution"]["result_context"]["success"] is True
    assert bodies["on_turn_complete"]["context"]["tool_calls"] == 1


async def test_denied(real: Real) -> None:
    real.receiver.answer({"result": "deny", "message": "not on Fridays"})
    real.user.gate(real.receiver.url())
    real.install()
    await real.run()
    assert real.made is None
    assert "not on Fridays" in real.told, "the model reads the reason"
    proven(real.agent, "deny", True)


def change(received: Received) -> dict[str, Any]:
    args = json.loads(received.body["hook_context"]["tool_args"])
    args["command"] = "echo changed > made"
    return {"result": "modify", "modified_content": args}


async def test_modified(real: Real) -> None:
    real.receiver.answer(change)
    real.user.gate(real.receiver.url(), "tool_call_start")
    real.install(allow_modify=True)
    said = await real.run()
    assert real.made == "changed\n", said
    proven(real.agent, "modify", True)


async def test_a_modification_without_leave_is_a_deny(real: Real) -> None:
    if real.agent in {"claude-code", "codex", "opencode"}:
        pytest.skip("it asks again, or asks nobody when run like this: shown by the tests of the dialects")
    real.receiver.answer(change)
    real.user.gate(real.receiver.url())
    real.install()
    await real.run()
    assert real.made is None
    assert "--allow-modify" in real.told


async def test_a_modified_result(real: Real) -> None:
    real.receiver.answer({"result": "modify", "modified_content": "nothing to see"})
    real.user.gate(real.receiver.url(), "post_tool")
    real.install()
    await real.run()
    assert real.made == "from-the-model\n"
    assert real.receiver.requests
    proven(real.agent, "modify_result", "nothing to see" in real.told)


async def test_a_prompt_blocked(real: Real) -> None:
    real.receiver.answer({"result": "deny", "message": "say please"})
    real.user.gate(real.receiver.url(), "message")
    real.install()
    await real.run()
    assert real.made is None
    asked = [request for request in real.server.requests if request.get("method") == "POST" and "reply" in request]
    proven(real.agent, "block_prompt", not asked)


async def test_a_failing_webhook_closed(real: Real) -> None:
    real.receiver.answer(lambda _: web.Response(status=500))
    real.user.gate(real.receiver.url(), retries=0, on_failure="deny")
    assert real.install().closed
    await real.run()
    assert real.made is None
    assert "500" in real.told
    proven(real.agent, "closed", True)


async def test_a_relay_that_is_gone_closed(real: Real) -> None:
    real.user.gate(real.receiver.url(), on_failure="deny")
    real.install()
    real.user.folder.rename(real.user.folder.with_name("gone"))
    await real.run()
    assert real.made is None
    assert real.receiver.requests == []
    assert "hookyard" in real.told or "exited with code 2" in real.told
    proven(real.agent, "closed_without_relay", True)


async def test_a_failing_webhook_open(real: Real) -> None:
    real.receiver.answer(lambda _: web.Response(status=500))
    real.user.gate(real.receiver.url(), retries=0)
    real.install()
    await real.run()
    assert real.made == "from-the-model\n"
    assert real.receiver.requests
    proven(real.agent, "open", True)


WITH_ERRORS = [
    agent for agent in sorted(real_agents.RECIPES) if any(Point.ERROR in e.points for e in dialect_of(agent).events)
]


@pytest.mark.parametrize("agent", WITH_ERRORS)
async def test_an_error(agent: str, bridged: Bridged, receiver: Receiver, mock_model: Callable[..., MockModel]) -> None:
    real = Real(agent, bridged, receiver, mock_model(MOCK_FAIL="1"))
    told = asyncio.Event()

    def note(_: Received) -> dict[str, Any]:
        told.set()
        return {"result": "ok"}

    receiver.answer(note)
    real.user.gate(receiver.url(), "error")
    real.install()
    if agent == "opencode":  # it tries for over a minute where a server fails, but not where the request was wrong
        receiver.answer(lambda _: web.json_response({"error": {"message": "mock failure"}}, status=400), CHAT)
        real_agents.prepare(agent, real.user.home.parent, receiver.url(""))
    await real_agents.run_until(agent, real.user.project, real.environ, told)
    body = receiver.at()[0].body
    assert (body["event"], body["agent"]) == ("on_error", agent)
    assert "mock failure" in body["context"]["error_message"]
    assert body["context"]["error_type"]
    assert body["context"]["phase"]
    proven(agent, "error", True)


async def test_opencode_takes_new_text_and_asks_its_own_permissions_about_new_arguments(
    bridged: Bridged, receiver: Receiver, mock_model: Callable[..., MockModel]
) -> None:
    real = Real("opencode", bridged, receiver, mock_model(MOCK_CMD="echo from-the-model > made"))
    answers = {
        "on_message_received": "a new message",
        "system_prompt": "and be brief",
        "on_model_response": "a new answer",
        "pre_tool_execution": {"command": "echo changed > made", "description": "d"},
    }
    real.receiver.answer(lambda got: {"result": "modify", "modified_content": answers[got.body["event"]]})
    real.user.gate(real.receiver.url(), "message,system_prompt,model_response,pre_tool")
    real.install()
    real.environ["OPENCODE_PERMISSION"] = json.dumps({"bash": {"*": "allow", "echo changed*": "deny"}})
    requests = real.listen_in()
    said = await real.run()
    assert real.made is None, said
    assert "rule which prevents" in real.told, "OpenCode's own refusal"
    assert "a new answer" in said
    assert all(request["messages"][0]["content"].endswith("\n\nand be brief") for request in requests)
    assert requests[0]["messages"][-1]["content"] == "a new message"
    proven(real.agent, "modify_text", True)
