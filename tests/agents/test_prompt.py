"""`hookyard -p` as a process of its own, with real webhooks: what is on stdout, on stderr, and in the exit code."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.agents.fakes import there
from tests.hooks.receiver import Receiver, entry

MAIN = "from hookyard.cli.main import main; main()"


@dataclass
class Prompted:
    code: int
    stdout: str
    stderr: str


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "home").mkdir()
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HOOKYARD_HOME": str(tmp_path / "home")}


async def prompted(model: str, work: Path, environment: dict[str, str]) -> Prompted:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MAIN, "-p", "Do it.", "--model", model),
        cwd=work,
        env=environment,
        stdin=asyncio.subprocess.PIPE,  # never read: it must not hang on it
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
    return Prompted(await process.wait(), out.decode(), err.decode())


async def test_answer_on_stdout_and_hooks_on_stderr(
    work: Path,
    script: Callable[..., str],
    environment: dict[str, str],
    receiver: Receiver,
) -> None:
    home = Path(environment["HOOKYARD_HOME"])
    (home / "hooks.toml").write_text(
        entry("gate", "pre_tool", receiver.url()) + entry("end", "session_end", receiver.url("/end"))
    )
    receiver.answer({"result": "deny", "message": "no touching"})
    model = script({"tool": "bash", "args": {"command": "touch a"}}, {"text": "完成"})
    seen = await prompted(model, work, environment)
    assert (seen.code, seen.stdout) == (0, "完成\n")
    first, *rest = seen.stderr.splitlines()
    assert first == "[Hook] webhooks: 2 loaded"
    assert rest == ["[Hook] gate: deny at pre_tool_execution: no touching"]
    assert not (work / "a").exists()
    body = receiver.at()[0].body
    assert body["hook_context"]["tool_args"] == '{"command": "touch a"}'
    assert body["agent"] == "hookyard"
    assert body["hook_context"]["session_id"].startswith("ses_")
    assert receiver.at("/end")[0].body["event"] == "on_session_end"


async def test_it_does_not_decide_which_hooks_other_agents_run(
    work: Path, script: Callable[..., str], environment: dict[str, str], receiver: Receiver
) -> None:
    home = Path(environment["HOOKYARD_HOME"])
    (home / "hooks.toml").write_text(entry("end", "session_end", receiver.url()))
    settings = {"path": ".claude/settings.json", "content": '{"disableAllHooks": true}'}
    notes = {"path": "notes.md", "content": "see .claude/settings.json"}
    model = script({"tool": "write_file", "args": settings}, {"tool": "write_file", "args": notes}, {"text": "done"})
    seen = await prompted(model, work, environment)
    assert (seen.code, seen.stdout) == (0, "done\n")
    assert ".claude/settings.json decides which hooks an agent runs; a person has to change it" in seen.stderr
    assert not (work / ".claude").exists()
    assert (work / "notes.md").exists()


async def test_warnings_of_the_configuration_come_after_the_first_line(
    work: Path, script: Callable[..., str], environment: dict[str, str], receiver: Receiver
) -> None:
    home = Path(environment["HOOKYARD_HOME"])
    (home / "hooks.toml").write_text(
        entry("good", "turn_complete", receiver.url()) + entry("odd", "pretool", receiver.url())
    )
    seen = await prompted(script({"text": "ok"}), work, environment)
    first, *rest = seen.stderr.splitlines()
    assert first == "[Hook] webhooks: 2 loaded"
    assert rest
    assert all(line.startswith("[Hook Warning] ") and "odd" in line for line in rest)


async def test_without_webhooks_it_works_without_asking(
    work: Path, script: Callable[..., str], environment: dict[str, str]
) -> None:
    seen = await prompted(script({"tool": "bash", "args": {"command": "env > a"}}), work, environment)
    assert seen == Prompted(0, "The script of the scripted model has ended.\n", "")
    assert "HOOKYARD_HOME" not in (work / "a").read_text()


async def test_failure_is_one_line_and_code_1(work: Path, environment: dict[str, str]) -> None:
    seen = await prompted("scripted:/no/such/file", work, environment)
    assert (seen.code, seen.stdout) == (1, "")
    assert "/no/such/file is no script" in seen.stderr
    assert seen.stderr.count("\n") == 1


@pytest.mark.parametrize("more", [["-p", " "], ["-p", "x", "--cwd", "/no/such"], ["--model", "x"]])
async def test_wrong_usage_is_code_2(more: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(*(sys.executable, "-c", MAIN, *more), stderr=asyncio.subprocess.PIPE)
    _, err = await process.communicate()
    assert process.returncode == 2, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_interrupted(
    work: Path, script: Callable[..., str], environment: dict[str, str], receiver: Receiver, number: signal.Signals
) -> None:
    (Path(environment["HOOKYARD_HOME"]) / "hooks.toml").write_text(
        entry("end", "session_end,turn_complete", receiver.url())
    )
    model = script({"tool": "bash", "args": {"command": "echo $$ > begun; sleep 600"}})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", MAIN, "-p", "Do it.", "--model", model),
        cwd=work,
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    await there(work / "begun")
    process.send_signal(number)
    _, err = await process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err.decode()
    assert [request.body["event"] for request in receiver.requests] == ["on_turn_complete", "on_session_end"]
    assert receiver.requests[0].body["context"]["result_type"] == "Cancelled"


@pytest.mark.parametrize(("said", "made"), [("y\n", True), ("a\n", True), ("n\n", False), ("\n", False)])
def test_asks_at_a_terminal(
    work: Path, script: Callable[..., str], environment: dict[str, str], said: str, made: bool
) -> None:
    model = script({"tool": "bash", "args": {"command": "touch a"}}, {"tool": "list_directory"}, {"text": "ok"})
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(work)
        os.execve(sys.executable, [sys.executable, "-c", MAIN, "-p", "Do it.", "--model", model], environment)
    seen = b""
    while b"[a]ll: " not in seen:
        seen += os.read(terminal, 1024)
    os.write(terminal, said.encode())
    while True:
        try:
            chunk = os.read(terminal, 1024)
        except OSError:
            break
        if not chunk:
            break
        seen += chunk
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (work / "a").exists() is made
    assert b'Run bash {"command":"touch a"}?' in seen
    assert seen.rstrip().endswith(b"ok")


async def test_no_model_says_where_one_is_named(work: Path, environment: dict[str, str]) -> None:
    done = await prompted("", work, environment)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "HOOKYARD_MODEL, --model with -p" in done.stderr


async def test_a_provider_that_cannot_be_reached_says_the_mend(work: Path, environment: dict[str, str]) -> None:
    pytest.importorskip("openai")
    away = {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": "x"}
    done = await prompted("openai:gpt-4o", work, environment | away)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "the model failed: Connection error. (see that the provider can be reached" in done.stderr


@pytest.mark.parametrize("more", [{}, {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": ""}])
async def test_a_provider_without_its_key_is_one_line(
    work: Path, environment: dict[str, str], more: dict[str, str]
) -> None:
    pytest.importorskip("openai")
    done = await prompted("openai:gpt-4o", work, environment | more)
    assert (done.code, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert "OPENAI_API_KEY" in done.stderr
    assert "Agent('test')" not in done.stderr
