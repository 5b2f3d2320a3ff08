"""Children: bounded, given only what is allowed, and never left behind, not even by a worker that is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hookyard.agents.base import AgentError
from hookyard.agents.processes import Bounded, Lines, child_environment, run

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}

TREE = """
(setsid sh -c 'echo $$ > daemon; trap "" TERM HUP; while :; do sleep 1; done' &)
sh -c 'echo $$ > grandchild; while :; do sleep 1; done' &
trap '' TERM
echo $$ > child
while :; do sleep 1; done
"""
"""A child that ignores SIGTERM, a grandchild, and a grandchild that made itself a daemon."""

NAMES = ("child", "grandchild", "daemon")


def alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def until(what: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def written(directory: Path) -> bool:
    return all((directory / name).is_file() and (directory / name).read_text().strip() for name in NAMES)


def pids(directory: Path) -> list[int]:
    return [int((directory / name).read_text()) for name in NAMES]


async def test_output_input_and_code(tmp_path: Path) -> None:
    finished = await run(
        ["sh", "-c", "cat; echo bad >&2; exit 3"], working_dir=tmp_path, environment=ENVIRONMENT, stdin=b"in"
    )
    assert (finished.stdout, finished.stderr, finished.code, finished.timed_out) == ("in", "bad\n", 3, False)


async def test_the_input_is_whole_from_the_first_moment(tmp_path: Path) -> None:
    """A worker that is killed has left nothing half-written: a child never takes half a prompt for all of it."""
    look = "import os, stat; s = os.fstat(0); print(stat.S_ISREG(s.st_mode), s.st_size)"
    finished = await run([sys.executable, "-c", look], working_dir=tmp_path, environment={}, stdin=b"x" * 1_000_000)
    assert finished.stdout == "True 1000000\n"


async def test_ended_by_a_signal(tmp_path: Path) -> None:
    finished = await run(["sh", "-c", "kill -SEGV $$"], working_dir=tmp_path, environment=ENVIRONMENT)
    assert finished.code == 128 + signal.SIGSEGV


async def test_environment_is_what_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKYARD_ADMIN_TOKEN", "secret")
    monkeypatch.setenv("MY_KEY", "mine")
    monkeypatch.setenv("OTHER", "other")
    environment = child_environment(["MY_KEY", "HOOKYARD_ADMIN_TOKEN", "ABSENT"], os.environ)
    finished = await run(["env"], working_dir=tmp_path, environment=environment)
    names = {line.partition("=")[0] for line in finished.stdout.splitlines()}
    assert "MY_KEY" in names
    assert not names & {"OTHER", "HOOKYARD_ADMIN_TOKEN", "ABSENT"}


async def test_a_pipe_broken_by_the_child_ends_it_as_in_a_shell(tmp_path: Path) -> None:
    finished = await run(["bash", "-c", "yes | head -1"], working_dir=tmp_path, environment=ENVIRONMENT)
    assert finished.stdout == "y\n"
    assert finished.stderr == "", "SIGPIPE has its default again"


async def test_output_is_bounded(tmp_path: Path) -> None:
    finished = await run(
        ["sh", "-c", "head -c 50000000 /dev/zero | tr '\\0' x; echo end"],
        working_dir=tmp_path,
        environment=ENVIRONMENT,
        stdout_limit=1000,
    )
    assert len(finished.stdout) < 1100
    assert finished.stdout.startswith("xxx")
    assert finished.stdout.endswith("end\n")
    assert "49999004 bytes left out" in finished.stdout


async def test_no_input_is_wanted(tmp_path: Path) -> None:
    finished = await run(["true"], working_dir=tmp_path, environment=ENVIRONMENT, stdin=b"x" * 10_000_000)
    assert finished.code == 0


@pytest.mark.parametrize("argv", [["no-such-program"], ["./no-such-file"], ["/no/such"]])
async def test_no_such_program(tmp_path: Path, argv: list[str]) -> None:
    with pytest.raises(AgentError, match="there is no program"):
        await run(argv, working_dir=tmp_path, environment=ENVIRONMENT)


async def test_arguments_that_are_too_long(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="could not be started"):
        await run(["true", "x" * 10_000_000], working_dir=tmp_path, environment=ENVIRONMENT)


async def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="working folder"):
        await run(["true"], working_dir=tmp_path / "absent", environment=ENVIRONMENT)


async def test_timeout_ends_the_whole_tree(tmp_path: Path) -> None:
    for seconds in (1.0, 5.0, 25.0):  # a loaded machine takes longer until the whole tree is there
        finished = await run(
            ["sh", "-c", TREE],
            working_dir=tmp_path,
            environment=ENVIRONMENT,
            timeout_seconds=seconds,
            grace_seconds=0.3,
        )
        assert finished.timed_out
        if written(tmp_path):
            break
    assert not any(alive(pid) for pid in pids(tmp_path))


async def test_cancel_ends_the_whole_tree_before_it_returns(tmp_path: Path) -> None:
    task = asyncio.create_task(
        run(["sh", "-c", TREE], working_dir=tmp_path, environment=ENVIRONMENT, grace_seconds=0.3)
    )
    await asyncio.to_thread(until, lambda: written(tmp_path))
    assert all(alive(pid) for pid in pids(tmp_path))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(alive(pid) for pid in pids(tmp_path))


async def test_what_is_left_in_the_background_ends_with_the_call(tmp_path: Path) -> None:
    finished = await run(
        ["sh", "-c", "sleep 60 & echo $! > child; (setsid sleep 60 & echo $! > daemon)"],
        working_dir=tmp_path,
        environment=ENVIRONMENT,
    )
    assert finished.code == 0
    for name in ("child", "daemon"):
        assert not alive(int((tmp_path / name).read_text()))


WORKER = """
import asyncio, sys
from pathlib import Path
from hookyard.agents.processes import run
asyncio.run(run(["sh", "-c", sys.argv[2]], working_dir=Path(sys.argv[1]), environment={"PATH": "/usr/bin:/bin"}))
"""


@pytest.mark.parametrize("victim", ["worker", "keeper"])
def test_no_orphans_when_a_process_above_is_killed(tmp_path: Path, victim: str) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path), TREE])
    try:
        until(lambda: written(tmp_path))
        found = pids(tmp_path)
        assert all(alive(pid) for pid in found)
        keeper = int(Path(f"/proc/{found[0]}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(worker.pid if victim == "worker" else keeper, signal.SIGKILL)
        if victim == "worker":
            until(lambda: not any(alive(pid) for pid in found))
        else:
            until(lambda: not alive(found[0]))  # by the kernel; its own children are then beyond our reach
    finally:
        worker.kill()
        worker.wait()
        for pid in pids(tmp_path):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)


async def test_what_a_reader_raises_ends_the_child(tmp_path: Path) -> None:
    async def refuse(line: bytes) -> None:
        raise ValueError(line.decode())

    with pytest.raises(ValueError, match="one"):
        await run(["sh", "-c", "echo one; yes >&2"], working_dir=tmp_path, environment=ENVIRONMENT, on_line=refuse)


def test_bounded_keeps_both_ends() -> None:
    kept = Bounded(10)
    for chunk in (b"abc", b"defgh", b"ijklmnop"):
        kept.add(chunk)
    assert kept.text().startswith("abcde\n[… 6 bytes left out …]")
    assert kept.text().endswith("lmnop")


async def test_lines_leave_out_what_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Lines, "LIMIT", 10)
    seen: list[bytes] = []

    async def take(line: bytes) -> None:
        seen.append(line)

    lines = Lines(take)
    for chunk in (b"one\ntw", b"o\n\n", b"x" * 8, b"x" * 8, b"x\nthree", b"\nlast"):
        await lines.add(chunk)
    await lines.end()
    assert seen == [b"one", b"two", b"three", b"last"]
