"""The built package, and environments with nothing but it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment.

    Attributes:
        path: Its directory.
    """

    path: Path

    def install(self, *requirements: str, options: Sequence[str] = ()) -> None:
        """Install packages with uv, from its cache where possible."""
        uv("pip", "install", "--quiet", "--python", str(self.path / "bin" / "python"), *options, *requirements)

    def run(self, *argv: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment with an empty home."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(home), "HOOKYARD_HOME": str(home / "hooks"), **variables}
        command = [str(self.path / "bin" / argv[0]), *argv[1:]]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environ, cwd=home)


def uv(*arguments: str) -> None:
    """Run uv; skip the test where it is not installed, never in CI."""
    program = shutil.which("uv")
    if program is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("uv is not installed, so no environment can be made")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False, timeout=300, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel and the sdist of this tree."""
    directory = tmp_path_factory.mktemp("dist")
    uv("build", "--quiet", "--out-dir", str(directory))
    return directory


@pytest.fixture(scope="session")
def wheel(distributions: Path) -> Path:
    """The wheel of this tree."""
    (wheel,) = distributions.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment after `pip install hookyard`, without any extra."""
    environment = new_environment(tmp_path_factory.mktemp("light") / "venv")
    environment.install(str(wheel))
    return environment


def new_environment(path: Path) -> Environment:
    """Return an empty environment with this Python."""
    uv("venv", "--quiet", "--python", sys.executable, str(path))
    return Environment(path)
