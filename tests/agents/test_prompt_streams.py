"""`hookyard -p` whose output has no reader: a webhook that fails must not end it, whatever became of stderr."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agents.test_prompt import MAIN, environment  # noqa: F401 - a fixture
from tests.hooks.receiver import entry

SHELL = 'set -o pipefail; hookyard() { "$PYTHON" -c "$MAIN" "$@"; }; '


@pytest.fixture
def model(script: Callable[..., str], environment: dict[str, str]) -> str:  # noqa: F811
    """A model that calls one tool, in a home with a webhook at every tool call that nobody answers."""
    home = Path(environment["HOOKYARD_HOME"])
    webhook = entry("observer", "pre_tool,post_tool", "http://127.0.0.1:9/x", retries=1)
    (home / "hooks.toml").write_text(webhook)
    call = {"tool": "write_file", "args": {"path": "made.txt", "content": "made\n"}}
    return script(call, {"text": "All done."})


def shell(command: str, model: str, work: Path, environment: dict[str, str]) -> tuple[int, str, str]:  # noqa: F811
    variables = {**environment, "PYTHON": sys.executable, "MAIN": MAIN, "MODEL": model}
    done = subprocess.run(
        ["bash", "-c", SHELL + command], cwd=work, env=variables, capture_output=True, timeout=60, check=False
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


PROMPT = 'hookyard -p "Do it." --model "$MODEL"'


@pytest.mark.parametrize(
    "stderr",
    ["2> >(head -1 >/dev/null)", "2> >(true)", "2>/dev/full", "2>&-", "2> >(exec sleep 0)", "2>/dev/null"],
)
def test_the_step_runs_and_the_answer_comes_when_stderr_cannot_be_written(
    stderr: str, model: str, work: Path, environment: dict[str, str]  # noqa: F811
) -> None:  # fmt: skip
    code, out, _ = shell(f"{PROMPT} {stderr}", model, work, environment)
    assert (code, out) == (0, "All done.\n")
    assert (work / "made.txt").read_text() == "made\n"


def test_a_pipe_that_stops_at_its_first_match_does_not_stop_the_agent(
    model: str, work: Path, environment: dict[str, str]  # noqa: F811
) -> None:  # fmt: skip
    code, out, _ = shell(f"{PROMPT} 2>&1 | grep -m1 -i webhook; echo ${{PIPESTATUS[0]}}", model, work, environment)
    assert code == 0
    # The answer itself has no reader either: exit code 1, without a word.
    assert out.splitlines() == ["[Hook] webhooks: 1 loaded", "1"]
    assert (work / "made.txt").read_text() == "made\n"


@pytest.mark.parametrize("reader", ["| true", "| head -c 0", "> >(exec sleep 0)"])
def test_an_answer_without_a_reader_ends_quietly(
    reader: str, model: str, work: Path, environment: dict[str, str]  # noqa: F811
) -> None:  # fmt: skip
    _, out, err = shell(f"{PROMPT} {reader}; echo ${{PIPESTATUS[0]}}", model, work, environment)
    assert out == "1\n"
    assert all(line.startswith("[Hook") for line in err.splitlines()), err


def test_an_answer_that_the_disk_does_not_take_is_told(
    model: str, work: Path, environment: dict[str, str]  # noqa: F811
) -> None:  # fmt: skip
    code, _, err = shell(f"{PROMPT} >/dev/full", model, work, environment)
    assert code == 1
    assert err.splitlines()[-1] == "hookyard: stdout: the disk is full (free some space)"
    assert "Traceback" not in err


def test_a_terminal_that_is_closed_meanwhile_does_not_stop_the_agent(
    model: str, work: Path, environment: dict[str, str]  # noqa: F811
) -> None:  # fmt: skip
    ours, theirs = pty.openpty()
    answer = work / "answer"
    with answer.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "-p", "Do it.", "--model", model],
            cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=theirs, start_new_session=True,
        )  # fmt: skip
    os.close(theirs)
    os.close(ours)  # from now on a write to the terminal is EIO
    assert process.wait(60) == 0
    assert answer.read_text() == "All done.\n"
