"""The commands that talk to a running server, and those that work on its database."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from hookyard.cli import main
from tests.cli.conftest import Done, run_command
from tests.e2e.server import TOKEN, ServerProcess, eventually


@pytest.fixture
def ask(server: ServerProcess) -> Ask:
    """Runs a command against the server."""
    return Ask(server)


class Ask:
    """Runs commands with the server's address and token in the environment."""

    def __init__(self, server: ServerProcess) -> None:
        self.environment = {"HOOKYARD_URL": server.url, "HOOKYARD_TOKEN": TOKEN, "HOOKYARD_WORKSPACE": "w"}

    def __call__(self, *arguments: str, stdin: bytes | None = None, **changes: str) -> Done:
        return run_command(*arguments, stdin=stdin, environment={**self.environment, **changes})


def test_events_are_sent_from_words_files_and_stdin(server: ServerProcess, ask: Ask, tmp_path: Path) -> None:
    sent = ask("events", "send", "workspace.member_left", "userId=u", "userName=孙七", "--id", "one")
    assert (sent.code, sent.err) == (0, "")
    assert sent.out.startswith("evt_")
    again = ask("events", "send", "workspace.member_left", "userId=u", "userName=孙七", "--id", "one")
    assert "is a duplicate of evt_" in again.out
    event = {
        "eventName": "conversation.error",
        "conversationId": "words-files-stdin",
        "errorMessage": "m",
        "errorStack": "s",
    }
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event | {"retryCount": 2}))
    from_file = ask("events", "send", "--file", str(file), "--json")
    assert json.loads(from_file.out)["runs"] == []
    number = [f"{name}={value}" for name, value in event.items() if name != "eventName"]
    typed = ask("events", "send", "conversation.error", *number, "retryCount:=3")
    assert typed.code == 0, typed.err
    piped = ask("events", "send", "--file", "-", stdin=json.dumps(event | {"retryCount": 4}).encode())
    assert piped.code == 0, piped.err
    tail = ask("events", "tail", "--no-follow", "--last", "3")
    # Indented below an event stand the callbacks that other tests may have made meanwhile.
    events = [line for line in tail.out.splitlines() if not line.startswith(" ")]
    assert [line.split()[1] for line in events] == ["conversation.error"] * 3


def test_what_cannot_be_encoded_is_shown_as_far_as_it_goes(ask: Ask) -> None:
    name = "孙七\x1b[2J"
    assert ask("events", "send", "workspace.member_left", "userId=u", f"userName={name}").code == 0
    done = ask("events", "tail", "--no-follow", "--last", "1", "--json", PYTHONIOENCODING="ascii")
    assert (done.code, done.err) == (0, "")
    assert "\\u5b59" in done.out


