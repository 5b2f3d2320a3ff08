"""What the programs say: odd lines are chatter, known ones are told, whatever else is in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookyard.agents import claude_code, codex, gemini
from hookyard.agents.cli_agent import AgentFailed, AgentInfo, TextMessage, TokensSpent, ToolCalled, ToolReturned

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["type", "message", "item", "content", "usage", "role", "status", "stats", "result", "error", "tool_id"]


@pytest.mark.parametrize("make_reader", [claude_code.ClaudeCodeReader, codex.CodexReader, gemini.GeminiReader])
@given(said=st.dictionaries(st.sampled_from(KEYS), JSON | st.sampled_from(["assistant", "result", "item.completed"])))
def test_no_line_does_more_than_be_unreadable(
    make_reader: Callable[[], Callable[[dict[str, object]], Iterable[object]]], said: dict[str, object]
) -> None:
    reader = make_reader()
    try:
        told = list(reader(said))
    except (ValueError, TypeError, AttributeError):
        return  # which the follower takes for chatter
    assert all(
        isinstance(one, AgentInfo | TextMessage | ToolCalled | ToolReturned | TokensSpent | AgentFailed) for one in told
    )


def test_failures_are_told() -> None:
    failed = {"type": "result", "is_error": True, "result": "no credit", "usage": {}}
    assert AgentFailed("no credit") in claude_code.ClaudeCodeReader()(failed)
    assert list(codex.CodexReader()({"type": "turn.failed", "error": {"message": "no credit"}})) == [
        AgentFailed("no credit")
    ]
    assert AgentFailed("no credit") in gemini.GeminiReader()(
        {"type": "result", "status": "error", "error": {"message": "no credit"}}
    )


def test_programs_say_who_they_are() -> None:
    said = {"type": "system", "subtype": "init", "claude_code_version": "2.1.4", "model": "claude-sonnet-4-5"}
    assert list(claude_code.ClaudeCodeReader()(said)) == [AgentInfo("2.1.4", "claude-sonnet-4-5")]
    assert list(gemini.GeminiReader()({"type": "init", "model": "gemini-2.5-flash"})) == [
        AgentInfo("", "gemini-2.5-flash")
    ]
    for reader in (claude_code.ClaudeCodeReader(), gemini.GeminiReader()):
        (nothing,) = reader(
            {"type": "init" if isinstance(reader, gemini.GeminiReader) else "system", "subtype": "init"}
        )
        assert nothing == AgentInfo()


def test_codex_tells_of_every_kind_of_call() -> None:
    read = codex.CodexReader()
    change = {"id": "1", "type": "file_change", "changes": [{"path": "a", "kind": "add"}], "status": "completed"}
    (called, returned) = read({"type": "item.completed", "item": change})
    assert isinstance(called, ToolCalled)
    assert (called.name, called.edits) == ("apply_patch", ("a",))
    assert returned == ToolReturned("1", "", success=True)
    call = {"id": "2", "type": "mcp_tool_call", "server": "hookyard", "tool": "get_task", "arguments": {"task_id": "t"}}
    assert list(read({"type": "item.started", "item": call})) == [
        ToolCalled("2", "mcp__hookyard__get_task", json.dumps({"task_id": "t"}))
    ]
    done = {**call, "status": "failed", "error": {"message": "gone"}}
    assert list(read({"type": "item.completed", "item": done})) == [ToolReturned("2", "gone", success=False)]


def test_claude_usage_counts_each_answer_once() -> None:
    read = claude_code.ClaudeCodeReader()
    message = {"id": "m1", "model": "x", "usage": {"input_tokens": 10, "output_tokens": 5}, "content": []}
    list(read({"type": "assistant", "message": message}))
    (spent,) = read({"type": "assistant", "message": message})
    assert isinstance(spent, TokensSpent)
    assert (spent.usage.input_tokens, spent.usage.requests) == (10, 1)
