"""A warning that cannot be written: the decision is the same, `fire` does not raise, and later lines still come."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from aiohttp import web

from hookyard.hooks.decision import Result
from hookyard.hooks.delivery.delivery_log import Delivery
from hookyard.hooks.hooks import Hooks
from hookyard.hooks.warning import Warn, to_stderr
from tests.hooks.receiver import Home, Receiver, entry

ERRORS: list[Exception] = [
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ENOSPC, "No space left on device"),
    BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"),
    ValueError("I/O operation on closed file."),
    RuntimeError("a user's own function"),
    UnicodeEncodeError("ascii", "é", 0, 1, "no"),
]


def raising(error: Exception) -> Callable[[str], None]:
    def warn(_: str) -> None:
        raise error

    return warn


def load(home: Home, warn: Callable[[str], None]) -> Hooks:
    hooks = Hooks.load(environ=home.environ, home=home.path, warn=warn)
    home.opened.append(hooks)
    return hooks


@pytest.mark.parametrize("error", ERRORS, ids=repr)
async def test_no_decision_depends_on_it(home: Home, receiver: Receiver, error: Exception) -> None:
    receiver.answers["/fails"] = lambda _: web.Response(status=500)
    receiver.answer({"result": "deny", "message": "no"}, "/deny")
    receiver.answer({"result": "warning", "message": "look"}, "/warn")
    home.write(
        entry("fails", "pre_tool,post_tool", receiver.url("/fails"), retries=1)
        + entry("warns", "pre_tool,turn_start", receiver.url("/warn"))
        + entry("later", "post_tool", receiver.url("/fails"), mode="background", retries=0)
        + entry("denies", "tool_call_start", receiver.url("/deny"))
        + entry("gate", "message", receiver.url("/fails"), on_failure="deny", retries=0)
        + entry("closed", "message", receiver.url(), on_failure="deny", retries=-1, priority=5)
        + "colour = 1\n"
    )
    hooks = load(home, raising(error))
    passed = await hooks.fire("pre_tool", tool_name="bash", tool_args={"command": "ls"})
    assert passed.result is Result.WARNING
    assert "look" in passed.message
    assert (await hooks.fire("post_tool", tool_name="bash")).result is Result.WARNING
    assert (await hooks.fire("turn_start")).result is Result.WARNING
    denied = await hooks.fire("tool_call_start", tool_name="bash")
    assert (denied.result, denied.message) == (Result.DENY, "no")
    assert (await hooks.fire("message", content="hi")).result is Result.DENY
    protected = await hooks.fire("pre_tool", tool_name="write_file", tool_args={"path": str(home.path / "hooks.toml")})
    assert protected.result is Result.DENY


class Unwritable:
    """A log whose disk is full."""

    def record(self, delivery: Delivery) -> None:
        raise OSError(errno.ENOSPC, f"no space for {delivery.id}")


async def test_a_log_that_fails_changes_no_verdict(home: Home, receiver: Receiver) -> None:
    receiver.answer({"result": "deny", "message": "no"}, "/deny")
    home.write(
        entry("ok", "post_tool,message", receiver.url(), on_failure="deny")
        + entry("denies", "pre_tool", receiver.url("/deny"))
    )
    lines: list[str] = []
    hooks = Hooks.load(environ=home.environ, home=home.path, warn=lines.append, log=Unwritable())
    home.opened.append(hooks)
    assert (await hooks.fire("message", content="hi")).result is Result.OK
    assert (await hooks.fire("pre_tool", tool_name="bash")).message == "no"
    assert any(line.startswith("[Hook Warning] ok: not recorded: OSError") for line in lines)


def test_a_function_that_never_raises_is_wrapped_once() -> None:
    warn = Warn(print)
    assert Warn.of(warn) is warn
    with pytest.raises(KeyboardInterrupt):
        Warn(raising(KeyboardInterrupt()))("x")  # type: ignore[arg-type] # no failure of writing, so it passes


def test_lines_come_to_what_takes_the_place_of_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    to_stderr("a line of é")
    assert capsys.readouterr().err == "a line of é\n"


PROGRAM = """
import asyncio, sys
from hookyard import Hooks

async def main():
    hooks = Hooks.load(home=sys.argv[1])
    for _ in range(3):
        decision = await hooks.fire("post_tool", tool_name="bash")
        print(decision.result.value, flush=True)
    await hooks.aclose()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "stderr", ["2>/dev/full", "2>&-", "2> >(exec sleep 0)", "2>&1 >&3 | grep -m1 observer >/dev/null"]
)
async def test_a_program_of_a_user_goes_on_and_ends_well(home: Home, stderr: str) -> None:
    home.write(entry("observer", "post_tool", "http://127.0.0.1:9/x", retries=1))
    command = f'exec 3>&1; "$PYTHON" -c "$PROGRAM" "$HOME_OF_HOOKS" {stderr}; exit ${{PIPESTATUS[0]}}'
    env = {**os.environ, "PYTHON": sys.executable, "PROGRAM": PROGRAM, "HOME_OF_HOOKS": str(home.path)}
    done = await asyncio.to_thread(
        subprocess.run, ["bash", "-c", command], env=env, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout.decode().split()) == (0, ["warning"] * 3), done.stderr.decode()
