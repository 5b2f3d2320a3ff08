"""Matchers: what no tool's name can be is an error with its fix, and a gate with it stays closed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hookyard.agents.tool_names import TOOL_NAMES
from hookyard.bridge.dialects import all_dialects
from hookyard.bridge.install import Bridge
from hookyard.cli.hooks import hooks
from hookyard.hooks.decision import Result
from hookyard.hooks.matcher import fault_of, fits, unknown_names
from hookyard.web.pages.messages import chinese
from tests.hooks.receiver import Home, Receiver, entry

URL = "http://127.0.0.1:9/x"

NEVER = {
    "bash,edit_file": "bash|edit_file",
    "Bash, Write": "Bash|Write",
    "bash;edit_file": "bash|edit_file",
    "bash，edit_file": "bash|edit_file",
    "bash｜edit_file": "bash|edit_file",
    "mcp__github__.*": "mcp__github__*",
    "mcp__github__.+": "mcp__github__*",
    "^Bash$": "Bash",
    "^(bash|edit).*$": "bash*|edit*",
    ".*": "*",
    "\\bBash\\b": "Bash",
    "(?i)bash": "bash",
    "/bash/i": "bash",
    "mcp__(github|gitlab)__.*": "mcp__github__*|mcp__gitlab__*",
    "Notebook.*|Edit": "Notebook*|Edit",
    "Bash(rm *)": "Bash",
    "Bash(git:*)": "Bash",
    "run_shell_command(git)": "run_shell_command",
    "bash edit_file": None,
    "bash|edit file": None,
    "bash\tedit": None,
    "bash+": None,
    "[^B]ash": None,
    "!Bash": None,
    "!(bash)": None,
    "@git/status": None,
    "{Edit,Write}": None,
    "bash.": None,
    ".bash": None,
    "b..h": None,
    "bash[": None,
    "'bash'": None,
    "a\u200bb": None,
    "$": None,
    "^$": None,
    "()": None,
    "bash||": None,
    "|": None,
    " ": None,
    "": None,
}
"""Each with the globs that the error proposes."""

GOOD = [
    *("bash", "Bash|Write", "bash | edit_file", "*", "**", "?", "mcp__github__*", "*__create_issue", "edit_?ile"),
    *("fs/read-file", "fs.read", "server:tool", "[Bb]ash", "工具", "mcp__x__a.b", "MCP__*|bash"),
]


@pytest.mark.parametrize("matcher", NEVER)
async def test_it_is_an_error_with_the_fix_and_a_closed_gate_denies_every_tool(
    home: Home, receiver: Receiver, matcher: str
) -> None:
    home.write(entry("gate", "pre_tool,message", receiver.url(), on_failure="deny", matcher=matcher))
    loaded = home.hooks()
    (problem,) = [one for one in loaded.configuration.problems if one.severity == "error"]
    assert (problem.place.line, problem.hook, problem.key) == (6, "gate", "matcher")
    if fix := NEVER[matcher]:
        assert f"use {fix!r}" in problem.message
        assert fault_of(fix) is None
    for tool in ("bash", "Bash", "mcp__github__create_issue", "anything", None):
        decision = await loaded.fire("pre_tool", tool_name=tool, tool_args={"command": "rm -rf build"})
        assert decision.result is Result.DENY
        assert problem.message in decision.message
    assert (await loaded.fire("message", content="hi")).result is Result.DENY
    assert not receiver.requests
    assert (await loaded.fire("post_tool", tool_name="bash")).result is Result.OK


@pytest.mark.parametrize("matcher", NEVER)
async def test_where_the_gate_need_not_fail_closed_the_others_go_on(
    home: Home, receiver: Receiver, matcher: str
) -> None:
    home.write(
        entry("bad", "pre_tool", receiver.url("/bad"), matcher=matcher) + entry("good", "pre_tool", receiver.url())
    )
    loaded = home.hooks()
    assert [webhook.name for webhook in loaded.configuration.webhooks] == ["good"]
    assert (await loaded.fire("pre_tool", tool_name="bash")).result is Result.OK
    assert len(receiver.at()) == len(receiver.requests) == 1


@pytest.mark.parametrize("matcher", GOOD)
async def test_what_can_match_is_no_error(home: Home, matcher: str) -> None:
    home.write(entry("gate", "pre_tool", URL, matcher=matcher))
    assert home.hooks().configuration.problems == ()


NAMES = [*TOOL_NAMES, *(tool for dialect in all_dialects().values() for tool in dialect.tools)]


def test_every_known_tool_can_be_named() -> None:
    for name in NAMES:
        assert fault_of(name) is None
        assert fits(name.upper(), name)


NAME = st.text(st.sampled_from("abzABZ019_-./:é工"), min_size=1, max_size=20).filter(
    lambda name: ".." not in name and name.strip(".") == name
)


@given(NAME)
def test_a_possible_name_is_no_error_and_fits_itself(name: str) -> None:
    assert (fault_of(name) is None) or name.startswith("/")
    assert fits(name, name)


@given(st.text(max_size=40))
def test_any_text_is_judged_and_a_proposal_can_match(text: str) -> None:
    fault = fault_of(text)
    if fault is not None and "; use '" in fault and fault.endswith("'"):
        assert fault_of(fault.rpartition("; use '")[2][:-1]) is None


@pytest.mark.parametrize("matcher", [matcher for matcher in NEVER if matcher.isascii() and matcher])
def test_the_page_says_it_in_chinese(matcher: str) -> None:
    fault = fault_of(matcher)
    assert fault is not None
    said = chinese(fault)
    assert said is not None, fault
    assert "matches no tool" not in said


async def test_a_matcher_without_a_tool_and_the_name_of_a_server_are_warned_of(home: Home) -> None:
    home.write(
        entry("none", "turn_start,error", URL, matcher="bash")
        + entry("some", "error,post_tool", URL, matcher="bash")
        + entry("server", "pre_tool", URL, matcher="mcp__github")
    )
    problems = [(one.hook, one.key, one.severity, one.message) for one in home.hooks().configuration.problems]
    told = "none of its events is about a tool, so it is called whatever the matcher says"
    server = "'mcp__github' is an MCP server, not a tool; use 'mcp__github__*' for all of its tools"
    assert problems == [("none", "matcher", "warning", told), ("server", "matcher", "warning", server)]


def test_names_that_resemble_a_known_one() -> None:
    assert unknown_names("edti_file|bash|mcp__x__y|*", TOOL_NAMES) == [("edti_file", "edit_file")]


class User:
    """Commands in a home and a project of their own."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "home"
        self.project = directory / "project"
        self.home.mkdir()
        self.project.mkdir()

    def __call__(self, *args: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(hooks, [*args, "--project", str(self.project)], catch_exceptions=False)
        return done.exit_code, done.stdout, done.stderr

    def write(self, text: str) -> None:
        (self.home / "hooks.toml").write_text(text, encoding="utf-8")


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> User:
    made = User(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HOOKYARD_HOME", str(made.home))
    for name in ("ATOMCODE_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "COPILOT_HOME", "GEMINI_CLI_HOME"):
        monkeypatch.delenv(name, raising=False)
    return made


def test_list_and_check_say_what_is_covered_by_the_agents_here(user: User) -> None:
    user.write(
        entry("shell", "pre_tool", URL, matcher="bash")
        + entry("files", "pre_tool", URL, matcher="write*|edit*")
        + entry("all", "pre_tool", URL)
        + entry("end", "session_end", URL)
    )
    code, out, err = user("list")
    assert (code, err) == (0, "")
    assert "shell (bash) covers built-in: bash\n" in out
    assert "claude-code" not in out
    Bridge.of_environment({"HOOKYARD_HOME": str(user.home)}).install("claude-code", user.project)
    _, out, _ = user("list")
    assert "shell (bash) covers built-in: bash; claude-code: Bash\n" in out
    assert "files (write*|edit*) covers built-in: write_file, edit_file; claude-code: Edit, Write\n" in out
    shown = {one["name"]: one["covers"] for one in json.loads(user("list", "--json")[1])}
    assert shown["shell"] == {"built-in": ["bash"], "claude-code": ["Bash"]}
    assert shown["all"]["built-in"] == list(TOOL_NAMES)
    assert shown["end"] is None
    assert user("check")[1] == "1 file, 4 webhooks, 0 errors, 0 warnings\n"


def test_a_matcher_that_fits_no_tool_of_the_agents_here_is_warned_of(user: User) -> None:
    user.write(
        entry("typo", "pre_tool", URL, matcher="edti_file")
        + entry("gemini", "pre_tool", URL, matcher="run_shell_command")
        + entry("both", "pre_tool", URL, matcher="bash|run_shell_command")
        + entry("mcp", "pre_tool", URL, matcher="mcp__github__*")
        + entry("half", "pre_tool", URL, matcher="bash|wrte_file")
    )
    code, out, _ = user("check")
    assert code == 0
    file = user.home / "hooks.toml"
    here = "fits no known tool of the agents here (built-in)"
    warnings = [line.replace(str(file), "F") for line in out.splitlines()]
    assert warnings[0] == f"warning: F:1: typo: matcher: 'edti_file' {here}; did you mean 'edit_file'?"
    assert warnings[1].startswith(f"warning: F:6: gemini: matcher: 'run_shell_command' {here}; they have read_file, ")
    assert warnings[2] == "warning: F:21: half: matcher: 'wrte_file' fits no known tool; did you mean 'write_file'?"
    assert warnings[3:] == ["1 file, 5 webhooks, 0 errors, 3 warnings"]
    assert [one["hook"] for one in json.loads(user("check", "--json")[1])] == ["typo", "gemini", "half"]
    assert user("list")[2] == "0 errors, 3 warnings: `hookyard hooks check` tells of them.\n"


def test_a_sample_obeys_matcher_and_trigger(user: User) -> None:
    user.write(
        entry("files", "pre_tool,error", URL, matcher="edit_*", retries=0)
        + entry("typo", "pre_tool", URL, matcher="bsh")
        + entry("mcp", "pre_tool", URL, matcher="mcp__github__*")
    )
    code, out, _ = user("test", "files", "--json")
    shown = json.loads(out)
    assert code == 1, "nobody listens there"
    assert (shown["event"], shown["tool"], shown["matches"]) == ("pre_tool_execution", "edit_file", True)
    assert json.loads(shown["delivery"]["request"])["hook_context"]["tool_name"] == "edit_file"
    assert shown["covers"] == {"built-in": ["edit_file"]}
    for arguments, reason in (
        (("files", "--tool", "bash"), "the matcher 'edit_*' does not fit the tool 'bash'"),
        (
            ("files", "--point", "turn_start"),
            "the trigger 'pre_tool,error' does not listen to turn_start (it listens to pre_tool, error)",
        ),
        (("typo",), "the matcher 'bsh' fits no known tool; name one of your agent's with --tool"),
        (("mcp",), "the matcher 'mcp__github__*' fits no known tool; name one of your agent's with --tool"),
    ):
        code, out, _ = user("test", *arguments)
        assert code == 1
        assert f"does not match: {reason}\n" in out
        assert out.endswith("nothing was sent; --force sends it all the same\n")
        code, out, _ = user("test", *arguments, "--json")
        told = json.loads(out)
        assert (code, told["matches"], told["reason"], told["delivery"]) == (1, False, reason, None)
        code, out, _ = user("test", *arguments, "--force", "--json")
        assert json.loads(out)["delivery"]["attempts"][0]["error"] == "connection refused"
    _, out, _ = user("test", "mcp", "--tool", "mcp__github__create_issue", "--json")
    assert json.loads(out)["matches"] is True


def test_a_gate_that_is_closed_for_its_matcher_is_shown_as_that(user: User) -> None:
    user.write(entry("gate", "pre_tool", URL, on_failure="deny", matcher="bash,edit_file"))
    _, out, _ = user("list")
    assert "denies" in out
    assert "use 'bash|edit_file'" in out
    (shown,) = json.loads(user("list", "--json")[1])
    assert (shown["mode"], shown["matcher"]) == ("denies", None)
    assert shown["covers"] == {"built-in": list(TOOL_NAMES)}
    assert user("check")[0] == 1
