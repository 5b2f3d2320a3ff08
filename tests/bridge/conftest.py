"""Fixtures of the bridge: a home with its relay, and native events sent through the shim as an agent would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hookyard.bridge import relay, shim
from hookyard.bridge.dialects import all_dialects, dialect_of
from hookyard.bridge.plan import Commands
from tests.hooks.conftest import receiver
from tests.hooks.receiver import entry

__all__ = ["receiver"]

SHIM = str(Path(shim.__file__))


@dataclass
class Ended:
    """How a hook command ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> Any:
        assert self.code == 0, self
        return json.loads(self.out) if self.out else None

    @property
    def refused(self) -> str:
        """Why it was refused, where exit code 2 does that."""
        assert self.code == 2, self
        return self.err


@dataclass
class Bridged:
    """A user with a home, an empty project, and hooks that reach the relay through the shim."""

    home: Path
    project: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.home / relay.FOLDER

    def write(self, *entries: str) -> None:
        (self.home / "hooks.toml").write_text("\n".join(entries), encoding="utf-8")

    def gate(self, url: str, trigger: str = "pre_tool", name: str = "gate", **keys: object) -> None:
        self.write(entry(name, trigger, url, **keys))

    def line(self, agent: str, event: str, *, seconds: float = 60.0, mode: str = "cs", interpreter: str = "") -> str:
        """A hook command as it is installed."""
        commands = Commands(Path(interpreter or sys.executable), Path(SHIM), self.folder)
        if agent in all_dialects():
            return commands.line(dialect_of(agent), event, seconds, mode)
        return commands.line(dialect_of("claude-code"), event, seconds, mode).replace("claude-code", agent)

    async def hook(self, agent: str, event: str, native: Any, **parts: Any) -> Ended:
        """Run a hook command as an agent does."""
        return await self.run(self.line(agent, event, **parts), native)

    async def run(self, line: str, native: Any) -> Ended:
        text = native if isinstance(native, bytes) else json.dumps(native).encode()
        began = time.monotonic()
        process = await asyncio.create_subprocess_shell(
            line,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.project,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home.parent), **self.environ},
        )
        out, err = await process.communicate(text)
        assert process.returncode is not None
        return Ended(process.returncode, out.decode(), err.decode(), time.monotonic() - began)

    @property
    def relay_pid(self) -> int | None:
        """The relay that runs now."""
        with contextlib.suppress(OSError, ValueError):
            pid = int((self.folder / relay.LOCK).read_text())
            os.kill(pid, 0)
            return pid
        return None

    def end_relay(self, number: int = signal.SIGTERM) -> None:
        """End the relay and wait for it."""
        pid = self.relay_pid
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + 60
        while self._alive(pid):
            assert time.monotonic() < deadline, "the relay did not end"
            time.sleep(0.02)

    def _alive(self, pid: int) -> bool:
        try:
            os.kill(pid, 0)
            return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
        except OSError:
            return False


@pytest.fixture
def bridged(tmp_path: Path) -> Iterator[Bridged]:
    """A home whose relay is ended with the test."""
    home, project = tmp_path / "home" / ".hookyard", tmp_path / "project"
    (home / relay.FOLDER).mkdir(parents=True, mode=0o700)
    project.mkdir()
    user = Bridged(home, project)
    yield user
    user.end_relay()


PRE = {
    "session_id": "s1",
    "hook_event_name": "PreToolUse",
    "tool_name": "Bash",
    "tool_input": {"command": "echo hi", "description": "say hi"},
    "tool_use_id": "toolu_1",
    "permission_mode": "default",
}
