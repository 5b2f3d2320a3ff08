"""The http kind, against a real endpoint."""

from __future__ import annotations

from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web

from hookyard.agents.base import AgentError, AgentResult, Parts
from hookyard.agents.profiles import Profile, make_agent
from hookyard.hooks.delivery.egress import Egress
from hookyard.hooks.delivery.guard import Guard
from hookyard.hooks.points import Point
from tests.agents.fakes import FakeHooks, FakeRecorder, assignment, modify
from tests.hooks.receiver import Received, Receiver


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    egress = Egress(Guard.for_server([ip_network("127.0.0.1/32")]))
    yield egress
    await egress.aclose()


async def no_wait(seconds: float) -> None:
    pass


async def ask(url: str, egress: Egress, work: Path, hooks: FakeHooks, recorder: FakeRecorder) -> AgentResult:
    agent = make_agent(Profile(kind="http", url=url), Parts(egress=egress, sleep=no_wait))
    given = assignment(work, run_id="run_1", event={"taskId": "task-1", "retryCount": 2})
    return await agent.run(given, hooks, recorder, None)


async def test_the_body_answered_is_the_result(
    work: Path, hooks: FakeHooks, recorder: FakeRecorder, receiver: Receiver, egress: Egress
) -> None:
    hooks.answers[Point.MESSAGE] = modify("做吧")
    receiver.answer(lambda _: web.Response(text="完成\n"))
    result = await ask(receiver.url(), egress, work, hooks, recorder)
    assert result.answer == "完成"
    (request,) = receiver.requests
    assert request.body == {"prompt": "做吧", "run": "run_1", "event": {"taskId": "task-1", "retryCount": 2}}
    assert request.headers["Idempotency-Key"] == "run_1"
    assert request.headers["User-Agent"].startswith("hookyard/")
    assert hooks.points == ["session_start", "message", "turn_start", "turn_complete", "post_turn", "session_end"]
    assert hooks.at(Point.SESSION_START)["agent"] == "http"


async def test_tried_again_under_the_same_key(
    work: Path, hooks: FakeHooks, recorder: FakeRecorder, receiver: Receiver, egress: Egress
) -> None:
    def third_time(_: Received) -> web.Response:
        return web.Response(status=503) if len(receiver.requests) < 3 else web.Response(text="ok")

    receiver.answer(third_time)
    assert (await ask(receiver.url(), egress, work, hooks, recorder)).answer == "ok"
    assert [request.headers["Idempotency-Key"] for request in receiver.requests] == ["run_1"] * 3


@pytest.mark.parametrize(
    ("charset", "answer"),
    [("gbk", "完成".encode("gbk")), ("no-such", "完成".encode()), ("hex", "完成".encode()), ("utf-8", "完成".encode())],
)
async def test_the_answer_is_read_in_its_character_set(
    work: Path,
    hooks: FakeHooks,
    recorder: FakeRecorder,
    receiver: Receiver,
    egress: Egress,
    charset: str,
    answer: bytes,
) -> None:
    receiver.answer(lambda _: web.Response(body=answer, headers={"Content-Type": f"text/plain; charset={charset}"}))
    assert (await ask(receiver.url(), egress, work, hooks, recorder)).answer == "完成"


@pytest.mark.parametrize(("status", "tries"), [(500, 3), (404, 1), (302, 1)])
async def test_given_up(
    work: Path,
    hooks: FakeHooks,
    recorder: FakeRecorder,
    receiver: Receiver,
    egress: Egress,
    status: int,
    tries: int,
) -> None:
    receiver.answer(lambda _: web.Response(status=status, text="no luck", headers={"Location": "http://127.0.0.1/"}))
    with pytest.raises(AgentError, match=f"HTTP {status}: no luck") as caught:
        await ask(receiver.url(), egress, work, hooks, recorder)
    assert caught.value.retry_count == tries - 1
    assert len(receiver.requests) == tries


async def test_an_answer_without_end_is_refused(
    work: Path, hooks: FakeHooks, recorder: FakeRecorder, receiver: Receiver, egress: Egress
) -> None:
    receiver.answer(lambda _: web.Response(body=b"x" * 2_000_000))
    with pytest.raises(AgentError, match="1 MiB"):
        await ask(receiver.url(), egress, work, hooks, recorder)


async def test_private_addresses_are_refused_unless_allowed(
    work: Path, hooks: FakeHooks, recorder: FakeRecorder, receiver: Receiver
) -> None:
    egress = Egress(Guard.for_server())
    with pytest.raises(AgentError, match="127"):
        await ask(receiver.url(), egress, work, hooks, recorder)
    await egress.aclose()
    assert receiver.requests == []


def test_only_where_requests_are_sent() -> None:
    with pytest.raises(AgentError, match="hookyard serve"):
        make_agent(Profile(kind="http", url="https://example.com"), Parts())
