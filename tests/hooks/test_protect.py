"""A governed agent does not rewrite what governs it; everything else it does is let alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hookyard.hooks.protect import Protection
from tests.hooks.receiver import Home, Receiver, entry

HOME = Path("/home/ada")
PROTECTION = Protection(
    (HOME / ".hookyard/hooks.toml", HOME / ".atomcode/hooks/hooks.toml", HOME / "p/.hookyard/hooks.toml"),
    (HOME / ".hookyard/state/hooks", HOME / ".hookyard/trusted"),
    HOME,
)

DENIED: list[tuple[str, dict[str, Any]]] = [
    ("write_file", {"path": "/home/ada/.hookyard/hooks.toml", "content": ""}),
    ("edit_file", {"path": ".hookyard/hooks.toml"}),
    ("Edit", {"file_path": "/home/ada/p/x/../.hookyard/hooks.toml"}),
    ("Write", {"file_path": "~/.atomcode/hooks/hooks.toml"}),
    ("MultiEdit", {"edits": [{"file_path": "/home/ada/.hookyard/hooks.toml"}]}),
    ("write_file", {"path": "/home/ada/.hookyard/state/hooks/abc.json"}),
    ("bash", {"command": "echo > ~/.hookyard/hooks.toml"}),
    ("bash", {"command": "rm -f $HOME/.hookyard/hooks.toml"}),
    ("bash", {"command": "cat x; sed -i s/deny/allow/ '.hookyard/hooks.toml'"}),
    ("bash", {"command": "cat .hookyard/hooks.toml > /tmp/x"}),
    ("shell", {"command": ["bash", "-lc", "mv .hookyard/hooks.toml /tmp"]}),
    ("bash", {"command": "rm -f ${HOME}/.hookyard/hooks.toml"}),
    ("bash", {"command": "rm -f $HOOKYARD_TEST_HOME/hooks.toml"}),
    ("bash", {"command": "hookyard hooks trust --yes"}),
    ("bash", {"command": "uv run hookyard bridge uninstall claude-code"}),
    ("bash", {"command": "python -m hookyard hooks --project . trust"}),
]

ALLOWED: list[tuple[str, dict[str, Any]]] = [
    ("read_file", {"path": "/home/ada/.hookyard/hooks.toml"}),
    ("Read", {"file_path": ".hookyard/hooks.toml"}),
    ("bash", {"command": "cat .hookyard/hooks.toml"}),
    ("write_file", {"path": "src/hooks.toml", "content": "x"}),
    ("write_file", {"path": "notes.md", "content": "see /home/ada/.hookyard/hooks.toml"}),
    ("bash", {"command": "git commit -m 'use hooks'"}),
    ("bash", {"command": "hookyard hooks list"}),
    ("bash", {"command": "hookyard bridge status"}),
    ("write_file", {"path": "webhook.py", "content": "hooks"}),
]


@pytest.mark.parametrize(("tool", "args"), DENIED, ids=str)
def test_what_is_denied(tool: str, args: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKYARD_TEST_HOME", "/home/ada/.hookyard")
    assert PROTECTION.refusal(tool, json.dumps(args), "/home/ada/p")


def test_escapes_hide_nothing() -> None:
    args = r'{"path": "/home/ada/.\u0068ookyard/h\u006foks.toml"}'
    assert PROTECTION.refusal("write_file", args, None)


@pytest.mark.parametrize(("tool", "args"), ALLOWED, ids=str)
def test_what_is_let_alone(tool: str, args: dict[str, Any]) -> None:
    assert PROTECTION.refusal(tool, json.dumps(args), "/home/ada/p") is None


@pytest.mark.parametrize(
    "args", ["hooks", "[" * 100_000 + "hooks", '{"path": "\\u0000hooks"}', '{"path": "' + "hook/" * 100_000]
)
def test_hostile_arguments(args: str) -> None:
    PROTECTION.refusal("write_file", args, None)


def test_a_link_to_a_hook_file_is_one(tmp_path: Path) -> None:
    file = tmp_path / "hooks.toml"
    file.touch()
    (tmp_path / "innocent-hook").symlink_to(file)
    args = json.dumps({"path": os.fspath(tmp_path / "innocent-hook")})
    assert Protection((file,)).refusal("write_file", args, None)


async def test_hooks_deny_it_at_both_points_and_say_so(home: Home, receiver: Receiver) -> None:
    home.write(entry("a", "session_start", receiver.url()))
    hooks = home.hooks()
    args = {"path": str(home.path / "hooks.toml"), "content": ""}
    for point in ("tool_call_start", "pre_tool"):
        decision = await hooks.fire(point, tool_name="write_file", tool_args=args)
        assert decision.denied
        assert "a person has to change it" in decision.message
    assert home.lines[0].startswith("[Hook] hookyard: deny at on_tool_call_start: ")
    assert receiver.requests == []


async def test_unless_the_user_allows_it(home: Home) -> None:
    home.environ["HOOKYARD_ALLOW_HOOK_EDITS"] = "1"
    hooks = home.one("http://127.0.0.1:9/", trigger="session_start")
    args = {"path": str(home.path / "hooks.toml"), "content": ""}
    assert not (await hooks.fire("pre_tool", tool_name="write_file", tool_args=args)).denied
