"""`hooks listen`, `deliveries` and `replay`, as a user runs them: real processes, a real receiver, a real home."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.hooks.receiver import Home, Receiver, entry


async def started(home: Home, *arguments: str, **environ: str) -> Process:
    variables = {**os.environ, "HOOKYARD_HOME": str(home.path), "ATOMCODE_HOME": str(home.path / "atomcode"), **environ}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "hookyard.cli",
        "hooks",
        *arguments,
        stdout=PIPE,
        stderr=PIPE,
        env=variables,
        cwd=home.path,
    )


async def ran(home: Home, *arguments: str) -> tuple[int, str, str]:
    process = await started(home, *arguments)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def dead_letter(home: Home, receiver: Receiver) -> str:
    """A background delivery that was refused; its id."""
    receiver.answer(lambda _: web.Response(status=400, text="no"))
    hooks = home.one(receiver.url(), trigger="post_tool", name="audit", mode="background", retries=0)
    await hooks.fire(
        "post_tool", tool_name="bash", tool_args={"command": "ls"}, result="x", success=True, duration_ms=1
    )
    await hooks.aclose()
    return receiver.at()[0].headers["webhook-id"]


async def test_deliveries_are_listed_shown_and_replayed(home: Home, receiver: Receiver) -> None:
    delivery_id = await dead_letter(home, receiver)
    code, out, _ = await ran(home, "deliveries")
    assert code == 0
    assert f"{delivery_id}  " in out
    assert "dead" in out
    assert "audit" in out
    assert "HTTP 400" in out

    _, out, _ = await ran(home, "deliveries", delivery_id)
    assert "attempt 1 at 20" in out
    assert '"tool_name": "bash"' in out
    _, out, _ = await ran(home, "deliveries", "--state", "dead", "--webhook", "audit", "--json")
    assert [row["id"] for row in json.loads(out)] == [delivery_id]
    _, out, _ = await ran(home, "deliveries", "--webhook", "other")
    assert out == "No deliveries.\n"

    code, out, err = await ran(home, "replay", delivery_id)
    assert code == 1  # the receiver still refuses
    assert f"{delivery_id}: dead" in out
    assert "HTTP 400" in err
    receiver.answer({"result": "ok"})
    code, out, _ = await ran(home, "replay", delivery_id)
    assert code == 0
    assert f"{delivery_id}: delivered" in out
    ids = [received.headers["webhook-id"] for received in receiver.at()]
    assert ids == [delivery_id] * 3


async def test_looking_at_nothing_makes_nothing(home: Home) -> None:
    code, out, _ = await ran(home, "deliveries", "--json")
    assert (code, json.loads(out)) == (0, [])
    assert not list(home.path.iterdir())


async def test_an_unknown_delivery_is_said_plainly(home: Home) -> None:
    for command in ("deliveries", "replay"):
        code, _, err = await ran(home, command, "dlv_0")
        assert code == 1
        assert err == "hookyard: dlv_0: no such delivery (hookyard hooks deliveries lists them)\n"


@asynccontextmanager
async def listening(home: Home, *arguments: str, **environ: str) -> AsyncIterator[tuple[str, list[str]]]:
    """A running `hooks listen`: its address, and what it printed once it was interrupted."""
    process = await started(home, "listen", "--port", "0", *arguments, **environ)
    assert process.stdout is not None
    first = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    printed: list[str] = []
    try:
        yield first.split()[2], printed
    finally:
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 60)
        printed += [first, out.decode(), err.decode()]
    assert process.returncode == 0, printed


async def test_listen_shows_what_an_agent_sends_and_gates_it(home: Home, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    told = ("--answer", "deny", "--message", "not on Fridays", "--save", str(saved))
    async with listening(home, *told, HOOKYARD_LISTEN_SECRET="friday") as (url, printed):
        home.write(entry("debug", "pre_tool", url, secret="friday"))
        decision = await home.hooks().fire("pre_tool", tool_name="bash", tool_args={"command": "rm -rf /"})
    assert decision.denied
    assert decision.message == "not on Fridays"
    text = "".join(printed)
    assert '[[webhooks]]\n  name = "debug"' in text
    assert "pre_tool_execution bash from hookyard" in text
    assert "signature valid" in text
    assert '→ 200 {"result": "deny", "message": "not on Fridays"}' in text
    assert [path.name for path in saved.iterdir()] == ["0001-pre_tool_execution.json"]


async def test_listen_with_rules_validates_responses(home: Home) -> None:
    key = "AKIA" + "Q3EGUZ4KQ7NDHOZ2"
    async with listening(home, "--rules", "secrets") as (url, _):
        home.write(entry("guard", "model_response,pre_tool", url))
        hooks = home.hooks()
        response = await hooks.fire("model_response", response=f"Use {key}.", model_name="m")
        call = await hooks.fire("pre_tool", tool_name="bash", tool_args={"command": f"echo {key}"})
        clean = await hooks.fire("pre_tool", tool_name="bash", tool_args={"command": "ls"})
    assert response.content == "Use [secret removed]."
    assert call.denied
    assert "AWS Access Key" in call.message
    assert key not in call.message
    assert clean.result == "ok"


async def test_listen_answers_a_slack_shaped_message_as_slack_does(home: Home) -> None:
    async with listening(home) as (url, printed):
        home.write(entry("team", "pre_tool", url, format="slack"))
        await home.hooks().fire("pre_tool", tool_name="bash", tool_args={"command": "ls"})
    assert "Slack message" in "".join(printed)
    assert home.lines == []


async def test_listen_refuses_wrong_wishes_as_wrong_usage(home: Home) -> None:
    code, _, err = await ran(home, "listen", "--rules", "secret")
    assert code == 2
    assert "--rules: there is no rule 'secret' (did you mean secrets?)" in err
    assert err.count("\n") == 1
    code, _, err = await ran(home, "listen", "--answer", "modify")
    assert code == 2
    assert "give it with --content" in err


async def test_a_taken_port_is_said_plainly(home: Home, receiver: Receiver) -> None:
    code, _, err = await ran(home, "listen", "--port", str(receiver.port))
    assert code == 1
    assert "cannot listen" in err
