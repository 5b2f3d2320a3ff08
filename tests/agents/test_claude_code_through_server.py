"""The whole way: a task changes, a callback runs the real Claude Code, which comments on the task through MCP."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from tests.agents.programs import folder_of
from tests.agents.scripted_anthropic import scripted_anthropic
from tests.e2e.conftest import make_server
from tests.e2e.server import ServerProcess, eventually

__all__ = ["make_server"]


def test_a_callback_runs_claude_code_which_comments_on_the_task(make_server: Callable[..., ServerProcess]) -> None:
    programs = folder_of("claude-code")
    comment = {"task_id": "task-1", "content": "看过了: looked at it."}
    call = {"type": "tool_use", "id": "toolu_1", "name": "mcp__hookyard__comment_task", "input": comment}
    with scripted_anthropic(call, {"type": "text", "text": "I commented."}) as (model, requests):
        server = make_server(
            {
                "PATH": f"{programs}:{os.environ['PATH']}",
                "ANTHROPIC_BASE_URL": model,
                "ANTHROPIC_API_KEY": "none",
            }
        )
        server.start()
        w = server.api("POST", "/workspaces", {"name": "w"})["id"]
        agent = {"kind": "claude-code", "environment": ["ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"]}
        callback = {
            "name": "look",
            "enabled": True,
            "events": ["task.created"],
            "prompt": "Look at {{taskId}}.",
            "agent": agent,
        }
        server.api("POST", f"/workspaces/{w}/callbacks", callback)
        server.api("POST", f"/workspaces/{w}/tasks", {"title": "t", "type": "task", "status": "todo"})

        def commented() -> list[str] | None:
            comments = server.api("GET", f"/workspaces/{w}/tasks/task-1/comments")["items"]
            return [comment["content"] for comment in comments] if len(requests) > 1 else None

        assert eventually(commented, "Claude Code comments", seconds=60) == ["看过了: looked at it."]
    told = json.dumps(requests[-1]["messages"][-1])
    assert "commentId" in told, "the model is told what came of its call"
    assert "Look at task-1." in str(requests[0]["messages"])
    assert "The tasks of your workspace are reached" in json.dumps(requests[0]), "the system prompt has our words"
