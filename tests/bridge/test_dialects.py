"""The dialects, on the payloads that the real agents sent and on anything else that could arrive."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookyard.bridge.dialects import agent_files, all_dialects, dialect_of
from hookyard.bridge.dialects.base import (
    BLOCKED,
    BridgeDecision,
    Dialect,
    HookExit,
    NativeEvent,
    Noise,
    UnreadableError,
    apply_recheck,
)
from hookyard.core.errors import NotFoundError
from hookyard.hooks.points import Point

FILES = {
    "claude_command.jsonl": "claude-code",
    "claude_http.jsonl": "claude-code",
    "claude_permission_request.jsonl": "claude-code",
    "claude_tool_failure.jsonl": "claude-code",
    "codex.jsonl": "codex",
    "copilot.jsonl": "copilot",
    "copilot_error.jsonl": "copilot",
    "copilot_reading_claude_settings.jsonl": "claude-code",
    "gemini.jsonl": "gemini",
    "opencode.jsonl": "opencode",
}
BEFORE_TOOL: Mapping[str, tuple[str, dict[str, Any]]] = {
    "claude-code": ("PreToolUse", {"tool_name": "Bash", "tool_input": {"command": "ls", "description": "d"}}),
    "codex": ("PreToolUse", {"tool_name": "Bash", "tool_input": {"command": "ls", "description": "d"}}),
    "atomcode": ("PreToolUse", {"tool_name": "bash", "tool_input": {"command": "ls", "description": "d"}}),
    "gemini": ("BeforeTool", {"tool_name": "sh", "tool_input": {"command": "ls", "description": "d"}}),
    "copilot": ("preToolUse", {"toolName": "bash", "toolArgs": {"command": "ls", "description": "d"}}),
    "opencode": (
        "tool.execute.before",
        {"input": {"tool": "bash"}, "output": {"args": {"command": "ls", "description": "d"}}},
    ),
}
AGENTS = sorted(BEFORE_TOOL)


def recorded(shared: Path, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Native event name and payload of every line."""
    lines = (shared / "samples" / "agents" / name).read_text().splitlines()
    payloads = [json.loads(line)["in"] for line in lines]
    if FILES[name] == "opencode":
        return handed_over(payloads)
    return [(payload.get("_event") or payload.get("hook_event_name") or "?", payload) for payload in payloads]


