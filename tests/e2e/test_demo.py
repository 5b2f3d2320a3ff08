"""The first command of the README: tells the whole story, in both languages, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.server import eventually

COMMAND = [sys.executable, "-m", "hookyard.cli", "demo"]


def environment(tmp_path: Path) -> dict[str, str]:
    """No key, no home of the user's, and a folder for temporary files that can be looked at."""
    kept = {name: value for name, value in os.environ.items() if "API_KEY" not in name and "HOOKYARD" not in name}
    return {**kept, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["scripted model", "modifies it: tail -n 5 ", "denies it: releases are frozen", "all steps completed"]),
        ("zh-CN", ["脚本模型", "将其改为：tail -n 5 ", "拒绝：releases are frozen", "所有步骤均已完成"]),
    ],
)
def test_the_story_is_told_and_everything_is_tidied_up(language: str, words: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--lang", language], env=environment(tmp_path), capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for word in words:
        assert word in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.glob("hookyard-demo-*")) == []


def test_keep_leaves_the_server_up_until_it_is_interrupted(tmp_path: Path) -> None:
    log = tmp_path / "out"
    with log.open("wb") as out:
        process = subprocess.Popen([*COMMAND, "--keep", "--lang", "en"], env=environment(tmp_path), stdout=out)
    try:
        link = eventually(lambda: re.search(r"http://\S+/login/\S+", log.read_text()), "the link is printed").group()
        with urllib.request.urlopen(link.partition("/login/")[0] + "/healthz", timeout=60) as response:
            assert response.status == 200
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
    assert code == 0
    assert list(tmp_path.glob("hookyard-demo-*")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_told_to_stop_leaves_no_server(number: signal.Signals, tmp_path: Path) -> None:
    """As `timeout`, a cancelled CI job or a closed terminal do: also in the middle of the story."""
    log = tmp_path / "out"
    with log.open("wb") as out:
        process = subprocess.Popen([*COMMAND, "--keep", "--lang", "en"], env=environment(tmp_path), stdout=out)
    try:
        ready = eventually(
            lambda: re.search(r"ready at http://127\.0\.0\.1:(\d+)", log.read_text()), "the server is up"
        )
    finally:
        process.send_signal(number)
        code = process.wait(60)
    assert code == 128 + number
    assert list(tmp_path.glob("hookyard-demo-*")) == []
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(ready[1])), timeout=5)
