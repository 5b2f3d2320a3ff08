"""What must not be lost reaches the real agents: with a shell that prints first, and from a broken installation."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agents.conftest import MockModel, mock_model
from tests.bridge import real_agents
from tests.bridge.breaking import BREAKS, Apart
from tests.bridge.conftest import Bridged
from tests.bridge.test_real_agents import Real, change
from tests.hooks.receiver import Receiver

__all__ = ["mock_model"]

AGENTS = sorted(real_agents.RECIPES)
NOISES = ("Now using node v22", "[nvm] loaded", "{", "{}", '{"decision": "allow", "permissionDecision": "allow"}')
IN_BASH = ("codex", "copilot", "gemini")
"""Agents that run their hooks in a shell that reads BASH_ENV: so with the login shell of this machine's users."""


@pytest.fixture
def make(
    bridged: Bridged, receiver: Receiver, mock_model: Callable[..., MockModel], tmp_path: Path
) -> Callable[[str], Real]:
    def make_one(agent: str) -> Real:
        real = Real(agent, bridged, receiver, mock_model(MOCK_CMD="echo from-the-model > made"))
        real.bridge = Apart.of(real.bridge, tmp_path / "parts")
        return real

    return make_one


def print_first(real: Real, noise: str) -> None:
    """Have every bash of the agent print a line first, where it is no login shell."""
    file = real.user.home.parent / "noise"
    file.write_text(f"printf '%s\\n' {shlex.quote(noise)}\n")
    real.environ["BASH_ENV"] = str(file)


@pytest.mark.parametrize(
    ("agent", "noise"), [(agent, noise) for agent in AGENTS for noise in (NOISES if agent in IN_BASH else NOISES[:1])]
)
async def test_a_refusal_survives_a_shell_that_prints(make: Callable[[str], Real], agent: str, noise: str) -> None:
    real = make(agent)
    real.receiver.answer({"result": "deny", "message": "not on Fridays"})
    real.user.gate(real.receiver.url(), on_failure="deny")
    real.install()
    print_first(real, noise)
    said = await real.run()
    assert real.made is None, said
    assert len(real.receiver.requests) == 1
    if agent != "copilot":  # its model reads the reason on an unspoilt standard output only
        assert "not on Fridays" in real.told


@pytest.mark.parametrize("agent", AGENTS)
async def test_a_refused_message_of_an_open_gate_survives_it(make: Callable[[str], Real], agent: str) -> None:
    real = make(agent)
    real.receiver.answer({"result": "deny", "message": "say please"})
    real.user.gate(real.receiver.url(), "message")
    real.install()
    print_first(real, NOISES[1])
    said = await real.run()
    assert real.made is None, said
    assert real.receiver.requests


@pytest.mark.parametrize("agent", AGENTS)
async def test_a_modification_that_could_be_lost_is_refused(make: Callable[[str], Real], agent: str) -> None:
    real = make(agent)
    real.receiver.answer(change)
    real.user.gate(real.receiver.url())
    real.install(allow_modify=True)
    print_first(real, "Now using node v22")
    said = await real.run()
    if agent not in IN_BASH:  # they run their hooks in /bin/sh, which reads no such file
        assert real.made is not None
        assert real.made.endswith("changed\n"), said
        return
    assert real.made is None, said
    if agent != "copilot":
        assert "BASH_ENV" in real.told


async def test_a_zsh_start_file_counts_where_the_users_shell_runs_hooks(make: Callable[[str], Real]) -> None:
    real = make("codex")
    real.receiver.answer(change)
    real.user.gate(real.receiver.url())
    real.install(allow_modify=True)
    directory = real.user.home.parent / "dots"
    directory.mkdir()
    (directory / ".zshenv").write_text("echo hello\n")
    real.environ["ZDOTDIR"] = str(directory)
    await real.run()
    assert real.made is None
    assert ".zshenv" in real.told


SHOWN = [
    *((agent, way, "") for agent in AGENTS for way in ("no_shim", "no_interpreter", "no_library")),
    *((agent, way, "") for agent in ("codex", "gemini") for way in ("killed", "silent")),  # which need a reason
    *((agent, "no_shim", "{}") for agent in IN_BASH),
]


@pytest.mark.parametrize(("agent", "way", "noise"), SHOWN)
async def test_a_broken_installation_refuses(make: Callable[[str], Real], agent: str, way: str, noise: str) -> None:
    real = make(agent)
    assert isinstance(real.bridge, Apart)
    real.user.gate(real.receiver.url(), on_failure="deny")
    assert real.install().closed
    BREAKS[way](real.bridge)
    if noise:
        print_first(real, noise)
    said = await real.run()
    assert real.made is None, said
    assert real.receiver.requests == []


async def test_copilots_freeform_patch_is_judged(bridged: Bridged, receiver: Receiver) -> None:
    patch = "*** Begin Patch\n*** Add File: a\n+b\n*** End Patch"
    native = {"sessionId": "s", "timestamp": 1, "toolName": "apply_patch", "toolArgs": patch}
    bridged.gate(receiver.url(), "pre_tool,post_tool")
    assert (await bridged.hook("copilot", "preToolUse", native, mode="s")).code == 0
    await bridged.hook("copilot", "postToolUse", {**native, "toolResult": {"textResultForLlm": "done"}}, mode="s")
    before, after = (request.body for request in receiver.requests)
    assert json.loads(before["hook_context"]["tool_args"]) == {"input": patch}
    assert (after["event"], json.loads(after["hook_context"]["tool_args"])) == ("post_tool_execution", {"input": patch})
    receiver.answer({"result": "deny", "message": "no"})
    denied = await bridged.hook("copilot", "preToolUse", native, mode="s")
    assert json.loads(denied.out)["permissionDecisionReason"] == "Denied: no"
    assert denied.refused
    receiver.answer({"result": "modify", "modified_content": {"input": patch.replace("+b", "+c")}})
    modified = await bridged.hook("copilot", "preToolUse", native, mode="sm")
    assert "were not an object" in modified.refused


@pytest.mark.parametrize("shape", ["text", "list"])
@pytest.mark.parametrize("agent", ["copilot", "claude-code", "codex"])
async def test_a_patch_of_hook_files_is_denied_whatever_its_shape(
    bridged: Bridged, receiver: Receiver, agent: str, shape: str
) -> None:
    bridged.gate(receiver.url())
    for path in (bridged.home / "hooks.toml", bridged.home.parent / ".claude" / "settings.json"):
        patch = f"*** Begin Patch\n*** Update File: {path}\n@@\n-a\n+b\n*** End Patch"
        args = patch if shape == "text" else [patch]
        own = {"toolName": "apply_patch", "toolArgs": args}
        claudes = {"tool_name": "apply_patch", "tool_input": args}
        event, native = ("preToolUse", own) if agent == "copilot" else ("PreToolUse", claudes)
        assert "a person has to change it" in (await bridged.hook(agent, event, native, mode="s")).refused
    assert receiver.requests == []
