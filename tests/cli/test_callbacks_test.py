"""`hookyard callbacks test` as a program: exit codes and what it prints."""

import json
import subprocess
import sys
from pathlib import Path

FILE = """
callbacks:
  - {name: Blocked, events: [task.created], condition: "ctx.taskStatus === 'blocked'", prompt: "{{taskTitle}}"}
tests:
  - {event: {eventName: task.created, taskStatus: blocked, taskTitle: Login}, prompts: {Blocked: Login}}
  - {event: {eventName: task.created}, expect: {Blocked: VERDICT}}
"""


def run(directory: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    file = directory / "callbacks.yaml"
    file.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "hookyard.cli", "callbacks", "test", str(file), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_all_as_expected(tmp_path: Path) -> None:
    done = run(tmp_path, FILE.replace("VERDICT", "condition"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 tests, 0 failed\n", "")


def test_a_failure_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, FILE.replace("VERDICT", "run"))
    assert done.returncode == 1
    assert "tests[1] Blocked: expected run, got condition" in done.stdout
    shown = json.loads(run(tmp_path, FILE.replace("VERDICT", "run"), "--json").stdout)
    assert shown == {"tests": 2, "failures": {"1": ["Blocked: expected run, got condition"]}}


def test_a_broken_file_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, FILE.replace("prompt:", "promt:"))
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "callbacks.yaml" in line
    assert "promt" in line


def test_a_callback_that_no_server_would_save_fails(tmp_path: Path) -> None:
    done = run(tmp_path, FILE.replace("VERDICT", "condition").replace('"{{taskTitle}}"', '"{{taskTitel}}"'))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "callbacks.yaml" in line
    assert "callbacks[0].prompt" in line
    assert "taskTitle" in line
