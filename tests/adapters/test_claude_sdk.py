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


class Scene:
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
def scene(tmp_path: Path, home: Home, receiver: Receiver, mock_model: Callable[..., MockModel]) -> Scene:
    work = tmp_path / "work"
    work.mkdir()
    return Scene(work, home, receiver, mock_model(MOCK_CMD="echo from-the-model > made"))


async def test_points_in_order(scene: Scene) -> None:
    await scene.run("*")
    assert scene.made
    assert [request.body["event"] for request in scene.receiver.requests] == [
        "on_message_received",
        "on_turn_start",
        "on_tool_call_start",
        "pre_tool_execution",
        "post_tool_execution",
        "on_turn_complete",
        "post_turn",
    ]


async def test_denied(scene: Scene) -> None:
    scene.receiver.answer({"result": "deny", "message": "not today"})
    await scene.run("pre_tool")
    assert not scene.made
    assert "not today" in scene.told


async def test_modified(scene: Scene) -> None:
    def change(received: Received) -> dict[str, Any]:
        args = json.loads(received.body["hook_context"]["tool_args"])
        return {"result": "modify", "modified_content": {**args, "command": "echo changed > made"}}

    scene.receiver.answer(change)
    await scene.run("tool_call_start")
    assert (scene.work / "made").read_text() == "changed\n"


async def test_modified_result(scene: Scene) -> None:
    scene.receiver.answer({"result": "modify", "modified_content": "nothing to see"})
    await scene.run("post_tool")
    assert scene.made
    assert "nothing to see" in scene.told


async def test_a_failing_webhook_closed(scene: Scene) -> None:
    scene.receiver.answer(lambda _: web.Response(status=500))
    await scene.run("pre_tool", closed=True)
    assert not scene.made


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
