"""`hookyard callbacks export | import | diff` against a running server, as somebody keeps callbacks in a repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Done, run_command
from tests.e2e.server import TOKEN, ServerProcess

BLOCKED = {
    "name": "阻塞任务", "events": ["task.updated", "task.status_changed"], "condition": "ctx.taskStatus === 'blocked'",
    "prompt": "看看 {{taskTitle}}\n  为什么阻塞?\n", "merge": {"enabled": True, "windowMs": 500}, "timeoutSeconds": 30,
    "afterCrash": "fail", "concurrencyKey": "taskId",
}  # fmt: skip
GREETS = {"name": "Greets", "events": ["workspace.member_joined"], "prompt": "Hi {{userName}}"}

Ask = Callable[..., Done]


@pytest.fixture
def workspace(server: ServerProcess, tmp_path: Path) -> str:
    """A workspace of its own with two callbacks."""
    made: str = server.api("POST", "/workspaces", {"name": tmp_path.name})["id"]
    for callback in (BLOCKED, GREETS):
        server.api("POST", f"/workspaces/{made}/callbacks", callback)
    return made


@pytest.fixture
def ask(server: ServerProcess, workspace: str) -> Ask:
    environment = {"HOOKYARD_URL": server.url, "HOOKYARD_TOKEN": TOKEN, "HOOKYARD_WORKSPACE": workspace}
    return lambda *arguments: run_command("callbacks", *arguments, environment=environment)


def names(server: ServerProcess, workspace: str) -> dict[str, int]:
    """The callbacks that are there, and their versions."""
    return {one["name"]: one["version"] for one in server.everything(f"/workspaces/{workspace}/callbacks")}


def test_what_is_exported_is_no_different_and_imports_as_it_was(
    server: ServerProcess, workspace: str, ask: Ask, tmp_path: Path
) -> None:
    file = tmp_path / "callbacks.yaml"
    assert ask("export", "-o", str(file)).out == f"2 callbacks in {file}\n"
    assert file.read_text(encoding="utf-8") == ask("export").out
    assert "  prompt: |\n    看看 {{taskTitle}}\n      为什么阻塞?\n" in file.read_text(encoding="utf-8")
    same = ask("diff", str(file))
    assert (same.code, same.out) == (0, "2 callbacks, no difference\n")
    again = ask("import", str(file))
    assert (again.code, again.out) == (0, "0 created, 0 changed, 2 unchanged, 0 deleted\n")
    assert names(server, workspace) == {"阻塞任务": 1, "Greets": 1}
    # Into another workspace it makes the same.
    other = server.api("POST", "/workspaces", {"name": "other"})["id"]
    assert ask("import", str(file), "--workspace", other).out == "2 created, 0 changed, 0 unchanged, 0 deleted\n"
    assert ask("export", "--workspace", other).out == file.read_text(encoding="utf-8")


def test_declared_types_are_exported_with_the_callbacks_that_listen_to_them(
    server: ServerProcess, ask: Ask, tmp_path: Path
) -> None:
    variables = [
        {"name": "env", "type": "string", "example": "prod"},
        {"name": "ok", "type": "boolean", "example": True},
        {"name": "seconds", "type": "number", "example": 1.5},
    ]
    for name in ("ship.done", "ship.unused"):
        declared = {"name": name, "description": "Shipped", "variables": variables}
        server.api("POST", "/event-types", declared)
    other = server.api("POST", "/workspaces", {"name": "ships"})["id"]
    ships = {"name": "Ships", "events": ["ship.done"], "prompt": "{{env}} {{ok}} {{seconds}}", "condition": "ctx.ok"}
    server.api("POST", f"/workspaces/{other}/callbacks", ships)
    file = tmp_path / "ships.yaml"
    assert ask("export", "--workspace", other, "-o", str(file)).code == 0
    text = file.read_text(encoding="utf-8")
    assert "ship.unused" not in text
    assert ask("diff", "--workspace", other, str(file)).out == "1 callback, no difference\n"
    test = "tests:\n- event: {eventName: ship.done}\n  prompts: {Ships: prod true 1.5}\n"
    file.write_text(text + test, encoding="utf-8")
    done = ask("test", str(file))
    assert (done.code, done.out) == (0, "1 test, 0 failed\n")


def test_an_edited_file_is_shown_then_taken(server: ServerProcess, workspace: str, ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "callbacks.yaml"
    text = ask("export").out.replace("Hi {{userName}}", "Hello {{userName}}").replace("name: 阻塞任务", "name: Blocked")
    file.write_text(text, encoding="utf-8")
    shown = ask("diff", str(file))
    assert shown.code == 1
    lines = shown.out.splitlines()
    assert {"-  prompt: Hi {{userName}}", "+  prompt: Hello {{userName}}", "-- name: 阻塞任务", "+- name: Blocked"} <= {
        *lines
    }
    assert ask("import", str(file)).out == "1 created, 1 changed, 0 unchanged, 0 deleted\n"
    assert names(server, workspace) == {"阻塞任务": 1, "Greets": 2, "Blocked": 1}
    assert ask("diff", str(file)).code == 1  # one more is there
    done = json.loads(ask("import", str(file), "--delete", "--json").out)
    assert done == {"created": [], "changed": [], "unchanged": ["Blocked", "Greets"], "deleted": ["阻塞任务"]}
    assert ask("diff", str(file)).code == 0


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("{name: B, events: [workspace.member_left], prompt: 'Bye {{userNam}}'}", "B: prompt line 1, column 5"),
        ("{name: B, events: [task.nothing], prompt: x}", "unknown event 'task.nothing'"),
        ("{name: B, events: [task.created], prompt: x, condition: 'a b'}", "B: condition line 1, column 3"),
        ("{name: B, events: [task.created], prompt: x, agent: nobody}", "no agent profile 'nobody'"),
        ("{name: B, events: [task.created], prompt: x, colour: red}", "callbacks[1].colour"),
        ("{name: A, events: [task.created], prompt: x}", "two are named 'A'"),
    ],
)
def test_a_file_with_a_mistake_changes_nothing(
    server: ServerProcess, workspace: str, ask: Ask, tmp_path: Path, wrong: str, told: str
) -> None:
    file = tmp_path / "callbacks.yaml"
    file.write_text(f"callbacks:\n- {{name: A, events: [task.created], prompt: x}}\n- {wrong}\n", encoding="utf-8")
    done = ask("import", str(file), "--delete")
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert told in done.err
    assert names(server, workspace) == {"阻塞任务": 1, "Greets": 1}


def test_a_condition_that_can_never_hold_is_warned_of(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "callbacks.yaml"
    condition = "ctx.taskStatus === 'blocked' && ctx.retryCount < 3"
    file.write_text(
        f'callbacks:\n- {{name: A, events: [task.created, conversation.error], prompt: x, condition: "{condition}"}}\n'
    )
    done = ask("import", str(file))
    assert (done.code, done.out) == (0, "1 created, 0 changed, 0 unchanged, 0 deleted\n")
    assert done.err.startswith("warning: A: condition: ")


def test_what_cannot_be_written_or_is_not_there_is_one_line(ask: Ask, tmp_path: Path) -> None:
    for arguments in (("export", "-o", str(tmp_path / "no" / "x.yaml")), ("export", "--workspace", "nowhere")):
        done = ask(*arguments)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
