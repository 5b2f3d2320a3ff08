"""Fixtures of the agents' tests: fakes, the scripted model, and the mock model server of the shared folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.agents.fakes import FakeHooks, FakeRecorder
from tests.hooks.conftest import home, receiver
from tests.ports import kept_port

START_SECONDS = 60.0

__all__ = ["home", "receiver"]  # fixtures of the webhooks half: a real receiver, and a home whose hooks call it


@pytest.fixture
def hooks() -> FakeHooks:
    return FakeHooks()


@pytest.fixture
def recorder() -> FakeRecorder:
    return FakeRecorder()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    directory = tmp_path / "work"
    directory.mkdir()
    return directory


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., str]:
    """Writes a script; gives the name of the scripted model that follows it."""

    def write(*steps: dict[str, Any]) -> str:
        path = tmp_path / "script.json"
        path.write_text(json.dumps(steps))
        return f"scripted:{path}"

    return write


@dataclass
class MockModel:
    """The mock model server, running."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []


@pytest.fixture
def mock_model(shared: Path, tmp_path: Path) -> Iterator[Callable[..., MockModel]]:
    """Starts mock model servers; their environment says what they answer."""
    started: list[subprocess.Popen[bytes]] = []

    def start(**environment: str) -> MockModel:
        port = ports.enter_context(kept_port())
        model = MockModel(port, tmp_path / f"model-{port}.jsonl")
        argv = [sys.executable, str(shared / "tools" / "mock_llm.py"), str(port), str(model.log)]
        started.append(subprocess.Popen(argv, env={**os.environ, **environment}))
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(f"{model.url}/v1/models", timeout=5).close()
            except OSError:
                assert time.monotonic() < deadline, "the mock model did not start"
                time.sleep(0.02)
            else:
                model.log.unlink()
                return model

    with ExitStack() as ports:
        yield start
        for process in started:
            process.kill()
            process.wait()
