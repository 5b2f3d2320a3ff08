"""A governed agent does not rewrite what governs it; everything else it does is let alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hookyard.hooks.protect import AgentFiles, Protection
from tests.hooks.receiver import Home, Receiver, entry

HOME = Path("/home/ada")
PROTECTION = Protection(
    (HOME / ".hookyard/hooks.toml", HOME / ".atomcode/hooks/hooks.toml", HOME / "p/.hookyard/hooks.toml"),
    (HOME / ".hookyard/state/hooks", HOME / ".hookyard/trusted"),
    HOME,
)

# As a dialect may name them: a file of the user, a folder of the user, a file and a folder of a project.
AGENTS = AgentFiles(
    (HOME / ".agent/settings.json", HOME / ".config/agent/plugin"),
    (Path(".agent/settings.json"), Path(".github/hooks")),
)
WITH_AGENTS = Protection(PROTECTION.files, PROTECTION.folders, HOME, AGENTS, HOME / "p")

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

DENIED_OF_AGENTS: list[tuple[str, dict[str, Any]]] = [
    ("write_file", {"path": "/home/ada/.agent/settings.json", "content": "{}"}),
    ("write_file", {"path": ".agent/settings.json", "content": "{}"}),
    ("write_file", {"path": "../p/.agent/settings.json", "content": "{}"}),
    ("write_file", {"path": "/home/ada/p/.agent/settings.json", "content": "{}"}),
    ("Edit", {"file_path": "~/.config/agent/plugin/mine.js"}),
    ("Write", {"file_path": "/home/ada/p/.github/hooks/mine.json"}),
    ("bash", {"command": "echo {} > .agent/settings.json"}),
    ("bash", {"command": "cd .agent && rm settings.json"}),
    ("bash", {"command": "cd /home/ada && cd .agent; sed -i s/a/b/ settings.json"}),
    ("bash", {"command": "rm .agent/*.json"}),
    ("bash", {"command": "jq .a .agent/settings.json | tee .agent/settings.json"}),
    ("bash", {"command": "git checkout HEAD~1 -- .agent/settings.json"}),
    ("bash", {"command": "git diff --output=.agent/settings.json"}),
    ("bash", {"command": "cat > .agent/settings.json <<'END'\n{}\nEND"}),
    ("bash", {"command": "cat > a <<'END'\nb\nEND\nrm .agent/settings.json"}),
    ("bash", {"command": "cat > a <<END\n$(rm .agent/settings.json)\nEND"}),
    ("bash", {"command": "bash <<'END'\nrm .agent/settings.json\nEND"}),
    ("shell", {"command": ["apply_patch", "*** Begin Patch\n*** Add File: .agent/settings.json\n+{}\n*** End Patch"]}),
    (
        "apply_patch",
        {"input": "*** Begin Patch\n*** Update File: a.md\n*** Move to: .agent/settings.json\n*** End Patch"},
    ),
    ("shell", {"command": "*** Begin Patch\n*** End Patch\nrm .agent/settings.json"}),
    ("shell", {"command": "rm .agent/settings.json # *** Begin Patch"}),
]

ALLOWED_OF_AGENTS: list[tuple[str, dict[str, Any]]] = [
    ("read_file", {"path": ".agent/settings.json"}),
    ("Grep", {"path": "/home/ada/.agent/settings.json", "pattern": "hooks"}),
    ("bash", {"command": "cat .agent/settings.json | jq .hooks 2>/dev/null; ls .github/hooks"}),
    ("bash", {"command": "git add .agent/settings.json && git commit -m 'settings of .agent'"}),
    ("bash", {"command": "git diff -- .agent/settings.json 2>&1 | head"}),
    ("write_file", {"path": "settings.json", "content": "{}"}),
    ("write_file", {"path": "src/.agent/settings.json", "content": "{}"}),
    ("write_file", {"path": ".agent/skills/mine.md", "content": "see .agent/settings.json"}),
    ("write_file", {"path": ".github/workflows/ci.yml", "content": "on: push"}),
    ("bash", {"command": "echo x > .github/workflows/hooks.yml"}),
    ("bash", {"command": "mkdir -p .agent/skills && rm .agent/skills/old.md"}),
    ("bash", {"command": "cd /home/ada/p && rm -rf src/plugin build"}),
    ("bash", {"command": "rm *hook* src/*.json"}),
    ("bash", {"command": "cat > notes.md <<'END'\nSee .agent/settings.json\nEND\nls"}),
    ("shell", {"command": "*** Begin Patch\n*** Update File: a.md\n+see .agent/settings.json\n*** End Patch"}),
]


@pytest.mark.parametrize(("tool", "args"), [*DENIED, *DENIED_OF_AGENTS], ids=str)
def test_what_decides_about_hooks_is_kept(tool: str, args: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKYARD_TEST_HOME", "/home/ada/.hookyard")
    reason = WITH_AGENTS.refusal(tool, json.dumps(args), "/home/ada/p") or ""
    assert reason.startswith("only a person may") or reason.endswith("a person has to change it")


@pytest.mark.parametrize("working_dir", ["/home/ada/p/sub/folder", "/home/ada/other", None])
def test_the_project_s_files_are_kept_wherever_the_agent_works(working_dir: str | None) -> None:
    args = json.dumps({"path": "/home/ada/p/.agent/settings.json"})
    assert WITH_AGENTS.refusal("write_file", args, working_dir)


def test_so_are_those_of_the_folder_where_it_works_and_above() -> None:
    protection = Protection((), (), HOME, AGENTS)
    for path in (".agent/settings.json", "../.agent/settings.json", "/home/ada/p/.github/hooks/x"):
        assert protection.refusal("write_file", json.dumps({"path": path}), "/home/ada/p/sub")
    assert (
        protection.refusal("write_file", json.dumps({"path": "../other/.agent/settings.json"}), "/home/ada/p") is None
    )


@pytest.mark.parametrize(("tool", "args"), [*ALLOWED, *ALLOWED_OF_AGENTS], ids=str)
def test_other_work_goes_on(tool: str, args: dict[str, Any]) -> None:
    assert WITH_AGENTS.refusal(tool, json.dumps(args), "/home/ada/p") is None


def test_whole_folders_are_not_taken_away(tmp_path: Path) -> None:
    (tmp_path / ".agent").mkdir()
    protection = Protection((), (), tmp_path / "home", AGENTS, tmp_path)
    args = json.dumps({"command": "rm -rf .agent"})
    assert protection.refusal("bash", args, str(tmp_path)) is None  # nothing to keep is in it
    (tmp_path / ".agent" / "settings.json").touch()
    assert protection.refusal("bash", args, str(tmp_path))
    assert protection.refusal("bash", json.dumps({"command": "mv ./.agent /tmp"}), str(tmp_path))
    assert protection.refusal("bash", json.dumps({"command": f"cd {tmp_path}; rm x"}), str(tmp_path)) is None


def test_links_lead_to_what_is_kept(tmp_path: Path) -> None:
    (tmp_path / ".agent").mkdir()
    (tmp_path / "dotfiles").mkdir()
    (tmp_path / "dotfiles/settings.json").touch()
    (tmp_path / ".agent/settings.json").symlink_to(tmp_path / "dotfiles/settings.json")
    (tmp_path / "link").symlink_to(tmp_path / ".agent")
    protection = Protection((), (), tmp_path / "home", AGENTS, tmp_path)
    for path in ("dotfiles/settings.json", "link/settings.json"):
        assert protection.refusal("write_file", json.dumps({"path": path}), str(tmp_path))


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
    "args",
    [
        *('{"command": "' + piece * 20_000 + '"}' for piece in ("cd hook ", "cat <<A ", "cat <<A\\n", "cat <<A |\\n")),
        '{"command": "hook ' + "*** Begin Patch *** End Patch " * 20_000 + '"}',
        '{"command": "hook ' + "".join(f"cat <<A{number}\\n" for number in range(20_000)) + '"}',
        *("hooks", "[" * 100_000 + "hooks", '{"path": "\\u0000hooks"}', '{"path": "' + "hook/" * 100_000),
    ],
)
def test_hostile_arguments(args: str) -> None:
    for protection in (PROTECTION, WITH_AGENTS):
        protection.refusal("write_file", args, "/home/ada/p")


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
