"""`hooks listen`: shows what arrives, answers what it is told, saves it, and lets nothing through to the terminal."""

from __future__ import annotations

import asyncio
import io
import json
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hookyard.core.clock import SystemClock
from hookyard.core.errors import InvalidError
from hookyard.hooks.delivery import signing
from hookyard.hooks.formats import all_formats
from hookyard.hooks.formats.base import DeliveryVerdict, Target
from hookyard.hooks.listen import Listening, listen
from hookyard.hooks.points import Point
from hookyard.hooks.redaction.secret_rules import Action, named
from tests.hooks.bodies import BODIES

BODY = BODIES[Point.PRE_TOOL]


@dataclass
class Talk:
    url: str
    session: aiohttp.ClientSession
    printed: list[str] = field(default_factory=list)

    async def post(self, body: object, headers: dict[str, str] | None = None, path: str = "hook") -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.session.post(self.url + path, data=data, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith("{") else text

    @property
    def text(self) -> str:
        return "\n".join(self.printed)


@asynccontextmanager
async def talking(listening: Listening) -> AsyncIterator[Talk]:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    printed: list[str] = []
    task = asyncio.create_task(listen(listening, printed.append, SystemClock(), ready.set_result))
    async with aiohttp.ClientSession() as session:
        yield Talk(await ready, session, printed)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_it_shows_the_request_and_says_ok() -> None:
    async with talking(Listening()) as talk:
        assert await talk.post(BODY, {"webhook-id": "dlv_1", "X-Team": "shop"}) == (200, {"result": "ok"})
    assert "POST /hook  pre_tool_execution bash from claude-code" in talk.text
    assert "webhook-id: dlv_1" in talk.text
    assert '"tool_name": "bash"' in talk.text
    assert '→ 200 {"result": "ok"}' in talk.text
    assert "\x1b" not in talk.text


@pytest.mark.parametrize(
    ("listening", "status", "answer"),
    [
        (Listening(answer="deny", message="no rm"), 200, {"result": "deny", "message": "no rm"}),
        (Listening(answer="warning", message="hm"), 200, {"result": "warning", "message": "hm"}),
        (
            Listening(answer="modify", content='{"command":"ls"}'),
            200,
            {"result": "modify", "modified_content": '{"command":"ls"}'},
        ),
        (Listening(status=503), 503, {"result": "ok"}),
    ],
)
async def test_it_answers_what_it_is_told(listening: Listening, status: int, answer: object) -> None:
    async with talking(listening) as talk:
        assert await talk.post(BODY) == (status, answer)


async def test_it_waits_as_long_as_it_is_told() -> None:
    async with talking(Listening(delay_seconds=0.2)) as talk:
        started = time.monotonic()
        await talk.post(BODY)
        assert time.monotonic() - started >= 0.2


async def test_the_rules_go_before_the_answer() -> None:
    secret = "AKIA" + "Q3EGUZ4KQ7NDHOZ2"
    leak = {**BODY, "context": {"tool_args": json.dumps({"command": f"echo {secret}"})}}
    listening = Listening(rules=(named("secrets"),), action=Action.DENY, answer="warning", message="by default")
    async with talking(listening) as talk:
        assert await talk.post(leak) == (
            200,
            {"result": "deny", "message": "found in the tool arguments: AWS Access Key"},
        )
        assert await talk.post(BODY) == (200, {"result": "warning", "message": "by default"})
        wrapped = {"specversion": "1.0", "data": leak}
        assert (await talk.post(wrapped))[1]["result"] == "deny"


async def test_signatures_are_verified_with_any_of_the_secrets() -> None:
    data = json.dumps(BODY).encode()
    async with talking(Listening(secrets=("new secret", "old secret"))) as talk:
        await talk.post(data, signing.headers(["old secret"], "dlv_1", int(time.time()), data))
        await talk.post(data, signing.headers(["another"], "dlv_1", int(time.time()), data))
        await talk.post(data)
    first, second, third = talk.printed
    assert "signature valid" in first
    assert "signature not valid: the signature is of another secret" in second
    assert "signature not valid: no webhook-id" in third


async def test_requests_are_saved_as_fixtures_without_credentials(tmp_path: Path) -> None:
    directory = tmp_path / "new" / "fixtures"
    async with talking(Listening(save=directory)) as talk:
        await talk.post(BODY, {"Authorization": "Bearer t0p", "X-Api-Key": "t0p"})
        await talk.post(b"not json", path="../../etc/passwd?x=1")
        await talk.post({"event": "../../evil"})
    names = sorted(path.name for path in directory.iterdir())
    assert names == ["0001-pre_tool_execution.json", "0002-request.json", "0003-evil.json"]
    fixture = json.loads((directory / names[0]).read_text())
    assert fixture["body"] == BODY
    assert fixture["headers"]["Authorization"] == "***"
    assert fixture["answer"] == {"status": 200, "body": {"result": "ok"}}
    assert "t0p" not in talk.text + (directory / names[0]).read_text()


@pytest.mark.parametrize("name", ["slack", "dingtalk", "wecom", "feishu", "discord", "teams"])
async def test_messages_of_chat_services_are_named_and_answered_as_they_would(name: str) -> None:
    made = all_formats()[name]
    async with talking(Listening()) as talk:
        request = made.build(BODY, Target(talk.url, now=time.time()))
        async with talk.session.post(talk.url, data=request.body, headers=request.headers) as response:
            judged = made.judge(response.status, response.headers, await response.read(), time.time())
    assert judged.outcome is DeliveryVerdict.OK
    assert f"{name} message" in talk.text.lower()


async def test_batches_are_shown_with_their_events() -> None:
    async with talking(Listening()) as talk:
        await talk.post({"events": [{"event": "on_error"}, {"event": "post_turn"}, 5]})
    assert "batch of 3: on_error, post_turn" in talk.text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1b[2Jcleared \x07 \x9b31m",
        json.dumps({"event": "a\x1b[2J\u202eb", "agent": "\x1b]0;title\x07"}).encode(),
        '{"text": "\u009b31m \u202e"}'.encode(),
        b"\xff\xfe" * 1000,
        b"[" * 100_000,
        json.dumps({"event": "x" * 1_000_000}).encode(),
    ],
)
async def test_hostile_bodies_reach_no_terminal_and_stay_short(data: bytes) -> None:
    async with talking(Listening()) as talk:
        status, _ = await talk.post(data, {"X-Odd": "tab\there"})
    assert status == 200
    assert len(talk.text) < 20_000
    assert not set(talk.text) & set("\x1b\x07\x9b\u202e")


