"""Gemini CLI as an agent, in its headless mode (in its ACP mode it skips hooks).

Its home is this run's own, with this run's hooks. Gemini CLI would run the repository's hooks as well, and lets the
repository's settings switch hooks off: the former are switched off by name, and where that is not possible, or where
the latter is tried, it does not start. It needs GEMINI_API_KEY in the profile's environment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hookyard.agents.base import AgentError, Parts, Usage
from hookyard.agents.cli_agent import (
    MCP_NAME,
    Called,
    CliAgent,
    Failed,
    Introduced,
    Launch,
    Returned,
    Said,
    Spent,
    Start,
    Words,
    installed,
    write_json,
)
from hookyard.agents.profiles import Profile

EDITS = frozenset({"write_file", "replace"})
"""Tools that change a file."""


class Gemini:
    """How Gemini CLI is started and how it speaks."""

    kind = "gemini"
    program = "gemini"
    package = "@google/gemini-cli"
    tells_of_denied = True
    own_ids = False

    def launch(self, start: Start) -> Launch:
        """A home with settings; what is added to the system prompt goes into its memory file."""
        settings: dict[str, Any] = {
            "security": {"auth": {"selectedType": "gemini-api-key"}},
            "privacy": {"usageStatisticsEnabled": False},
            "general": {"enableAutoUpdate": False},
            "hooks": start.hooks,
            "hooksConfig": {"enabled": True, "disabled": repository_hooks(start.assignment.working_dir)},
        }
        if start.mcp is not None:
            settings["mcpServers"] = {MCP_NAME: {**start.mcp, "trust": True}}
        write_json(start.home / ".gemini" / "settings.json", settings)
        (start.home / ".gemini" / "GEMINI.md").write_text(start.system, encoding="utf-8")
        args = ["--output-format", "stream-json", "--yolo", "--extensions", "none"]
        if start.profile.model:
            args += ["--model", start.profile.model]
        environment = {
            "GEMINI_CLI_HOME": str(start.home),
            "GEMINI_CLI_TRUST_WORKSPACE": "true",  # in a folder that it does not trust it runs no hooks, not even ours
            "NO_COLOR": "1",
        }
        return Launch(tuple(args), environment)

    def reader(self) -> Reader:
        """Of `--output-format stream-json`."""
        return Reader()


class Reader:
    """Reads the stream of one run; an answer comes in pieces, which are joined."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._model = ""

    def __call__(self, said: Mapping[str, Any]) -> Iterable[Said]:
        """What one object tells."""
        kind = said.get("type")
        if kind == "init":
            self._model = str(said.get("model") or "")
            yield Introduced(model=self._model)
        elif kind == "message" and said.get("role") == "assistant":
            self._pieces.append(str(said.get("content", "")))
        elif kind == "tool_use":
            yield from self._words()
            given = said.get("parameters") or {}
            name, args = str(said.get("tool_name")), json.dumps(given, ensure_ascii=False)
            edits = (str(given.get("file_path")),) if name in EDITS else ()
            yield Called(str(said.get("tool_id")), name, args, edits)
        elif kind == "tool_result":
            output = said.get("output") or (said.get("error") or {}).get("message") or ""
            yield Returned(str(said.get("tool_id")), str(output), success=said.get("status") == "success")
        elif kind == "result":
            yield from self._words()
            yield from _result(said)

    def _words(self) -> Iterator[Said]:
        if self._pieces:
            yield Words("".join(self._pieces), self._model)
            self._pieces.clear()


def _result(said: Mapping[str, Any]) -> Iterator[Said]:
    stats = said.get("stats") or {}
    requests = max(1, int(stats.get("tool_calls") or 0) + 1)
    yield Spent(Usage(int(stats.get("input_tokens") or 0), int(stats.get("output_tokens") or 0), requests))
    if said.get("status") != "success":
        yield Failed(str((said.get("error") or {}).get("message") or "no reason given"))


def repository_hooks(folder: Path) -> list[str]:
    """Names of the hooks that a repository would have Gemini CLI run.

    Raises:
        AgentError: There may be some whose names cannot be told, or hooks are to be switched off.
    """
    path = folder / ".gemini" / "settings.json"
    try:
        settings = json.loads(path.read_bytes())
        names = [
            str(hook.get("name") or hook.get("command"))
            for definitions in settings.get("hooks", {}).values()
            for definition in definitions
            for hook in definition.get("hooks", ())
        ]
        steered = "hooksConfig" in settings or "enableHooks" in settings.get("tools", {})
    except FileNotFoundError:
        return []
    except (OSError, ValueError, AttributeError, TypeError):
        names, steered = [], True
    if steered or any("$" in name for name in names):  # Gemini CLI puts variables in before it compares
        raise AgentError(
            "the repository's own settings for Gemini CLI would decide which hooks run",
            mend=f"remove hooksConfig, tools.enableHooks and the hooks from {path}; it must be plain JSON",
        )
    return sorted(set(names))


def unavailable() -> str | None:
    """Why it cannot be used on this machine."""
    return installed(Gemini())


def make(profile: Profile, parts: Parts) -> CliAgent:
    """The agent of a profile."""
    return CliAgent(Gemini(), profile, parts)
