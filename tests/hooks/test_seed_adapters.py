"""The two adapter scripts of the seed, run as they stand there (outbound URL and port aside), as receivers."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from hookyard.hooks.decision import Result
from tests.hooks.receiver import Home, Receiver


def script_of(seed: str, constant: str) -> str:
    """The script that sets a constant, from its first import to its last line."""
    parts: list[str] = re.findall(r"^from flask import.*?^    app\.run\(port=5000\)$", seed, re.DOTALL | re.MULTILINE)
    (script,) = [part for part in parts if f"{constant} = " in part]
    return script


@asynccontextmanager
async def adapter(seed: str, constant: str, outbound: str, directory: Path) -> AsyncIterator[str]:
    """The running script; gives the URL that the seed configures for it."""
    script = script_of(seed, constant)
    script, outbounds = re.subn(rf'^{constant} = ".*"$', f'{constant} = "{outbound}"', script, flags=re.MULTILINE)
    script, ports = re.subn(r"app\.run\(port=5000\)", "app.run(port=0)", script)
    assert (outbounds, ports) == (1, 1)
    file = directory / "webhook_adapter.py"
    file.write_text(script, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(file), stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while not (found := re.search(rb"Running on http://127\.0\.0\.1:(\d+)", await process.stderr.readline())):
                assert process.returncode is None
        yield f"http://localhost:{int(found[1])}/atomcode/hooks"
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.parametrize(
    ("point", "tool", "line"), [("tool_call_start", "edit_file", "edit_file"), ("turn_complete", None, "N/A")]
)
class TestAdapters:
    async def test_slack(
        self, home: Home, receiver: Receiver, shared: Path, tmp_path: Path, point: str, tool: str | None, line: str
    ) -> None:
        seed = (shared / "seeds" / "webhook-hook-guide.zh.txt").read_text(encoding="utf-8")
        async with adapter(seed, "SLACK_WEBHOOK", receiver.url("/slack"), tmp_path) as url:
            decision = await home.one(url, trigger=point, retries=0).fire(point, tool_name=tool, turn_number=3)
        assert decision.result is Result.OK, home.lines
        text = receiver.at("/slack")[0].body["text"]
        assert f"Event: `on_{point}`" in text
        assert f"Tool: `{line}`" in text
        assert "Turn: `3`" in text

    async def test_dingtalk(
        self, home: Home, receiver: Receiver, shared: Path, tmp_path: Path, point: str, tool: str | None, line: str
    ) -> None:
        seed = (shared / "seeds" / "webhook-hook-guide.zh.txt").read_text(encoding="utf-8")
        async with adapter(seed, "DINGTALK_WEBHOOK", receiver.url("/ding"), tmp_path) as url:
            decision = await home.one(url, trigger=point, retries=0).fire(point, tool_name=tool, turn_number=3)
        assert decision.result is Result.OK, home.lines
        text = receiver.at("/ding")[0].body["markdown"]["text"]
        assert f"- 事件: `on_{point}`" in text
        assert f"- 工具: `{line}`" in text
