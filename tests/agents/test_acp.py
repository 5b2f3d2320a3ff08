"""ACP agents: one made with the reference library, and the real Gemini CLI in its ACP mode."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hookyard.agents.base import AgentError, AgentResult, Parts
from hookyard.agents.profiles import Profile, make_agent
from hookyard.hooks.points import Point
from tests.agents.conftest import MockModel
from tests.agents.fakes import FakeHooks, FakeRecorder, assignment, deny, modify, there
from tests.agents.programs import folder_of

AGENT = Path(__file__).with_name("acp_agent.py")


async def run(
    work: Path, hooks: FakeHooks, recorder: FakeRecorder, prompt: str = "text", **changes: Any
) -> AgentResult:
    agent = make_agent(Profile(kind="acp", command=(sys.executable, str(AGENT))), Parts())
    return await agent.run(assignment(work, prompt, **changes), hooks, recorder, None)


async def test_runs_and_tells(work: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    result = await run(work, hooks, recorder)
    assert result.answer == "Done. []"
    assert recorder.introductions == [("acp-agent 1.2.3", "")]
    assert (work / "made").read_text() == "text"
    assert (result.usage.input_tokens, result.usage.output_tokens) == (7, 3)
    assert [text for role, text in recorder.messages if role == "assistant"] == ["I will write.", "Done. []"]
    assert recorder.calls == [("call_1", "write_file", '{"path": "made"}')]
    assert recorder.results == [{"call_id": "call_1", "result": "written", "success": True, "ran": True}]
    assert hooks.points == [
        "session_start",
        "message",
        "turn_start",
        "model_response",
        "tool_call_start",
        "pre_tool",
        "post_tool",
        "model_response",
        "turn_complete",
        "post_turn",
        "session_end",
    ]
    assert hooks.at(Point.TURN_COMPLETE)["tool_calls"] == 1


@pytest.mark.parametrize("decision", [deny("no"), modify('{"path": "else"}')])
async def test_denied_when_it_asks(work: Path, hooks: FakeHooks, recorder: FakeRecorder, decision: Any) -> None:
    hooks.answers[Point.PRE_TOOL] = decision
    await run(work, hooks, recorder)
    assert not (work / "made").exists()
    assert recorder.results[0]["success"] is False


async def test_a_gate_that_fails_closed_keeps_it_from_starting(
    work: Path, hooks: FakeHooks, recorder: FakeRecorder
) -> None:
    hooks.closed = True
    with pytest.raises(AgentError, match="cannot be gated"):
        await run(work, hooks, recorder)
    assert "error" in hooks.points


async def test_tasks_are_offered(work: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    more = {"run_token": "t", "api_url": "http://127.0.0.1:1", "workspace_id": "ws_1"}
    assert (await run(work, hooks, recorder, **more)).answer == "Done. ['hookyard']"


@pytest.mark.parametrize("prompt", ["fail", "die"])
async def test_fails(work: Path, hooks: FakeHooks, recorder: FakeRecorder, prompt: str) -> None:
    with pytest.raises(AgentError, match="failed"):
        await run(work, hooks, recorder, prompt)
    assert hooks.points[-1] == "session_end"


async def test_is_cancelled(work: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    task = asyncio.create_task(run(work, hooks, recorder, "hang"))
    await there(work / "begun")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hooks.at(Point.TURN_COMPLETE)["result_type"] == "Cancelled"


async def test_the_real_gemini_cli(
    work: Path, tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder, mock_model: Callable[..., MockModel]
) -> None:
    program = folder_of("gemini") / "gemini"
    server = mock_model(MOCK_CMD="echo one > made")
    settings = tmp_path / ".gemini" / "settings.json"
    settings.parent.mkdir()
    settings.write_text(
        '{"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": false},'
        ' "general": {"enableAutoUpdate": false}}'
    )
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "GEMINI_API_KEY": "none",
        "GOOGLE_GEMINI_BASE_URL": server.url,
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    }
    agent = make_agent(Profile(kind="acp", command=(str(program), "--acp")), Parts())
    given = assignment(work, environment=environment, timeout_seconds=90.0)
    result = await agent.run(given, hooks, recorder, None)
    assert result.answer == "All done: the mock model saw the tool result."
    assert (work / "made").read_text() == "one\n"
    assert "pre_tool" in hooks.points, "it asked before it ran the command"
