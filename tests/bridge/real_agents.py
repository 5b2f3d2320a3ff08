"""The real agents from npm, each isolated in a home of its own and talking to a mock model on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.agents.programs import folder_of

TIMEOUT_SECONDS = 100.0
PROMPT = "run echo hi"


@dataclass(frozen=True)
class Recipe:
    """How one agent is run: without a login, without telemetry, without looking for updates.

    Attributes:
        argv: The command; the prompt is its last word.
        variables: With `{url}` for the mock model and `{home}` for the home.
        files: Written into the home first.
    """

    argv: tuple[str, ...]
    variables: Mapping[str, str]
    files: Mapping[str, str]


_CODEX = """
model_provider = "mock"
model = "mock-model"
check_for_update_on_startup = false
[analytics]
enabled = false
[model_providers.mock]
name = "mock"
base_url = "{url}/v1"
env_key = "OPENAI_API_KEY"
wire_api = "responses"
request_max_retries = 0
"""

_OPENCODE = {
    "autoupdate": False,
    "share": "disabled",
    "model": "mock/mock-model",
    "agent": {"title": {"disable": True}},  # it asks the model at the same time, in either order
    "provider": {
        "mock": {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": "{url}/v1", "apiKey": "none"},
            "models": {"mock-model": {"tool_call": True, "limit": {"context": 100_000, "output": 4096}}},
        }
    },
}
_OPENCODE_LIBRARY = {"packages": {"": {"dependencies": {"@opencode-ai/plugin": "any"}}}}
"""OpenCode fetches a library for plugins from npm into every folder that can hold some, unless it seems to be there."""

RECIPES = {
    "claude-code": Recipe(
        ("claude", "-p", "--allowedTools", "Bash", "--"),
        {
            "ANTHROPIC_BASE_URL": "{url}",
            "ANTHROPIC_API_KEY": "none",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "CLAUDE_CODE_MAX_RETRIES": "1",
        },
        {},
    ),
    "codex": Recipe(
        ("codex", "exec", "--skip-git-repo-check", "--sandbox", "workspace-write"),
        {"OPENAI_API_KEY": "none", "CODEX_HOME": "{home}/.codex"},
        {".codex/config.toml": _CODEX},
    ),
    "gemini": Recipe(
        ("gemini", "-m", "gemini-2.5-flash", "--yolo", "-p"),
        {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": "{url}", "GEMINI_CLI_TRUST_WORKSPACE": "true"},
        {
            ".gemini/settings.json": json.dumps(
                {
                    "security": {"auth": {"selectedType": "gemini-api-key"}},
                    "privacy": {"usageStatisticsEnabled": False},
                    "general": {"enableAutoUpdate": False},
                }
            )
        },
    ),
    "copilot": Recipe(
        ("copilot", "--allow-all-tools", "--no-auto-update", "--disable-builtin-mcps", "-p"),
        {
            "COPILOT_HOME": "{home}/.copilot",
            "COPILOT_PROVIDER_BASE_URL": "{url}/v1",
            "COPILOT_PROVIDER_API_KEY": "none",
            "COPILOT_MODEL": "mock-model",
            "COPILOT_OFFLINE": "true",
        },
        {},
    ),
    "opencode": Recipe(
        ("opencode", "run"),
        {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
        {
            ".config/opencode/opencode.json": json.dumps(_OPENCODE),
            ".config/opencode/package-lock.json": json.dumps(_OPENCODE_LIBRARY),
            ".config/opencode/node_modules/empty": "",
        },
    ),
}


def prepare(agent: str, home: Path, url: str) -> dict[str, str]:
    """Write the agent's own settings into a home; gives its variables."""
    recipe = RECIPES[agent]
    for name, text in recipe.files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("{url}", url))
    variables = {name: text.format(url=url, home=home) for name, text in recipe.variables.items()}
    programs = f"{folder_of(agent)}:{os.environ['PATH']}"
    return {"PATH": programs, "HOME": str(home), "NO_COLOR": "1", **variables}


async def run(agent: str, cwd: Path, environ: Mapping[str, str], *more: str) -> str:
    """Run an agent on the prompt; gives all that it printed."""
    argv = RECIPES[agent].argv
    process = await asyncio.create_subprocess_exec(
        argv[0],
        *more,
        *argv[1:],
        PROMPT,
        cwd=cwd,
        env=dict(environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), TIMEOUT_SECONDS)
    except TimeoutError:
        os.killpg(process.pid, 9)
        out, _ = await process.communicate()
        raise AssertionError(f"{agent} did not end:\n{out.decode(errors='replace')[-2000:]}") from None
    return out.decode(errors="replace")


HELD_OPEN = {
    # Its process may end before the hook of its last event has run, but waits for more on this kind of input.
    "claude-code": (
        ("claude", "-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose"),
        {"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": PROMPT}]}},
    ),
}


async def run_until(agent: str, cwd: Path, environ: Mapping[str, str], happened: asyncio.Event) -> None:
    """Run an agent on the prompt until something has happened, and end it then."""
    argv, told = HELD_OPEN.get(agent, ((*RECIPES[agent].argv, PROMPT), None))
    output = cwd.parent / "said"
    with output.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=dict(environ),
            stdin=asyncio.subprocess.PIPE,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    assert process.stdin is not None
    try:
        if told is None:
            process.stdin.close()
        else:
            process.stdin.write(json.dumps(told).encode() + b"\n")
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await happened.wait()
    except TimeoutError:
        raise AssertionError(f"it did not happen:\n{output.read_text(errors='replace')[-2000:]}") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()
