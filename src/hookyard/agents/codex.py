"""Codex as an agent, in its exec mode.

Its home is this run's own, with this run's hooks; the repository's are not read, since the folder is not trusted there.
Hooks of that home need no review, for hookyard wrote them itself a moment ago (`--dangerously-bypass-hook-trust`). It
needs CODEX_API_KEY or OPENAI_API_KEY in the profile's environment, or CODEX_HOME, whose login is then copied.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hookyard.agents.base import Parts, Usage
from hookyard.agents.cli_agent import (
    MCP_NAME,
    AgentFailed,
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

LOGIN = "auth.json"
"""Where Codex keeps a login in its home."""


class CodexCli:
    """How Codex is started and how it speaks."""

    kind = "codex"
    program = "codex"
    package = "@openai/codex"
    tells_of_denied = False
    own_ids = True

    def launch(self, start: LaunchRequest) -> Launch:
        """Return the launch command, with a home directory that holds configuration, hooks and perhaps a login."""
        given = start.assignment.environment
        (start.home / "config.toml").write_text(_config(start, given.get("OPENAI_BASE_URL")), encoding="utf-8")
        write_json(start.home / "hooks.json", {"hooks": start.hooks})
        login = Path(given["CODEX_HOME"]) / LOGIN if "CODEX_HOME" in given else None
        if login is not None and login.is_file():
            shutil.copy(login, start.home / LOGIN)
        environment = {"CODEX_HOME": str(start.home)}
        if "OPENAI_API_KEY" in given and "CODEX_API_KEY" not in given:
            environment["CODEX_API_KEY"] = given["OPENAI_API_KEY"]
        args = ["exec", "--json", "--skip-git-repo-check", "--ephemeral", "--dangerously-bypass-hook-trust"]
        args += ["--sandbox", "workspace-write"]
        if start.profile.model:
            args += ["--model", start.profile.model]
        return Launch((*args, "-"), environment)

    def check(self, directory: Path) -> None:
        """Accept any directory: Codex reads nothing but AGENTS.md of a directory that its home does not trust."""

    def prompt(self, text: str) -> str:
        """Return the prompt unchanged."""
        return text

    def reader(self) -> CodexReader:
        """Return a reader of `--json`."""
        return CodexReader()


def _config(start: LaunchRequest, base_url: str | None) -> str:
    """Return the text of `config.toml`. A JSON string is a valid TOML string."""
    lines = [
        "check_for_update_on_startup = false",
        f"developer_instructions = {json.dumps(start.system)}",
    ]
    if base_url:
        lines.append('model_provider = "given"')
    lines += ["[analytics]", "enabled = false"]
    if base_url:
        lines += [
            "[model_providers.given]",
            'name = "given"',
            f"base_url = {json.dumps(base_url)}",
            'env_key = "CODEX_API_KEY"',
            'wire_api = "responses"',
        ]
    if start.mcp is not None:
        lines += [
            f"[mcp_servers.{MCP_NAME}]",
            f"command = {json.dumps(start.mcp['command'])}",
            f"args = {json.dumps(start.mcp['args'])}",
            f"[mcp_servers.{MCP_NAME}.env]",
            *(f"{name} = {json.dumps(value)}" for name, value in start.mcp["env"].items()),
        ]
    return "\n".join(lines) + "\n"


class CodexReader:
    """Reads the stream of one run."""

    def __init__(self) -> None:
        self._open: set[str] = set()

    def __call__(self, said: Mapping[str, Any]) -> Iterable[CliEvent]:
        """Return the events in one object of the output."""
        item = said.get("item")
        if said.get("type") in ("item.started", "item.completed") and isinstance(item, dict):
            yield from self._item(item, done=said["type"] == "item.completed")
        elif said.get("type") == "turn.completed":
            spent = said.get("usage") or {}
            yield TokensSpent(Usage(int(spent.get("input_tokens") or 0), int(spent.get("output_tokens") or 0), 1))
        elif said.get("type") == "turn.failed":
            yield AgentFailed(str((said.get("error") or {}).get("message") or "no reason given"))

    def _item(self, item: Mapping[str, Any], *, done: bool) -> Iterator[CliEvent]:
        if item.get("type") == "agent_message" and done:
            yield TextMessage(str(item.get("text", "")))
            return
        call = _call(item)
        if call is None:
            return
        if call.call_id not in self._open:
            self._open.add(call.call_id)
            yield call
        if done:
            yield ToolReturned(call.call_id, _result(item), success=item.get("status") == "completed")


def _call(item: Mapping[str, Any]) -> ToolCalled | None:
    """Return the tool call that an item is, None for any other item."""
    call_id, kind = str(item.get("id")), item.get("type")
    if kind == "command_execution":
        return ToolCalled(call_id, "Bash", json.dumps({"command": item.get("command")}, ensure_ascii=False))
    if kind == "file_change":
        changes = item.get("changes") or []
        edits = tuple(str(change.get("path")) for change in changes)
        return ToolCalled(call_id, "apply_patch", json.dumps({"changes": changes}, ensure_ascii=False), edits)
    if kind == "mcp_tool_call":
        name = f"mcp__{item.get('server')}__{item.get('tool')}"
        return ToolCalled(call_id, name, json.dumps(item.get("arguments") or {}, ensure_ascii=False))
    return None


def _result(item: Mapping[str, Any]) -> str:
    if "aggregated_output" in item:
        return str(item["aggregated_output"])
    error = item.get("error")
    if isinstance(error, dict):
        return str(error.get("message", ""))
    result = item.get("result")
    return "" if result is None else json.dumps(result, ensure_ascii=False)


def unavailable() -> str | None:
    """Return why the kind cannot be used on this machine, None when it can."""
    return installed(CodexCli())


def make(profile: Profile, parts: Parts) -> CliAgent:
    """Return the agent of a profile."""
    return CliAgent(CodexCli(), profile, parts)
