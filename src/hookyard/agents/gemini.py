"""Gemini CLI as an agent, in its headless mode (in its ACP mode it skips hooks).

Its home is this run's own, with this run's hooks. The folder has to be trusted, or Gemini CLI would run no hooks; so it
would also read the repository's settings, variables and programs. It does not start where the repository has more than
`agents.repository_files` allows. Hooks of the repository are switched off by name, `.env` files are not read, and the
variables that name addresses and programs are set for each run, since a file sets only what is not set. It needs
GEMINI_API_KEY in the profile's environment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hookyard.agents.base import AgentError, Parts, Usage
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
from hookyard.agents.repository_files import check_gemini

EDITS = frozenset({"write_file", "replace"})
"""Tools that change a file."""

SET_EMPTY = (
    *("GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL", "CODE_ASSIST_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    *("GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_GCA", "GEMINI_CLI_CUSTOM_HEADERS", "GEMINI_CLI_USE_COMPUTE_ADC"),
    *("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy", "all_proxy", "NODE_EXTRA_CA_CERTS"),
    *("NODE_OPTIONS", "BASH_ENV", "ENV", "LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "PYTHONSTARTUP"),
    *("SANDBOX", "GEMINI_TELEMETRY_OUTFILE", "GEMINI_TELEMETRY_OTLP_ENDPOINT", "GEMINI_CLI_IDE_SERVER_PORT"),
    "GEMINI_CLI_IDE_SERVER_STDIO_COMMAND",
)
"""Variables that are set to nothing where the profile does not give them."""


def pinned(given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that no `.env` file may set: empty, or what the profile gives in another case of a name."""
    either = {name.lower(): value for name, value in given.items()}
    return {name: either.get(name.lower(), "") for name in SET_EMPTY if name not in given}


class GeminiCli:
    """How Gemini CLI is started and how it speaks."""

    kind = "gemini"
    program = "gemini"
    package = "@google/gemini-cli"
    tells_of_denied = True
    own_ids = False

    def launch(self, start: LaunchRequest) -> Launch:
        """Return the launch command, with a home directory that holds settings; additions to the system prompt go into
        its memory file."""
        disabled = repository_hooks(check_gemini(start.assignment.working_dir), start.hooks)
        settings: dict[str, Any] = {
            "advanced": {"ignoreLocalEnv": True},
            "telemetry": {"enabled": False},
            "security": {"auth": {"selectedType": "gemini-api-key"}},
            "privacy": {"usageStatisticsEnabled": False},
            "general": {"enableAutoUpdate": False},
            "hooks": start.hooks,
            "hooksConfig": {"enabled": True, "disabled": disabled},
        }
        if start.mcp is not None:
            settings["mcpServers"] = {MCP_NAME: {**start.mcp, "trust": True}}
        settings["mcp"] = {"allowed": [MCP_NAME]}
        write_json(start.home / ".gemini" / "settings.json", settings)
        (start.home / ".gemini" / "GEMINI.md").write_text(start.system, encoding="utf-8")
        args = ["--output-format", "stream-json", "--yolo", "--extensions", "none"]
        if start.profile.model:
            args += ["--model", start.profile.model]
        environment = {
            **pinned(start.assignment.environment),
            "GEMINI_SYSTEM_MD": "false",
            "GEMINI_WRITE_SYSTEM_MD": "false",
            "GEMINI_SANDBOX": "false",
            "GEMINI_TELEMETRY_ENABLED": "false",
            "GEMINI_CLI_SYSTEM_SETTINGS_PATH": str(start.home / "none" / "settings.json"),
            "GEMINI_CLI_SYSTEM_DEFAULTS_PATH": str(start.home / "none" / "defaults.json"),
            "GEMINI_CLI_HOME": str(start.home),
            "GEMINI_CLI_TRUST_WORKSPACE": "true",  # in a folder that it does not trust it runs no hooks, not even ours
            "NO_COLOR": "1",
        }
        return Launch(tuple(args), environment)

    def check(self, directory: Path) -> None:
        """Refuse a repository whose files could run a program or change an address."""
        check_gemini(directory)

    def prompt(self, text: str) -> str:
        """Keep a prompt from being read as a command of the repository's."""
        return f" {text}" if text.startswith(("/", "?")) else text

    def reader(self) -> GeminiReader:
        """Return a reader of `--output-format stream-json`."""
        return GeminiReader()


class GeminiReader:
    """Reads the stream of one run; an answer comes in pieces, which are joined."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._model = ""

    def __call__(self, said: Mapping[str, Any]) -> Iterable[CliEvent]:
        """Return the events in one object of the output."""
        kind = said.get("type")
        if kind == "init":
            self._model = str(said.get("model") or "")
            yield AgentInfo(model=self._model)
        elif kind == "message" and said.get("role") == "assistant":
            self._pieces.append(str(said.get("content", "")))
        elif kind == "tool_use":
            yield from self._words()
            given = said.get("parameters") or {}
            name, args = str(said.get("tool_name")), json.dumps(given, ensure_ascii=False)
            edits = (str(given.get("file_path")),) if name in EDITS else ()
            yield ToolCalled(str(said.get("tool_id")), name, args, edits)
        elif kind == "tool_result":
            output = said.get("output") or (said.get("error") or {}).get("message") or ""
            yield ToolReturned(str(said.get("tool_id")), str(output), success=said.get("status") == "success")
        elif kind == "result":
            yield from self._words()
            yield from _result(said)

    def _words(self) -> Iterator[CliEvent]:
        if self._pieces:
            yield TextMessage("".join(self._pieces), self._model)
            self._pieces.clear()


def _result(said: Mapping[str, Any]) -> Iterator[CliEvent]:
    stats = said.get("stats") or {}
    requests = max(1, int(stats.get("tool_calls") or 0) + 1)
    yield TokensSpent(Usage(int(stats.get("input_tokens") or 0), int(stats.get("output_tokens") or 0), requests))
    if said.get("status") != "success":
        yield AgentFailed(str((said.get("error") or {}).get("message") or "no reason given"))


def repository_hooks(settings: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """Return the names of the hooks that a repository would have Gemini CLI run, in order to switch them off.

    Args:
        settings: The repository's settings.
        own: The hooks of this run, which must stay switched on.

    Raises:
        AgentError: A hook cannot be switched off by its name, or has the name of one of this run's.
    """
    hint = "remove the hooks from the repository's .gemini/settings.json"
    try:
        found = list(_hook_names(settings))
    except (AttributeError, TypeError) as error:
        raise AgentError("the repository's hooks for Gemini CLI cannot be read", hint=hint) from error
    ours = {name for pair in _hook_names({"hooks": own}) for name in pair}
    for name, command in found:
        # Gemini CLI puts variables in before it compares, and compares texts only.
        named = name if name is not None else command
        if not isinstance(named, str) or not named or named != named.strip() or "$" in named or named in ours:
            raise AgentError(
                f"the repository's hook {named!r} for Gemini CLI cannot be switched off by its name", hint=hint
            )
    return sorted({str(value) for pair in found for value in pair if isinstance(value, str)} - ours)


def _hook_names(settings: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Name and command of each hook."""
    for definitions in settings.get("hooks", {}).values():
        for definition in definitions:
            for hook in definition.get("hooks", ()):
                yield hook.get("name"), hook.get("command")


def unavailable() -> str | None:
    """Return why the kind cannot be used on this machine, None when it can."""
    return installed(GeminiCli())


def make(profile: Profile, parts: Parts) -> CliAgent:
    """Return the agent of a profile."""
    return CliAgent(GeminiCli(), profile, parts)
