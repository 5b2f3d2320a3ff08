"""What a governed tool call adds: the hook command from its start to its end, relay warm, a webhook on loopback.

Beside it the interpreter alone, `python -S -E -I -c pass`, in turns, so that noise of the machine hits both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.hooks_dispatch import median, receiver
from hookyard.bridge import relay, shim

ROUNDS = 400
EVENT = {
    "session_id": "d58072f0-4811-4e8b-a080-b7f34b30f21a",
    "cwd": "/",
    "permission_mode": "default",
    "hook_event_name": "PreToolUse",
    "tool_name": "Bash",
    "tool_input": {"command": "pytest -q tests && git status", "description": "x" * 200},
    "tool_use_id": "toolu_1",
}
BARE = [sys.executable, "-S", "-E", "-I"]


async def measure() -> list[Figure]:
    """One tool call with one gating webhook."""
    async with receiver() as url:
        ours, floor = await asyncio.to_thread(in_turns, url)
    return [
        Figure(
            "one governed tool call, hook command from start to end, p50",
            median(ours) / 1000,
            median(floor) / 1000,
            "ms",
            2.0,
            note="python -S -E -I -c pass",
        )
    ]


def in_turns(url: str) -> tuple[list[float], list[float]]:
    """Times of the hook command and of the bare interpreter, in seconds."""
    ours: list[float] = []
    floor: list[float] = []
    with home_of(url) as directory:
        hook = [*BARE, str(Path(shim.__file__)), str(directory), "claude-code", "PreToolUse", "30", "cs"]
        timed(hook)  # starts the relay
        for _ in range(ROUNDS):
            floor.append(timed([*BARE, "-c", "pass"]))
            ours.append(timed(hook))
    return ours, floor


def timed(argv: Sequence[str]) -> float:
    """Run a command as an agent runs its hook: how long it took."""
    began = time.perf_counter()
    done = subprocess.run(argv, input=json.dumps(EVENT).encode(), capture_output=True, check=False)
    took = time.perf_counter() - began
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    return took


@contextmanager
def home_of(url: str) -> Iterator[Path]:
    """The relay's folder of a home with one gate; the relay is ended at the end."""
    with tempfile.TemporaryDirectory() as home:
        directory = Path(home, relay.FOLDER)
        directory.mkdir(mode=0o700)
        gate = f'[[webhooks]]\nname = "gate"\ntrigger = "pre_tool"\nurl = "{url}"\non_failure = "deny"\n'
        Path(home, "hooks.toml").write_text(gate, encoding="utf-8")
        yield directory
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((directory / relay.LOCK).read_text()), signal.SIGTERM)
        deadline = time.monotonic() + 10
        while (directory / shim.SOCKET).exists() and time.monotonic() < deadline:
            time.sleep(0.05)


if __name__ == "__main__":
    for figure in asyncio.run(measure()):
        print(figure, figure.ratio)