async def test_a_body_beyond_the_bound_is_refused() -> None:
    body = io.BytesIO(b"x" * (11 * 1024 * 1024))
    async with talking(Listening()) as talk, talk.session.post(talk.url, data=body) as response:
        assert response.status == 413
    assert "413" in talk.text


async def test_colours_are_for_terminals() -> None:
    async with talking(Listening(colour=True, answer="deny")) as talk:
        await talk.post(BODY)
    assert "\x1b[31m" in talk.text


async def test_a_port_in_use_is_said_plainly() -> None:
    async with talking(Listening()) as talk:
        port = int(talk.url.rsplit(":", 1)[1].rstrip("/"))
        with pytest.raises(InvalidError, match=r"cannot listen \(it is in use: give another --port"):
            await listen(Listening(port=port), print, SystemClock())


@pytest.mark.parametrize(
    "wrong", [{"answer": "maybe"}, {"answer": "modify"}, {"status": 99}, {"delay_seconds": math.nan}]
)
def test_wrong_wishes_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidError):
        Listening(**wrong)


@pytest.mark.parametrize(("host", "hint"), [("203.0.113.7", "no such address"), ("a..host", "such as 127.0.0.1")])
async def test_an_address_that_cannot_be_used_is_said_plainly(host: str, hint: str) -> None:
    with pytest.raises(InvalidError, match="cannot listen") as refused:
        await listen(Listening(host=host), print, SystemClock())
    assert str(refused.value).startswith(f"{host}:0: ")
    assert hint in str(refused.value)


async def test_a_folder_that_cannot_be_made_is_no_matter_of_the_port(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidError, match=r"the folder cannot be made: .*give another with --save"):
        await listen(Listening(save=tmp_path / "file" / "below"), print, SystemClock())
