"""claude-agent-sdk driving the real Claude Code, with real webhooks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hookyard.adapters.claude_sdk import claude_hooks
from tests.agents.conftest import MockModel
from tests.agents.programs import folder_of
from tests.hooks.receiver import Home, Received, Receiver


class AdapterEnvironment:
    """Claude Code, asked by a mock model to write a file."""

    def __init__(self, work: Path, home: Home, receiver: Receiver, server: MockModel) -> None:
        self.work = work
        self.home = home
        self.receiver = receiver
        self.server = server

    async def run(self, trigger: str, *, closed: bool = False) -> None:
        from claude_agent_sdk import ClaudeAgentOptions, query

        failing = "deny" if closed else "allow"
        hooks = self.home.one(self.receiver.url(), trigger=trigger, retries=0, on_failure=failing)
        options = ClaudeAgentOptions(
            hooks=claude_hooks(hooks),
            allowed_tools=["Bash"],
            cwd=self.work,
            cli_path=folder_of("claude-code") / "claude",
            setting_sources=[],
            env={
                "HOME": str(self.home.path),
                "ANTHROPIC_BASE_URL": self.server.url,
                "ANTHROPIC_API_KEY": "none",
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "DISABLE_AUTOUPDATER": "1",
                "DISABLE_TELEMETRY": "1",
            },
        )
        async for _ in query(prompt="run it", options=options):
            pass

    @property
    def made(self) -> bool:
        return (self.work / "made").exists()

    @property
    def told(self) -> str:
        return str(self.server.requests[-1]["last"])


@pytest.fixture
def env(tmp_path: Path, home: Home, receiver: Receiver, mock_model: Callable[..., MockModel]) -> AdapterEnvironment:
    work = tmp_path / "work"
    work.mkdir()
    return AdapterEnvironment(work, home, receiver, mock_model(MOCK_CMD="echo from-the-model > made"))


async def test_points_in_order(env: AdapterEnvironment) -> None:
    await env.run("*")
    assert env.made
    assert [request.body["event"] for request in env.receiver.requests] == [
        "on_message_received",
        "on_turn_start",
        "on_tool_call_start",
        "pre_tool_execution",
        "post_tool_execution",
        "on_turn_complete",
        "post_turn",
    ]


async def test_denied(env: AdapterEnvironment) -> None:
    env.receiver.answer({"result": "deny", "message": "not today"})
    await env.run("pre_tool")
    assert not env.made
    assert "not today" in env.told


async def test_modified(env: AdapterEnvironment) -> None:
    def change(received: Received) -> dict[str, Any]:
        args = json.loads(received.body["hook_context"]["tool_args"])
        return {"result": "modify", "modified_content": {**args, "command": "echo changed > made"}}

    env.receiver.answer(change)
    await env.run("tool_call_start")
    assert (env.work / "made").read_text() == "changed\n"


async def test_modified_result(env: AdapterEnvironment) -> None:
    env.receiver.answer({"result": "modify", "modified_content": "nothing to see"})
    await env.run("post_tool")
    assert env.made
    assert "nothing to see" in env.told


async def test_a_failing_webhook_closed(env: AdapterEnvironment) -> None:
    env.receiver.answer(lambda _: web.Response(status=500))
    await env.run("pre_tool", closed=True)
    assert not env.made


async def test_hook_files_are_kept_where_nothing_listens_to_tools(home: Home) -> None:
    assert claude_hooks(home.hooks()) == {}, "nothing is configured"
    hooks = claude_hooks(home.one("http://127.0.0.1:9/", trigger="post_tool"))
    assert set(hooks) == {"PreToolUse", "PostToolUse", "PostToolUseFailure"}
    native = {
        "hook_event_name": "PreToolUse",
        "tool_name": "Write",
        "tool_input": {"file_path": str(home.path / "hooks.toml"), "content": ""},
    }
    said: Any = await hooks["PreToolUse"][0].hooks[0](native, "toolu_1", None)  # type: ignore[arg-type]
    assert said["hookSpecificOutput"]["permissionDecision"] == "deny"
