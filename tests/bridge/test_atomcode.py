"""AtomCode's rules for its hooks, kept by a double, with the installed lines and the real relay."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from aiohttp import web

from hookyard.bridge.install import Bridge
from tests.bridge.atomcode_double import BROKEN, AtomCode
from tests.bridge.breaking import BREAKS, Apart
from tests.bridge.conftest import Bridged
from tests.hooks.receiver import Receiver

ARGS = {"command": "rm -rf build"}


@pytest.fixture
def apart(bridged: Bridged, tmp_path: Path) -> Apart:
    user = bridged.home.parent
    environ = {"PATH": os.environ["PATH"], "HOME": str(user)}
    return Apart.of(Bridge(bridged.home, user, environ), tmp_path / "parts")


@pytest.fixture
def atomcode(bridged: Bridged, apart: Apart) -> AtomCode:
    return AtomCode(apart.user, bridged.project, apart.environ)


async def test_denied_whatever_the_reason_sounds_like(
    bridged: Bridged, apart: Apart, atomcode: AtomCode, receiver: Receiver
) -> None:
    bridged.gate(receiver.url(), "pre_tool,message")
    apart.install("atomcode")
    for reason in ("not on Fridays", *BROKEN):
        receiver.answer({"result": "deny", "message": reason})
        assert await atomcode.call(ARGS) == (f"Denied: {reason}", ARGS)
        assert await atomcode.prompt("go") == f"Denied: {reason}"
    receiver.answer({"result": "ok"})
    assert await atomcode.call(ARGS) == (None, ARGS)
    assert await atomcode.prompt("go") is None


async def test_modified(bridged: Bridged, apart: Apart, atomcode: AtomCode, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    receiver.answer({"result": "modify", "modified_content": {"command": "pwd"}})
    apart.install("atomcode", allow_modify=True)
    assert await atomcode.call(ARGS) == (None, {"command": "pwd"})
    refused, _ = await atomcode.call("rm -rf build")
    assert "were not an object" in str(refused)


@pytest.mark.parametrize("broken", BREAKS)
async def test_a_broken_installation_refuses_where_it_is_closed_and_only_there(
    bridged: Bridged, apart: Apart, atomcode: AtomCode, receiver: Receiver, broken: str
) -> None:
    bridged.gate(receiver.url(), "pre_tool,message", on_failure="deny")
    apart.install("atomcode")
    assert await atomcode.call(ARGS) == (None, ARGS)
    asked = len(receiver.requests)
    BREAKS[broken](apart)
    refused, _ = await atomcode.call(ARGS)
    assert "could not be asked" in str(refused)
    assert "could not be asked" in str(await atomcode.prompt("go"))
    assert len(receiver.requests) == asked


async def test_a_failing_webhook_and_a_shell_that_prints(
    bridged: Bridged, apart: Apart, atomcode: AtomCode, receiver: Receiver
) -> None:
    receiver.answer(lambda _: web.Response(status=500))
    bridged.gate(receiver.url(), "pre_tool", retries=0, on_failure="deny")
    path = apart.install("atomcode").path
    quiet = path.read_text()
    for noise in ("echo noise; ", "printf noise; ", "printf [; ", "echo {}; "):
        settings = json.loads(quiet)
        for one in settings["hooks"].values():
            one["command"] = noise + one["command"]
        path.write_text(json.dumps(settings))
        refused, _ = await atomcode.call(ARGS)
        assert "500" in str(refused)
        apart.folder.rename(apart.folder.with_name("gone"))
        refused, _ = await atomcode.call(ARGS)
        assert "could not be asked" in str(refused)
        apart.folder.with_name("gone").rename(apart.folder)
