"""Installing into the agents' settings: merged, idempotent, reversible, no more than needed, closed where it must."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookyard.bridge.dialects import all_dialects, dialect_of
from hookyard.bridge.dialects.base import InstalledLine
from hookyard.bridge.install import Bridge
from hookyard.bridge.plan import Commands
from hookyard.core.errors import ConflictError, InvalidError, NotFoundError
from hookyard.hooks.config.trust import Trust
from tests.bridge.conftest import Bridged
from tests.hooks.receiver import Receiver, entry

AGENTS = sorted(all_dialects())
URL = "http://127.0.0.1:9/hook"
GATED = {
    "claude-code": {"PreToolUse"},
    "codex": {"PreToolUse"},
    "atomcode": {"PreToolUse"},
    "gemini": {"BeforeTool"},
    "copilot": {"preToolUse"},
    "opencode": {"tool.execute.before"},
}


@pytest.fixture
def ours(bridged: Bridged) -> Bridge:
    return Bridge(
        bridged.home,
        bridged.home.parent,
        {"PATH": os.environ["PATH"], "SECRET": "s3cret", "HOOKYARD_ADMIN_TOKEN": "s3cret"},
    )


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("agent", AGENTS)
def test_only_the_events_that_a_webhook_listens_to(bridged: Bridged, ours: Bridge, agent: str) -> None:
    bridged.gate(URL, "pre_tool")
    done = ours.install(agent)
    assert set(done.events) == GATED[agent]
    assert done.closed == ()
    assert "exit 2; }" not in done.path.read_text()
    bridged.gate(URL, "*", on_failure="deny")
    done = ours.install(agent)
    assert set(done.events) == {event.name for event in dialect_of(agent).events}
    assert set(done.closed) == {event.name for event in dialect_of(agent).events if event.gating}
    assert stat.S_IMODE(done.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("agent", AGENTS)
def test_install_twice_and_uninstall_restores_to_the_byte(bridged: Bridged, ours: Bridge, agent: str) -> None:
    path = dialect_of(agent).settings_file(bridged.home.parent, {}, None)
    bridged.gate(URL)
    before = None
    if agent not in {"copilot", "opencode"}:  # whose files are ours alone
        path.parent.mkdir(parents=True, exist_ok=True)
        before = '{ "theme":"dark",\n\n "hooks": {} }'
        path.write_text(before)
        path.chmod(0o640)
    assert ours.install(agent).changed
    once = path.read_bytes()
    assert not ours.install(agent).changed
    assert path.read_bytes() == once
    assert ours.uninstall(agent).changed
    if before is None:
        assert not path.exists()
    else:
        assert path.read_text() == before
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert not ours.uninstall(agent).changed


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b" \n",
        b"{}",
        b'{\r\n  "a": 1\r\n}\r\n',
        b'\xef\xbb\xbf{"a": 1}',
        b'{"a": "\\ud800", "b": "\\u4e2d"}',
        b'{"a": 1e5}',
    ],
    ids=["empty", "blank", "bare", "CRLF", "byte order mark", "half a character", "number"],
)
def test_unusual_files_are_restored_to_the_byte_too(bridged: Bridged, ours: Bridge, before: bytes) -> None:
    path = bridged.home.parent / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_bytes(before)
    bridged.gate(URL)
    ours.install("claude-code")
    assert "PreToolUse" in read(path)["hooks"]
    ours.uninstall("claude-code")
    assert path.read_bytes() == before


def test_others_hooks_stay_where_they_are(bridged: Bridged, ours: Bridge) -> None:
    path = bridged.home.parent / ".claude" / "settings.json"
    path.parent.mkdir()
    other = {"matcher": "Bash", "hooks": [{"type": "command", "command": "mine"}]}
    path.write_text(json.dumps({"model": "x", "hooks": {"PreToolUse": [other], "Notification": [other]}}))
    bridged.gate(URL)
    ours.install("claude-code")
    hooks = read(path)["hooks"]
    assert hooks["PreToolUse"][0] == other
    assert len(hooks["PreToolUse"]) == 2
    changed = read(path) | {"model": "y"}
    path.write_text(json.dumps(changed))  # the user goes on working
    ours.uninstall("claude-code")
    assert read(path) == {"model": "y", "hooks": {"PreToolUse": [other], "Notification": [other]}}


def test_the_line_and_its_times(bridged: Bridged, ours: Bridge) -> None:
    bridged.gate(URL, "tool_call_start,pre_tool,session_end", timeout_secs=4, retries=1, on_failure="deny")
    for agent, event in (("claude-code", "PreToolUse"), ("gemini", "BeforeTool")):
        path = ours.install(agent, allow_modify=True).path
        (group,) = read(path)["hooks"][event]
        hook = group["hooks"][0]
        words = hook["command"].split()
        assert Path(words[0]).is_absolute()
        assert words[1:4] == ["-S", "-E", "-I"]
        assert hook["command"].endswith(" csm" + dialect_of(agent).closed_tail)
        seconds, mode = float(words[words.index("csm") - 1]), words[words.index("||") - 1]
        assert mode == "csm"
        assert seconds >= 2 * 2 * 4  # two points, two attempts
        assert hook["timeout"] / (1000 if agent == "gemini" else 1) > seconds
    codex = read(ours.install("codex").path)["hooks"]["SessionEnd"][0]["hooks"][0]
    assert float(codex["command"].split()[-2]) < 3  # Codex gives it no more


def test_nothing_is_installed_where_nothing_listens(bridged: Bridged, ours: Bridge) -> None:
    with pytest.raises(NotFoundError, match="no webhook is configured"):
        ours.install("claude-code")
    bridged.gate(URL, "system_prompt")
    with pytest.raises(NotFoundError):
        ours.install("claude-code")
    assert not (bridged.home.parent / ".claude").exists()
    with pytest.raises(NotFoundError, match="codex"):
        ours.install("emacs")


@pytest.mark.parametrize(
    "text", ["{,}", '{"a": 1} // comment', "[]", '"x"', '{"hooks": 7}', '{"hooks": {"PreToolUse": 1}}']
)
def test_broken_settings_are_refused_and_left(bridged: Bridged, ours: Bridge, text: str) -> None:
    path = bridged.home.parent / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text(text)
    bridged.gate(URL)
    with pytest.raises(InvalidError, match=r"settings\.json"):
        ours.install("claude-code")
    assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]


def test_a_link_stays_a_link(bridged: Bridged, ours: Bridge) -> None:
    real = bridged.home.parent / "dotfiles.json"
    real.write_text("{}")
    path = bridged.home.parent / ".claude" / "settings.json"
    path.parent.mkdir()
    path.symlink_to(real)
    bridged.gate(URL)
    ours.install("claude-code")
    assert path.is_symlink()
    assert "PreToolUse" in read(real)["hooks"]
    ours.uninstall("claude-code")
    assert real.read_text() == "{}"


def test_what_another_home_installed_does_not_come_back(bridged: Bridged, ours: Bridge) -> None:
    bridged.gate(URL)
    earlier = replace(ours, home=bridged.home.with_name("earlier"))
    earlier.home.mkdir()
    (earlier.home / "hooks.toml").write_text((bridged.home / "hooks.toml").read_text())
    for agent in ("claude-code", "opencode"):
        earlier.install(agent)
        done = ours.install(agent)
        assert str(bridged.folder) in done.path.read_text()
        ours.uninstall(agent)
        assert not done.path.exists() or read(done.path) == {}


def test_opencodes_plugin_is_ours_alone_and_others_stay(bridged: Bridged, ours: Bridge) -> None:
    path = bridged.home.parent / ".config" / "opencode" / "plugin" / "hookyard.js"
    path.parent.mkdir(parents=True)
    other = path.with_name("other.js")
    other.write_text("export const Other = async () => ({})")
    bridged.gate(URL)
    path.write_text("export const Mine = async () => ({})")
    for act in (ours.install, ours.uninstall):
        with pytest.raises(InvalidError, match=r"hookyard\.js.*somebody else"):
            act("opencode")
    assert path.read_text() == "export const Mine = async () => ({})"
    path.unlink()
    ours.install("opencode")
    assert sorted(path.parent.iterdir()) == [path, other]
    ours.uninstall("opencode")
    assert list(path.parent.iterdir()) == [other]


def test_a_plugin_that_somebody_changed_is_written_anew(bridged: Bridged, ours: Bridge) -> None:
    def state() -> Any:
        return next(one for one in ours.status(ask_codex=False) if one.agent == "opencode")

    bridged.gate(URL, on_failure="deny")
    path = ours.install("opencode").path
    once = path.read_text()
    assert state().missing == ()
    path.write_text(once.replace("throw", "console.log"))
    assert state().missing == ("tool.execute.before",)
    assert ours.install("opencode").changed
    assert path.read_text() == once
    path.write_text(once.replace("const HOOKS = ", "const HOOKS = []; "))
    assert "was changed" in state().fault


def test_a_project_adds_only_what_the_user_has_not(bridged: Bridged, ours: Bridge) -> None:
    bridged.gate(URL)
    file = bridged.project / ".hookyard" / "hooks.toml"
    file.parent.mkdir()
    file.write_text(entry("own", "pre_tool,turn_complete", URL))
    Trust(bridged.home).trust(file, file.read_text())
    assert set(ours.install("claude-code", bridged.project).events) == {"PreToolUse", "Stop", "StopFailure"}
    ours.uninstall("claude-code", bridged.project)
    assert ours.install("claude-code").events == ("PreToolUse",)
    done = ours.install("claude-code", bridged.project)
    assert done.events == ("Stop", "StopFailure")
    assert done.path == bridged.project / ".claude" / "settings.local.json"


def test_a_project_s_closed_gate_is_closed_beside_the_user_s_open_line(bridged: Bridged, ours: Bridge) -> None:
    bridged.gate(URL)
    file = bridged.project / ".hookyard" / "hooks.toml"
    file.parent.mkdir()
    file.write_text(entry("own", "pre_tool", URL, on_failure="deny"))
    Trust(bridged.home).trust(file, file.read_text())
    assert ours.install("claude-code").closed == ()
    assert ours.install("claude-code", bridged.project).closed == ("PreToolUse",)


def test_a_project_that_needs_nothing_more_is_told_so(bridged: Bridged, ours: Bridge) -> None:
    bridged.gate(URL)
    ours.install("claude-code")
    with pytest.raises(ConflictError, match="hooked for all of your work already"):
        ours.install("claude-code", bridged.project)


def test_no_secret_is_written(bridged: Bridged, ours: Bridge) -> None:
    bridged.gate(URL)
    ours.install("claude-code")
    files = [path for path in bridged.home.parent.rglob("*") if path.is_file() and "bridge" in path.parts]
    files += [*bridged.folder.glob("*.json"), bridged.home.parent / ".claude" / "settings.json"]
    assert len(files) == 3
    assert not any("s3cret" in path.read_text() or URL in path.read_text() for path in files)


async def test_status(bridged: Bridged, ours: Bridge, receiver: Receiver) -> None:
    def state(agent: str = "claude-code") -> Any:
        return next(one for one in ours.status(ask_codex=False) if one.agent == agent)

    bridged.gate(receiver.url())
    assert state().installed == ()
    assert ours.reach() is not None  # nothing needs to be installed for that
    ours.install("claude-code", allow_modify=True)
    assert state().installed == ("PreToolUse",)
    assert state().missing == ()
    assert state().last_heard is None
    line = read(state().path)["hooks"]["PreToolUse"][0]["hooks"][0]["command"]
    for _ in range(10):  # an open gate does not wait for long while the relay is starting
        await bridged.run(line, {"tool_name": "Bash", "tool_input": {}})
        if state().last_heard is not None:
            break
    assert state().last_heard > 0
    bridged.gate(receiver.url(), "pre_tool,post_turn", on_failure="deny")
    assert state().missing == ("PreToolUse", "Stop", "StopFailure")
    state().path.write_text("{")
    assert "is not JSON" in state().fault
    assert state("codex").installed == ()


COMMANDS = Commands(Path("/usr/bin/python3"), Path("/lib/hookyard/bridge/shim.py"), Path("/home/u/.hookyard/relay"))
HOOK = st.fixed_dictionaries({"type": st.just("command"), "command": st.text(max_size=10)})
GROUP = st.fixed_dictionaries({"hooks": st.lists(HOOK, max_size=3)}, optional={"matcher": st.text(max_size=5)})
HOOKS = st.dictionaries(
    st.sampled_from(["PreToolUse", "BeforeTool", "Stop", "Other"]), st.lists(GROUP, min_size=1, max_size=3), min_size=1
)
SETTINGS = st.fixed_dictionaries({}, optional={"hooks": HOOKS, "model": st.text(max_size=5), "x": st.integers()})


def lines(agent: str) -> list[InstalledLine]:
    events: Callable[[str], Any] = dialect_of
    return [
        InstalledLine(event, COMMANDS.line(dialect_of(agent), event.name, 9.0, "cs"), 14)
        for event in events(agent).events
    ]


@given(st.sampled_from(["claude-code", "codex", "gemini"]), SETTINGS)
def test_putting_in_and_taking_out_leaves_nothing(agent: str, settings: dict[str, Any]) -> None:
    dialect = dialect_of(agent)
    before = json.dumps(settings)
    dialect.install(settings, lines(agent), COMMANDS.ours)
    once = json.dumps(settings)
    dialect.install(settings, lines(agent), COMMANDS.ours)
    assert json.dumps(settings) == once
    assert once.count("shim.py") == len(dialect.events)
    dialect.install(settings, [], COMMANDS.ours)
    assert json.loads(json.dumps(settings)) == json.loads(before)
