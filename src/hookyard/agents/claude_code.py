"""Claude Code as an agent, in its print mode.

It reads neither the user's nor the repository's settings and hooks (`--setting-sources ""`), only those of this run.
Where the profile allows CLAUDE_CONFIG_DIR, that folder's login is used; otherwise it needs ANTHROPIC_API_KEY.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hookyard.agents.base import Parts, Usage
from hookyard.agents.cli_agent import (
    MCP_NAME,
    AgentFailed,
    AgentInfo,
    CliAgent,
    CliEvent,
    Launch,
    LaunchRequest,
    TextMessage,
    TokensSpent,
    ToolCalled,
    ToolReturned,
    installed,
    write_json,
)
from hookyard.agents.profiles import Profile

TOOLS = ("Bash", "Edit", "Write", "NotebookEdit", "Read", "Glob", "Grep", "WebFetch", "WebSearch", "Task", "TodoWrite")
"""What it may use without asking when the profile names no tools; in print mode there is no person to ask."""

EDITS = {"Edit": "file_path", "Write": "file_path", "NotebookEdit": "notebook_path"}
"""Tools that change a file, and the argument that names it."""

QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
}


class ClaudeCodeCli:
    """How Claude Code is started and how it speaks."""

    kind = "claude-code"
    program = "claude"
    package = "@anthropic-ai/claude-code"
    tells_of_denied = True
    own_ids = False

    def launch(self, start: LaunchRequest) -> Launch:
        """Return the launch command, with settings, MCP servers and allowed tools of this run only."""
        settings = start.home / "settings.json"
        write_json(settings, {"hooks": start.hooks})
        servers = start.home / "mcp.json"
        write_json(servers, {"mcpServers": {} if start.mcp is None else {MCP_NAME: start.mcp}})
        system = start.home / "system.txt"
        system.write_text(start.system, encoding="utf-8")
        allowed = [*(start.profile.tools or TOOLS), *([] if start.mcp is None else [f"mcp__{MCP_NAME}"])]
        args = [
            *("-p", "--output-format", "stream-json", "--verbose", "--no-session-persistence"),
            *("--setting-sources", "", "--settings", str(settings)),
            "--disable-slash-commands",  # commands and skills of the repository can run programs
            *("--strict-mcp-config", "--mcp-config", str(servers)),
            *("--append-system-prompt-file", str(system)),
            *("--allowedTools", ",".join(allowed)),
        ]
        if start.profile.model:
            args += ["--model", start.profile.model]
        environment = dict(QUIET)
        if "CLAUDE_CONFIG_DIR" not in start.assignment.environment:
            environment["CLAUDE_CONFIG_DIR"] = str(start.home / "config")
        return Launch(tuple(args), environment)

    def check(self, directory: Path) -> None:
        """Accept any directory: `--setting-sources ""`, `--strict-mcp-config` and `--disable-slash-commands` leave only
        texts to read."""

    def prompt(self, text: str) -> str:
        """Return the prompt unchanged."""
        return text

    def reader(self) -> ClaudeCodeReader:
        """Return a reader of `--output-format stream-json`."""
        return ClaudeCodeReader()


class ClaudeCodeReader:
    """Reads the stream of one run; usage is reported once per answer of the model, repeated for each of its parts."""

    def __init__(self) -> None:
        self._usage: dict[str, tuple[int, int]] = {}

    def __call__(self, said: Mapping[str, Any]) -> Iterable[CliEvent]:
        """Return the events in one object of the output."""
        message = said.get("message")
        if said.get("type") == "system" and said.get("subtype") == "init":
            yield AgentInfo(str(said.get("claude_code_version") or ""), str(said.get("model") or ""))
        elif said.get("type") == "assistant" and isinstance(message, dict):
            yield from self._assistant(message)
        elif said.get("type") == "user" and isinstance(message, dict):
            for block in _blocks(message):
                if block.get("type") == "tool_result":
                    result = _text(block.get("content"))
                    yield ToolReturned(str(block.get("tool_use_id")), result, success=not block.get("is_error"))
        elif said.get("type") == "result":
            yield from self._result(said)

    def _assistant(self, message: Mapping[str, Any]) -> Iterator[CliEvent]:
        spent = message.get("usage") or {}
        self._usage[str(message.get("id"))] = (_input(spent), int(spent.get("output_tokens") or 0))
        totals = list(self._usage.values())
        yield TokensSpent(Usage(sum(t[0] for t in totals), sum(t[1] for t in totals), len(totals)))
        for block in _blocks(message):
            if block.get("type") == "text" and block.get("text"):
                yield TextMessage(str(block["text"]), str(message.get("model", "")))
            elif block.get("type") == "tool_use":
                given = block.get("input") or {}
                name, args = str(block.get("name")), json.dumps(given, ensure_ascii=False)
                edits = (str(given.get(EDITS[name])),) if name in EDITS else ()
                yield ToolCalled(str(block.get("id")), name, args, edits)

    def _result(self, said: Mapping[str, Any]) -> Iterator[CliEvent]:
        spent = said.get("usage") or {}
        cost = said.get("total_cost_usd")
        yield TokensSpent(
            Usage(
                _input(spent),
                int(spent.get("output_tokens") or 0),
                int(said.get("num_turns") or len(self._usage)),
                float(cost) if isinstance(cost, int | float) else None,
            )
        )
        if said.get("is_error"):
            yield AgentFailed(str(said.get("result") or said.get("subtype") or "no reason given"))


def _input(spent: Mapping[str, Any]) -> int:
    keys = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    return sum(int(spent.get(key) or 0) for key in keys)


def _blocks(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [block for block in content if isinstance(block, dict)] if isinstance(content, list) else []


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return "" if content is None else str(content)


def unavailable() -> str | None:
    """Return why the kind cannot be used on this machine, None when it can."""
    return installed(ClaudeCodeCli())


def make(profile: Profile, parts: Parts) -> CliAgent:
    """Return the agent of a profile."""
    return CliAgent(ClaudeCodeCli(), profile, parts)
