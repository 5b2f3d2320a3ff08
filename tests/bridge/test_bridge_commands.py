"""`hookyard bridge …`, as a person types it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from hookyard.bridge.install import Bridge
from tests.bridge.conftest import PRE, Bridged
from tests.hooks.receiver import Receiver


async def type_in(bridged: Bridged, *words: str, stdin: Any = None) -> tuple[int, str, str]:
    environ = {"PATH": os.environ["PATH"], "HOME": str(bridged.home.parent), "HOOKYARD_HOME": str(bridged.home)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hookyard.cli",
        "bridge",
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=bridged.project,
        env=environ,
    )
    out, err = await process.communicate(b"" if stdin is None else json.dumps(stdin).encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_install_status_uninstall(bridged: Bridged, receiver: Receiver) -> None:
    code, out, err = await type_in(bridged, "install", "claude-code")
    assert (code, out) == (1, "")
    assert "no webhook is configured" in err
    bridged.gate(receiver.url(), on_failure="deny")
    code, out, _ = await type_in(bridged, "install", "claude-code")
    assert code == 0
    assert "hooked: PreToolUse" in out
    assert "closed: PreToolUse" in out
    code, out, _ = await type_in(bridged, "status")
    assert code == 0
    assert "claude-code (user): PreToolUse" in out
    assert "relay: answers" in out
    code, out, _ = await type_in(bridged, "status", "--json")
    assert json.loads(out)["reached"] is True
    code, out, _ = await type_in(bridged, "uninstall", "claude-code")
    assert "restored" in out
    assert "Nothing is installed" in (await type_in(bridged, "status"))[1]


async def test_run_answers_without_a_relay(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    receiver.answer({"result": "deny", "message": "no"})
    assert await type_in(bridged, "run", "claude-code", "PreToolUse", stdin=PRE) == (2, "", "Denied: no\n")
    assert Bridge(bridged.home, bridged.home, {}).relay_pid() is None
    code, out, err = await type_in(bridged, "run", "claude-code", "PreToolUse", "--closed", stdin=[])
    assert (code, out) == (2, "")
    assert "no object" in err


async def test_wrong_usage(bridged: Bridged) -> None:
    assert (await type_in(bridged, "install", "emacs"))[0] == 2
    assert (await type_in(bridged, "install", "codex", "--user", "--project", "."))[0] == 2
