"""The webhooks pages: followed to the letter, they lead where they say; their tables are those of the code."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hookyard.hooks.config.entry_keys import KEYS
from hookyard.hooks.payload import body_of
from hookyard.hooks.points import Point
from hookyard.hooks.samples import sample
from hookyard.hooks.webhook import Webhook
from scripts.pages import page
from scripts.write_hook_tables import PAGES, points_table, written
from tests.conftest import ROOT
from tests.hooks.receiver import Receiver
from tests.ports import kept_port

FILES = ("tutorial/first-hook", "reference/hooks-toml", "how-to/embed-in-python", "how-to/test-your-hooks")
BLOCK = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)

pages = pytest.mark.parametrize("language", list(PAGES))


def files_of(language: str) -> dict[str, str]:
    return {
        key: text for name in FILES for key, text in BLOCK.findall(page(name, language).read_text(encoding="utf-8"))
    }


@asynccontextmanager
async def running(script: Path, port: int) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), str(port), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(60):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                else:
                    writer.close()
                    break
        yield
    finally:
        process.kill()
        await process.wait()


async def hookyard(home: Path, *args: str) -> tuple[int | None, str]:
    """A command as the page has it; its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from hookyard.cli.main import main; main()", *args),
        env={**os.environ, "HOOKYARD_HOME": str(home), "ATOMCODE_HOME": str(home / "none")},
        cwd=home,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


@pytest.fixture
def port() -> Iterator[int]:
    """The receiver's, also while it does not run."""
    with kept_port() as port:
        yield port


@pages
async def test_five_minutes(language: str, tmp_path: Path, receiver: Receiver, port: int) -> None:
    files = files_of(language)
    toml = files["hooks.toml"].replace(":5000/", f":{port}/").replace(":8500/", f":{receiver.port}/")
    (tmp_path / "gate.py").write_text(files["gate.py"])
    (tmp_path / "hooks.toml").write_text(toml)
    async with running(tmp_path / "gate.py", port):
        assert await hookyard(tmp_path, "hooks", "check") == (0, "1 file, 2 webhooks, 0 errors, 0 warnings\n")
        code, _ = await hookyard(tmp_path, "hooks", "test", "slack")
        assert code == 0
        assert "text" in receiver.requests[0].body or "blocks" in receiver.requests[0].body
        _, output = await hookyard(tmp_path, "hooks", "test", "gate")
        assert output.splitlines()[-1] == "verdict: deny: rm -rf is not allowed here; delete files one by one"
        assert output.splitlines()[-1] in page("tutorial/first-hook", language).read_text(encoding="utf-8")
        (tmp_path / "example.py").write_text(files["example.py"])
        assert "denied: rm -rf is not allowed" in await python(tmp_path / "example.py", tmp_path)
        story = await python(ROOT / "examples" / "python_agent.py", tmp_path)
        assert "tool: (would run bash with" in story
        assert "tool: denied: rm -rf is not allowed here" in story
    assert "denied: no valid answer from a gate that fails closed" in await python(tmp_path / "example.py", tmp_path)


async def python(script: Path, home: Path) -> str:
    """What a Python program prints that is governed by a home."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script)),
        env={**os.environ, "HOOKYARD_HOME": str(home), "ATOMCODE_HOME": str(home / "none")},
        cwd=home,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pages
def test_the_body_is_what_is_sent(language: str) -> None:
    shown = json.loads(files_of(language)["body.json"])
    webhook = Webhook("gate", "pre_tool", frozenset({Point.PRE_TOOL}), "http://127.0.0.1:5000/")
    assert shown == body_of(webhook, sample(Point.PRE_TOOL, 1_768_467_600.0, "/home/ada/project"))


@pages
def test_the_table_of_points_is_the_code_s(language: str) -> None:
    text = PAGES[language].read_text(encoding="utf-8")
    assert points_table(language) in text
    assert written(text, language) == text, "run `uv run python -m scripts.write_hook_tables`"


@pages
def test_every_key_is_described(language: str) -> None:
    text = PAGES[language].read_text(encoding="utf-8")
    assert [key for key in KEYS if f"| `{key}` |" not in text] == []


@pages
async def test_the_testing_kit_works_as_the_page_shows(tmp_path: Path, language: str) -> None:
    script = tmp_path / "test_gate.py"
    script.write_text(files_of(language)["test_gate.py"], encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
