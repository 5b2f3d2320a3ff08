"""What the tests of the command line share: a server in a process of its own, and the command itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.server import ServerProcess


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


def run_command(
    *arguments: str, stdin: bytes | None = None, seconds: float = 60, environment: Mapping[str, str] | None = None
) -> Done:
    """Run `hookyard` with these arguments and only these variables of hookyard's own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HOOKYARD_")}
    env.update(environment or {})
    command = [sys.executable, "-m", "hookyard.cli", *arguments]
    done = subprocess.run(command, env=env, input=stdin, capture_output=True, timeout=seconds, check=False)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server for the tests of a file, with the workspace `w`."""
    data = tmp_path_factory.mktemp("served") / "data"
    data.mkdir()
    with ServerProcess(data) as process:
        process.api("POST", "/workspaces", {"name": "Work", "id": "w"})
        yield process


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    return tmp_path / "home"