def handed_over(payloads: list[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """What our plugin makes of what OpenCode told its recorder, which kept only the names of some inputs.

    No call failed, so no part of a message is handed over.
    """
    return [
        (payload["_event"].removeprefix("event:"), {**payload, "cwd": "/home/dev/project"})
        for payload in payloads
        if isinstance(payload["input"], dict) and payload["_event"] != "event:message.part.updated"
    ]


def heard_of(dialect: Dialect, samples: list[tuple[str, dict[str, Any]]]) -> list[NativeEvent]:
    names = {event.name for event in dialect.events}
    return [dialect.read(event, payload) for event, payload in samples if event in names]


def before_tool(agent: str, **changes: Any) -> NativeEvent:
    event, native = BEFORE_TOOL[agent]
    return dialect_of(agent).read(event, {**native, **changes})


def out(answer: HookExit) -> Any:
    assert answer.code == 0
    return json.loads(answer.out) if answer.out else None


def test_every_file_is_a_dialect() -> None:
    assert sorted(all_dialects()) == AGENTS
    with pytest.raises(NotFoundError, match="claude-code"):
        dialect_of("emacs")


@pytest.mark.parametrize("file", FILES)
def test_recorded_sessions_stand_for_points_in_order(shared: Path, file: str) -> None:
    dialect = dialect_of(FILES[file])
    sessions: dict[str | None, list[NativeEvent]] = defaultdict(list)
    for heard in heard_of(dialect, recorded(shared, file)):
        assert heard.session_id
        assert heard.working_dir == "/home/dev/project"
        assert tuple(firing.point for firing in heard.firings) == next(
            event.points for event in dialect.events if event.name == heard.event
        ) or heard.event in {"AfterModel", "MessageDisplay"}
        sessions[heard.session_id].append(heard)
    assert sessions
    for told in sessions.values():
        points = [firing.point for heard in told for firing in heard.firings]
        if Point.TOOL_CALL_START in points:
            at = points.index(Point.TOOL_CALL_START)
            assert points[at + 1] is Point.PRE_TOOL
            assert Point.POST_TOOL not in points[:at]


def test_a_recorded_tool_call_is_understood_by_every_dialect(shared: Path) -> None:
    expected = {"claude_command.jsonl": "Bash", "codex.jsonl": "Bash", "gemini.jsonl": "run_shell_command"}
    for file, tool in {**expected, "copilot.jsonl": "bash", "opencode.jsonl": "bash"}.items():
        calls = [heard for heard in heard_of(dialect_of(FILES[file]), recorded(shared, file)) if heard.tool_name]
        before, after = calls[0], calls[1]
        assert (before.tool_name, before.tool_args and before.tool_args["command"]) == (tool, "echo hi")
        own = after.firings[0].own
        assert "hi" in own["result"]
        assert own["success"] is True


def test_a_failed_tool_call(shared: Path) -> None:
    heard = heard_of(dialect_of("claude-code"), recorded(shared, "claude_tool_failure.jsonl"))
    failed = next(h for h in heard if h.event == "PostToolUseFailure")
    assert failed.firings[0].own["success"] is False
    assert "No such file" in failed.firings[0].own["result"]
    assert failed.duration_ms == 37


def test_errors(shared: Path) -> None:
    claude = heard_of(dialect_of("claude-code"), recorded(shared, "claude_http.jsonl"))
    stop = next(h for h in claude if h.event == "StopFailure")
    assert [firing.point for firing in stop.firings] == [Point.ERROR, Point.TURN_COMPLETE, Point.POST_TURN]
    assert stop.firings[0].own["error_type"] == "server_error"
    copilot = heard_of(dialect_of("copilot"), recorded(shared, "copilot_error.jsonl"))
    error = next(h for h in copilot if h.event == "errorOccurred").firings[0]
    assert "mock failure" in error.own["error_message"]
    assert error.own["phase"] == "model_call"


def test_copilot_reading_claudes_settings_is_copilot(shared: Path) -> None:
    dialect = dialect_of("claude-code")
    for heard in heard_of(dialect, recorded(shared, "copilot_reading_claude_settings.jsonl")):
        assert heard.agent == "copilot"
        if heard.tool_name:
            assert dialect.answer(heard, BridgeDecision("no")) == HookExit(BLOCKED, err="no")
            assert apply_recheck(dialect, heard, BridgeDecision(args={})).denied


DENIED = {
    "gemini": {"decision": "deny", "reason": "no"},
    "copilot": {"permissionDecision": "deny", "permissionDecisionReason": "no"},
    "atomcode": {"action": "block", "decision": "block", "reason": "no"},
}


@pytest.mark.parametrize("agent", AGENTS)
def test_deny(agent: str) -> None:
    answer = dialect_of(agent).answer(before_tool(agent), BridgeDecision("no"))
    assert (json.loads(answer.out) if answer.out else None) == DENIED.get(agent)
    assert answer.code == (0 if agent == "atomcode" else BLOCKED)
    assert answer.err == "no"


@pytest.mark.parametrize("agent", AGENTS)
def test_nothing_to_say(agent: str) -> None:
    assert dialect_of(agent).answer(before_tool(agent), BridgeDecision()) == HookExit()


def test_modify_in_the_words_of_each() -> None:
    new = {"command": "pwd", "description": "d"}
    said = {agent: out(dialect_of(agent).answer(before_tool(agent), BridgeDecision(args=new))) for agent in AGENTS}
    assert said["claude-code"]["hookSpecificOutput"] == {"hookEventName": "PreToolUse", "updatedInput": new}
    assert said["codex"]["hookSpecificOutput"] == {
        "hookEventName": "PreToolUse",
        "updatedInput": new,
        "permissionDecision": "allow",
    }
    assert said["gemini"]["hookSpecificOutput"] == {"hookEventName": "BeforeTool", "tool_input": new}
    assert said["copilot"] == {"modifiedArgs": new}
    assert said["atomcode"] == {"action": "modify", "args": new}
    assert said["opencode"] == {"args": new}


@pytest.mark.parametrize("agent", AGENTS)
def test_a_modification_never_passes_over_the_person(agent: str) -> None:
    dialect, heard = dialect_of(agent), before_tool(agent)
    ruling = BridgeDecision(args={"command": "pwd", "description": "d"})
    settled = apply_recheck(dialect, heard, ruling)
    if agent in {"claude-code", "opencode"}:  # which ask about the changed arguments themselves
        assert settled is ruling
    else:
        assert "--allow-modify" in (settled.denied or "")
    assert apply_recheck(dialect, heard, ruling, allow_modify=True) is ruling
    assert apply_recheck(dialect, heard, BridgeDecision("no")) == BridgeDecision("no")
    if agent != "codex":
        assert '"allow"' not in dialect.answer(heard, ruling).out


def test_codex_may_modify_where_nobody_is_asked() -> None:
    heard = before_tool("codex", permission_mode="bypassPermissions")
    assert apply_recheck(dialect_of("codex"), heard, BridgeDecision(args={})).args == {}


def test_gemini_cannot_take_an_argument_away() -> None:
    answer = dialect_of("gemini").answer(before_tool("gemini"), BridgeDecision(args={"command": "pwd"}))
    assert answer.code == BLOCKED
    assert "description" in json.loads(answer.out)["reason"]


def test_a_blocked_prompt() -> None:
    names = {"gemini": "BeforeAgent", "copilot": "userPromptSubmitted", "opencode": "chat.message"}
    parts = [{"type": "text", "text": "hello"}, {"type": "text", "text": "a file's text", "synthetic": True}]
    for agent in AGENTS:
        dialect = dialect_of(agent)
        heard = dialect.read(names.get(agent, "UserPromptSubmit"), {"prompt": "hello", "output": {"parts": parts}})
        assert heard.firings[0].own["content"] == "hello"
        answer = dialect.answer(heard, BridgeDecision("no"))
        assert answer == dialect.refuse(heard.event, "no")
        assert (answer.code, answer.err) == (0 if agent == "atomcode" else BLOCKED, "no")
        assert bool(answer.out) is (agent in {"atomcode", "copilot", "gemini"})


@pytest.mark.parametrize("agent", AGENTS)
def test_a_tool_call_without_a_tool_is_said_so(agent: str) -> None:
    event, native = BEFORE_TOOL[agent]
    values: tuple[Any, ...] = (None, 7, "", [1], {})
    for value in values:
        changed: dict[str, Any] = {"input": {"tool": value}} if agent == "opencode" else {}
        changed |= dict.fromkeys(native.keys() & {"tool_name", "toolName"}, value)
        with pytest.raises(UnreadableError):
            dialect_of(agent).read(event, {**native, **changed})


PATCH = "*** Begin Patch\n*** Add File: a\n+b\n*** End Patch"
SHAPES = [
    (PATCH, {"input": PATCH}),
    ('{"command": "ls"}', {"command": "ls"}),
    ("[1]", {"input": "[1]"}),
    ([PATCH], {"input": [PATCH]}),
    (7, {"input": 7}),
    (False, {"input": False}),
    ("", {}),
    (" ", {}),
    (None, {}),
]


def with_arguments(agent: str, event: str, value: object) -> NativeEvent:
    """The event of a tool call whose arguments are a value."""
    _, native = BEFORE_TOOL[agent]
    if agent == "opencode":
        tool = {"tool": "apply_patch"}
        before = event == "tool.execute.before"
        return dialect_of(agent).read(
            event, {"input": tool if before else {**tool, "args": value}, "output": {"args": value} if before else {}}
        )
    key = next(key for key in native if key in {"tool_input", "toolArgs"})
    return dialect_of(agent).read(event, {**native, key: value})


@pytest.mark.parametrize(("value", "seen"), SHAPES)
@pytest.mark.parametrize("agent", AGENTS)
def test_arguments_that_are_no_object_are_shown_and_never_replaced(agent: str, value: object, seen: object) -> None:
    dialect = dialect_of(agent)
    for event in (event.name for event in dialect.events if event.for_tools):
        if event != "message.part.updated":
            assert with_arguments(agent, event, value).tool_args == seen
    heard = with_arguments(agent, BEFORE_TOOL[agent][0], value)
    assert apply_recheck(dialect, heard, BridgeDecision("no")) == BridgeDecision("no")
    settled = apply_recheck(dialect, heard, BridgeDecision(args={"input": "x"}), allow_modify=True)
    if seen == {"command": "ls"}:
        assert settled.args == {"input": "x"}
    else:
        assert "were not an object" in (settled.denied or "")


ALL_NOISE = frozenset(Noise)


@pytest.mark.parametrize("agent", AGENTS)
def test_what_noise_would_swallow_is_refused_with_its_cause(agent: str) -> None:
    dialect, heard = dialect_of(agent), before_tool(agent)
    new = BridgeDecision(args={"command": "pwd", "description": "d"})
    for cause in Noise:
        settled = apply_recheck(dialect, heard, new, allow_modify=True, noise=frozenset({cause}))
        if cause in dialect.noise:
            assert cause.fix in (settled.denied or "")
            assert settled.args is None
        else:
            assert settled is new
    assert apply_recheck(dialect, heard, BridgeDecision("no"), noise=ALL_NOISE) == BridgeDecision("no")
    kept = apply_recheck(dialect, heard, BridgeDecision(result="hidden"), noise=ALL_NOISE)
    assert kept.result is None
    assert "it stays as it is" in kept.warnings[0]
    if heard.takes_text:
        assert apply_recheck(dialect, heard, BridgeDecision(text="x"), noise=ALL_NOISE).denied


def test_an_agent_that_reads_claudes_settings_and_does_not_say_who_it_is(shared: Path) -> None:
    dialect = dialect_of("claude-code")
    for file in ("qwen.jsonl", "kimi.jsonl"):
        lines = (shared / "samples" / "agents" / file).read_text().splitlines()
        payloads = [payload.get("in", payload) for payload in map(json.loads, lines)]
        calls = [payload for payload in payloads if payload.get("hook_event_name") == "PreToolUse"]
        assert calls
        for payload in calls:
            heard = dialect.read("PreToolUse", payload)
            assert heard.agent == "claude-code", "the agent whose line it is"
            assert "may not obey" in (apply_recheck(dialect, heard, BridgeDecision(args={})).denied or "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = """
    session_id sessionId cwd prompt tool_name toolName tool_input toolArgs tool_response toolResult tool_use_id call_id
    error errorContext delta model llm_response llm_request permission_mode duration_ms timestamp input output args
    part parts state metadata sessionID callID
"""
KEYS = st.sampled_from(NAMES.split())
EVENTS = [(agent, event.name) for agent, dialect in all_dialects().items() for event in dialect.events]


@given(st.sampled_from(EVENTS), st.dictionaries(KEYS, JSON, max_size=8), st.text(max_size=20))
def test_no_shape_breaks_a_dialect(named: tuple[str, str], native: dict[str, Any], reason: str) -> None:
    agent, event = named
    dialect = dialect_of(agent)
    try:
        heard = dialect.read(event, native)
    except UnreadableError:
        return
    json.dumps([dict(firing.own) for firing in heard.firings])
    for ruling in (BridgeDecision(reason), BridgeDecision(warnings=(reason,)), BridgeDecision(args={"a": 1})):
        answer = dialect.answer(heard, apply_recheck(dialect, heard, ruling, allow_modify=True))
        assert answer.code in (0, BLOCKED)
        if answer.out:
            json.loads(answer.out)
        if ruling.denied is not None:
            assert answer == dialect.refuse(event, reason)
            assert answer.code == BLOCKED or {"deny", "block"} & set(answer.out.split('"'))


@pytest.mark.parametrize("agent", all_dialects())
def test_every_place_that_is_written_to_is_kept_from_agents(agent: str, tmp_path: Path) -> None:
    """The list is made of the dialects: one that is new adds its own, wherever its variables move it."""
    dialect = dialect_of(agent)
    moved = {
        name: str(tmp_path / name) for name in ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "COPILOT_HOME", "XDG_CONFIG_HOME")
    }
    kept = agent_files(moved, tmp_path)
    for environ in ({}, moved):
        assert dialect.settings_file(tmp_path, environ, None) in kept.user
        assert set(dialect.other_files(tmp_path, environ, None)) <= set(kept.user)
    project = tmp_path / "project"
    for path in (dialect.settings_file(tmp_path, {}, project), *dialect.other_files(tmp_path, {}, project)):
        assert path.relative_to(project) in kept.project


def test_what_switches_hooks_off_is_kept() -> None:
    project = {str(path) for path in agent_files({}, Path("/home/ada")).project}
    assert {
        ".claude/settings.json",
        ".claude/settings.local.json",
        ".codex/config.toml",
        ".codex/hooks.json",
    } <= project
    assert {".gemini/settings.json", ".github/hooks", ".github/copilot/settings.json", ".opencode/plugin"} <= project