def test_a_cloud_event_in_a_file_takes_the_options_too(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "event.json"
    event = {"specversion": "1.0", "type": "workspace.member_left", "source": "/tests", "id": "in the file"}
    file.write_text(json.dumps(event | {"data": {"userId": "u", "userName": "n"}}))
    sent = ask("events", "send", "--file", str(file), "--id", "from the option", "--operation-id", "o", "--json")
    assert sent.code == 0, sent.err
    (kept,) = (
        json.loads(line) for line in ask("events", "tail", "--no-follow", "--last", "1", "--json").out.splitlines()
    )
    assert (kept["sourceId"], kept["operationId"]) == ("from the option", "o")


def test_a_refused_event_is_one_line_with_each_problem(ask: Ask) -> None:
    done = ask("events", "send", "workspace.member_left", "userId=u", "colour=red")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "userName" in done.err
    assert "colour" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("events", "send"),
        ("events", "send", "a.b", "nonsense"),
        ("events", "send", "a.b", "x:=nonsense"),
        ("runs", "list", "--status", "sleeping"),
        ("nothing",),
        ("-p",),
        ("serve", "--port"),
        ("serve", "--port", "70000"),
        ("--model", "x"),
    ],
)
def test_wrong_usage_is_exit_code_2(ask: Ask, arguments: tuple[str, ...]) -> None:
    done = ask(*arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("hookyard")
    assert "--help`)" in done.err


@pytest.mark.parametrize(
    ("written", "meant"), [("serv", "serve"), ("hook", "hooks"), ("callback", "callbacks"), ("loginlink", "login-link")]
)
def test_a_command_that_there_is_not_is_told_with_the_nearest(written: str, meant: str) -> None:
    done = run_command(written)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert f"'{meant}'" in done.err


def test_an_empty_workspace_is_no_workspace(ask: Ask) -> None:
    of_variable = ask("runs", "list", HOOKYARD_WORKSPACE="")
    assert (of_variable.code, of_variable.err) == (0, "")  # the token sees just one
    of_option = ask("runs", "list", "-w", "")
    assert (of_option.code, of_option.out) == (1, "")
    assert of_option.err == "hookyard: -w: is empty (name a workspace, or leave it out)\n"


def test_runs_are_listed_shown_retried(server: ServerProcess, ask: Ask) -> None:
    callback = {"name": "greets", "events": ["workspace.member_joined"], "prompt": "Greet {{userName}}"}
    server.api("POST", "/workspaces/w/callbacks", callback)
    sent = ask("events", "send", "workspace.member_joined", "userId=u", "userName=李四", "--json")
    (run,) = json.loads(sent.out)["runs"]

    def ended() -> bool:
        return bool(json.loads(ask("runs", "show", run, "--json").out)["status"] == "succeeded")

    eventually(ended, "the run ends")
    listed = ask("runs", "list")
    assert run in listed.out
    assert "greets" in listed.out
    assert json.loads(ask("runs", "list", "--json", "--limit", "1").out)[0]["id"] == run
    shown = ask("runs", "show", run)
    assert "Greet 李四" in shown.out
    assert "\nagent: dry-run, " in shown.out
    cancelled = ask("runs", "cancel", run)
    assert (cancelled.code, cancelled.err.count("\n")) == (1, 1)
    retried = ask("runs", "retry", run, "--json")
    assert json.loads(retried.out)["retryOf"] == run
    missing = ask("runs", "show", "run_nothing")
    assert (missing.code, missing.err.count("\n")) == (1, 1)


def test_a_number_that_was_sent_as_text_is_told_how_to_be_one(ask: Ask) -> None:
    words = ("conversationId=c", "errorMessage=m", "errorStack=s", "retryCount=2")
    done = ask("events", "send", "conversation.error", *words)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "retryCount: must be a number, but a string was sent" in done.err
    assert "(write retryCount:=…: a value after = is a text, after := JSON)" in done.err
    assert ask("events", "send", "conversation.error", *words[:-1], "retryCount:=2").code == 0


@pytest.mark.parametrize("command", [("serve",), ("worker",), ("login-link",), ("db", "upgrade"), ("db", "prune")])
def test_an_empty_data_folder_is_not_the_current_one(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hookyard.cli", *command, "--data", ""],
        cwd=tmp_path, env={**os.environ, "HOOKYARD_HOME": str(tmp_path / "home")}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "'--data': is empty; give a folder, or leave it out" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device that is always full is Linux's")
def test_an_output_that_is_full_is_no_fault_of_ours() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hookyard.cli", "--help"],
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode != 0
    assert "the disk is full (free some space)" in done.stderr
    assert "report it" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        ((b"runs", b"show", b"-w", b"w", b"caf\xe9"), {"HOOKYARD_TOKEN": "t"}),
        ((b"runs", b"cancel", b"-w", b"caf\xe9", b"x"), {"HOOKYARD_TOKEN": "t"}),
        ((b"hooks", b"deliveries", b"caf\xe9"), {}),
        ((b"runs", b"list"), {"HOOKYARD_TOKEN": "t", "HOOKYARD_WORKSPACE": os.fsdecode(b"caf\xe9")}),
    ],
)
def test_what_is_no_text_is_no_fault_of_ours(
    tmp_path: Path, arguments: tuple[bytes, ...], environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [os.fsencode(sys.executable), b"-m", b"hookyard.cli", *arguments],
        env={**os.environ, "HOOKYARD_HOME": str(tmp_path), **environment},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "hookyard: 'caf\\udce9' is no UTF-8 text (write it in UTF-8)\n"


def test_an_output_that_is_closed_is_no_fault_of_ours(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(
            ["bash", "-c", f'exec "$@" {closed}', "-", sys.executable, "-m", "hookyard.cli", "db", "upgrade"],
            env={**os.environ, "HOOKYARD_HOME": str(home)},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        with sqlite3.connect(home / "hookyard.db") as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        shutil.rmtree(home)
    asked = subprocess.run(
        ["bash", "-c", 'exec "$@" <&- >&-', "-", sys.executable, "-m", "hookyard.cli", "-p", "hi"],
        env={**os.environ, "HOOKYARD_HOME": str(home), "HOOKYARD_MODEL": "none:such"},
        stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert asked.returncode == 1
    assert asked.stderr.startswith("hookyard: the model 'none:such' cannot be used")


def test_a_project_that_is_not_there_is_no_project_without_faults(tmp_path: Path) -> None:
    for command in ("list", "paths", "check", "trust"):
        done = run_command("hooks", command, "--project", str(tmp_path / "typo"))
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert "'--project'" in done.err


def test_a_run_that_failed_shows_what_its_command_said_on_stderr(server: ServerProcess, ask: Ask) -> None:
    agent = {"kind": "command", "argv": ["sh", "-c", "echo the reason >&2; exit 3"]}
    callback = {"name": "fails", "events": ["workspace.member_left"], "prompt": "x", "agent": agent}
    made = server.api("POST", "/workspaces/w/callbacks", callback)
    sent = ask("events", "send", "workspace.member_left", "userId=u", "userName=u", "--id", "fails", "--json")
    (run,) = json.loads(sent.out)["runs"]
    eventually(lambda: "  failed" in ask("runs", "show", run).out, "the run fails")
    shown = ask("runs", "show", run).out
    assert "note stderr: the reason\n" in shown
    assert "error: the command sh ended with code 3 (the run's notes have its last words on stderr)" in shown
    server.api("DELETE", f"/workspaces/w/callbacks/{made['id']}")


def test_a_server_that_is_not_there_is_one_line_with_the_mend(ask: Ask) -> None:
    done = ask("runs", "list", HOOKYARD_URL="http://127.0.0.1:9")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "hookyard serve" in done.err
    no_token = ask("runs", "list", HOOKYARD_TOKEN="")
    assert (no_token.code, "HOOKYARD_TOKEN" in no_token.err) == (1, True)
    for address in ("ftp://127.0.0.1", "http://[bad", "http://", "nonsense"):
        bad = ask("runs", "list", HOOKYARD_URL=address)
        assert (bad.code, bad.out, bad.err.count("\n"), "HOOKYARD_URL" in bad.err) == (1, "", 1, True)
    garbled = ask("runs", "list", HOOKYARD_TOKEN="a\nb")
    assert (garbled.code, garbled.err.count("\n"), "HOOKYARD_TOKEN" in garbled.err) == (1, 1, True)
    wrong = ask("runs", "list", HOOKYARD_TOKEN="hky_wrong-token-that-nobody-has")
    assert (wrong.code, wrong.err.count("\n")) == (1, 1)
    assert "hky_wrong" not in wrong.err


def test_a_login_link_is_made_beside_a_running_server(server: ServerProcess) -> None:
    done = run_command("login-link", "--data", str(server.data), "--port", "8499")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("http://127.0.0.1:8499/login/")
    unknown = run_command("login-link", "--data", str(server.data), "--login", "nobody")
    assert (unknown.code, unknown.err.count("\n")) == (1, 1)


def test_the_database_is_upgraded_pruned_and_copied_while_a_server_runs(server: ServerProcess, tmp_path: Path) -> None:
    data = ("--data", str(server.data))
    assert "already" in run_command("db", "upgrade", *data).out
    pruned = run_command("db", "prune", *data, "--json")
    assert (pruned.code, type(json.loads(pruned.out))) == (0, dict)
    copy = tmp_path / "copy.db"
    done = run_command("db", "backup", str(copy), *data)
    assert done.code == 0, done.err
    with sqlite3.connect(copy) as database:
        assert database.execute("SELECT count(*) FROM workspaces").fetchone()[0] >= 1
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    again = run_command("db", "backup", str(copy), *data)
    assert (again.code, again.err.count("\n")) == (1, 1)


def test_where_there_is_no_database_none_is_made(tmp_path: Path) -> None:
    for command in (("worker",), ("db", "prune"), ("db", "backup", str(tmp_path / "copy.db")), ("login-link",)):
        done = run_command(*command, "--data", str(tmp_path / "nowhere"))
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert "hookyard serve" in done.err
    assert list(tmp_path.iterdir()) == []
    fresh = run_command("db", "upgrade", "--data", str(tmp_path / "new"))
    assert (fresh.code, (tmp_path / "new" / "hookyard.db").exists()) == (0, True)


def test_help_names_every_command_and_imports_none(tmp_path: Path) -> None:
    done = run_command("--help")
    assert done.code == 0
    names = ("demo", "serve", "worker", "login-link", "hooks", "bridge", "callbacks", "events", "runs", "db")
    assert all(f"  {name} " in done.out for name in names)


def test_no_line_of_a_help_is_cut_off() -> None:
    for name in main.COMMANDS:
        done = run_command(name, "--help")
        assert done.code == 0
        assert "..." not in done.out.replace("[ARGS]...", ""), name


def test_a_fault_of_our_own_is_one_line_unless_one_asks_for_more() -> None:
    program = (
        "import sys; from hookyard.cli import main as m; m.COMMANDS['broken'] = ('nowhere.at:all', '');"
        "sys.argv = ['hookyard', 'broken']; m.main()"
    )
    for debug, lines in (("", 1), ("1", 5)):
        env = {**os.environ, "HOOKYARD_DEBUG": debug}
        done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert ("Traceback" in done.stderr) is bool(debug)
        assert done.stderr.count("\n") >= lines
        assert "nowhere" in done.stderr
