"""The real Claude Code, Codex and Gemini CLI, run and governed with real webhooks, against a mock model on loopback."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hookyard.agents.base import AgentError, AgentResult, Parts, TimeLimitError
from hookyard.agents.profiles import Profile, make_agent
from hookyard.bridge.governor import HookGovernor
from tests.agents.conftest import MockModel
from tests.agents.fakes import FakeRecorder, assignment, there
from tests.agents.programs import folder_of
from tests.hooks.receiver import Home, Received, Receiver, entry

KINDS = ["claude-code", "codex", "gemini"]
MODELS = {"claude-code": "sonnet", "codex": "some-model", "gemini": "gemini-2.5-flash"}
FINAL = "All done: the mock model saw the tool result."
ORDER = [
    "on_session_start",
    "on_message_received",
    "on_turn_start",
    "system_prompt",
    "on_tool_call_start",
    "pre_tool_execution",
    "post_tool_execution",
    "on_model_response",
    "on_turn_complete",
    "post_turn",
    "on_session_end",
]


class Program:
    """One program, ready to be run for a test."""

    def __init__(
        self, kind: str, work: Path, home: Home, receiver: Receiver, recorder: FakeRecorder, server: MockModel
    ) -> None:
        self.kind = kind
        self.work = work
        self.home = home
        self.receiver = receiver
        self.recorder = recorder
        self.server = server
        self.environment = {
            "PATH": f"{folder_of(kind)}:{os.environ['PATH']}",
            "HOME": str(home.path),
            "ANTHROPIC_BASE_URL": server.url,
            "ANTHROPIC_API_KEY": "none",
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "OPENAI_API_KEY": "none",
            "GEMINI_API_KEY": "none",
            "GOOGLE_GEMINI_BASE_URL": server.url,
        }

    async def run(
        self, trigger: str, *, parts: Parts | None = None, gate: dict[str, Any] | None = None, **changes: Any
    ) -> AgentResult:
        self.home.write(entry("gate", trigger, self.receiver.url(), **gate or {}))
        agent = make_agent(Profile(kind=self.kind, model=MODELS[self.kind]), parts or Parts(governor=HookGovernor()))
        given = assignment(self.work, environment=self.environment, **{"timeout_seconds": 90.0, **changes})
        return await agent.run(given, self.home.hooks(), self.recorder, None)

    @property
    def events(self) -> list[str]:
        return [request.body["event"] for request in self.receiver.requests]


@pytest.fixture(params=KINDS)
def program(
    request: pytest.FixtureRequest,
    work: Path,
    home: Home,
    receiver: Receiver,
    recorder: FakeRecorder,
    mock_model: Callable[..., MockModel],
    monkeypatch: pytest.MonkeyPatch,
) -> Program:
    monkeypatch.setenv("PATH", f"{folder_of(request.param)}:{os.environ['PATH']}")
    server = mock_model(MOCK_CMD="echo from-the-model > made")
    return Program(request.param, work, home, receiver, recorder, server)


def told(program: Program) -> str:
    """What the model was told of its tool call."""
    return str(program.server.requests[-1]["last"])


async def test_points_in_order_and_what_is_kept(program: Program) -> None:
    result = await program.run("*")
    assert result.answer == FINAL
    assert (program.work / "made").read_text() == "from-the-model\n"
    assert program.events == ORDER
    bodies = [request.body for request in program.receiver.requests]
    assert {body["agent"] for body in bodies} == {program.kind}
    assert {body["hook_context"]["session_id"] for body in bodies} == {"ses_1"}
    before = bodies[ORDER.index("pre_tool_execution")]["hook_context"]
    assert "from-the-model" in before["tool_args"]
    after = bodies[ORDER.index("post_tool_execution")]
    assert after["result_context"]["success"] is True
    assert bodies[ORDER.index("on_turn_complete")]["context"]["tokens_used"] == 30
    assert result.usage.input_tokens == 20
    (call,) = program.recorder.calls
    assert program.recorder.results[0]["success"] is True
    assert program.recorder.results[0]["call_id"] == call[0]
    if program.kind != "gemini":  # its hooks are not told the call's id
        assert {told for point, _, told in program.recorder.decisions if "tool" in point} == {call[0]}
    assert program.recorder.messages[-1] == ("assistant", FINAL)
    versions, models = zip(*program.recorder.introductions, strict=True) if program.recorder.introductions else ((), ())
    if program.kind == "claude-code":
        assert versions[0].count(".") == 2
    if program.kind != "codex":  # which says nothing of itself
        assert MODELS[program.kind] in models[0]


async def test_system_prompt_appended(program: Program, tmp_path: Path) -> None:
    text = "Answer in Klingon. " * 10_000
    program.receiver.answer({"result": "modify", "modified_content": text})
    assert (await program.run("system_prompt")).answer == FINAL
    assert program.recorder.messages[1][1].endswith(text)


async def test_denied(program: Program) -> None:
    program.receiver.answer({"result": "deny", "message": "not on Fridays"})
    await program.run("pre_tool")
    assert not (program.work / "made").exists()
    assert "not on Fridays" in told(program), "the model reads the reason"
    (result,) = program.recorder.results
    assert (result["success"], result["ran"]) == (False, False)
    assert len(program.recorder.calls) == 1


async def test_a_shell_that_prints_lets_no_denied_and_no_changed_call_through(program: Program, tmp_path: Path) -> None:
    noise = tmp_path / "noise"
    noise.write_text("echo '{}'\n")
    program.environment["BASH_ENV"] = str(noise)
    program.receiver.answer({"result": "deny", "message": "not on Fridays"})
    await program.run("pre_tool")
    assert not (program.work / "made").exists()
    assert "not on Fridays" in told(program)
    program.receiver.answer({"result": "modify", "modified_content": {"command": "echo changed > made"}})
    await program.run("pre_tool")
    if program.kind == "claude-code":  # it runs its hooks in /bin/sh, which does not read that file
        assert (program.work / "made").read_text().endswith("changed\n")
    else:
        assert not (program.work / "made").exists()
        assert "BASH_ENV" in told(program)


async def test_modified(program: Program) -> None:
    def changed(received: Received) -> dict[str, Any]:
        args = json.loads(received.body["hook_context"]["tool_args"])
        args["command"] = "echo changed > made"
        return {"result": "modify", "modified_content": args}

    program.receiver.answer(changed)
    await program.run("tool_call_start")
    assert (program.work / "made").read_text() == "changed\n"


async def test_modified_to_what_fits_nothing(program: Program) -> None:
    program.receiver.answer({"result": "modify", "modified_content": "[]"})
    await program.run("pre_tool")
    assert not (program.work / "made").exists()


async def test_a_failing_webhook_open_and_closed(program: Program) -> None:
    program.receiver.answer(lambda _: web.Response(status=500))
    await program.run("pre_tool", gate={"retries": 0, "on_failure": "deny"})
    assert not (program.work / "made").exists()
    await program.run("pre_tool", gate={"retries": 0})
    assert (program.work / "made").exists()


async def test_hooks_of_the_repository_do_not_run(program: Program) -> None:
    command = {"type": "command", "command": f"touch {program.work}/repository"}
    hooks = {
        event: [{"matcher": ".*", "hooks": [command]}]
        for event in ("SessionStart", "PreToolUse", "UserPromptSubmit", "BeforeTool", "BeforeAgent")
    }
    for name in (".claude/settings.json", ".codex/hooks.json", ".gemini/settings.json"):
        (program.work / name).parent.mkdir()
        (program.work / name).write_text(json.dumps({"hooks": hooks}))
    await program.run("pre_tool")
    assert (program.work / "made").exists()
    assert not (program.work / "repository").exists()


async def test_a_prompt_refused_starts_nothing(program: Program) -> None:
    program.receiver.answer({"result": "deny", "message": "no"})
    with pytest.raises(AgentError, match="refused the prompt"):
        await program.run("message")
    assert program.server.requests == []


async def test_without_a_governor_it_does_not_start(program: Program) -> None:
    with pytest.raises(AgentError, match="only where webhooks can govern it"):
        await program.run("pre_tool", parts=Parts())
    assert not make_agent(Profile(kind=program.kind), Parts()).can_be_gated


async def test_time_is_up(program: Program) -> None:
    program.receiver.answer(_never)
    with pytest.raises(TimeLimitError):
        await program.run("pre_tool", timeout_seconds=6.0)
    assert not (program.work / "made").exists()


async def _never(_: Received) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


@pytest.mark.parametrize("kind", ["claude-code"])
async def test_cancel_ends_the_program_and_what_it_started(
    kind: str,
    work: Path,
    home: Home,
    receiver: Receiver,
    recorder: FakeRecorder,
    mock_model: Callable[..., MockModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", f"{folder_of(kind)}:{os.environ['PATH']}")
    server = mock_model(MOCK_CMD="echo $$ > new; mv new pid; sleep 600")
    program = Program(kind, work, home, receiver, recorder, server)
    task = asyncio.create_task(program.run("session_end,turn_complete"))
    await there(work / "pid")
    pid = int((work / "pid").read_text())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert program.events == ["on_turn_complete", "on_session_end"]
