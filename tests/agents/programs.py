"""The real programs from npm, in pinned versions, in a cache outside the repository."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

VERSIONS = {
    "claude-code": ("@anthropic-ai/claude-code", "2.1.330"),
    "codex": ("@openai/codex", "0.169.0"),
    "gemini": ("@google/gemini-cli", "0.61.0"),
    "copilot": ("@github/copilot", "1.0.102"),
    "opencode": ("opencode-ai", "1.18.33"),
}
CACHE = Path(os.environ.get("HOOKYARD_TEST_CACHE", Path.home() / ".cache" / "hookyard-tests")) / "cli"


def folder_of(kind: str) -> Path:
    """The folder that holds a program, installed if need be; where that cannot be the test is skipped, never in CI."""
    package, version = VERSIONS[kind]
    home = CACHE / f"{package.rpartition('/')[2]}-{version}"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at once
        if not (home / "installed").exists():
            _install(home, f"{package}@{version}")
            (home / "installed").touch()
    return home / "node_modules" / ".bin"


def _install(home: Path, package: str) -> None:
    give_up = pytest.fail if os.environ.get("CI") else pytest.skip
    if shutil.which("npm") is None:
        give_up("npm is not installed, so the real programs cannot be")
    argv = ["npm", "install", "--prefix", str(home), "--no-audit", "--no-fund", package]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        give_up(f"npm could not install {package}: {done.stderr[-300:]}")
