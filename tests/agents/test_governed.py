"""Every kind that runs inside the worker, with real webhooks and a real receiver: order, deny, modify, fail closed."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from hookyard.agents.base import Agent, AgentError, Parts, PromptDeniedError
from hookyard.agents.profiles import make_agent, read_profile
from hookyard.hooks.delivery.egress import Egress
from hookyard.hooks.delivery.guard import Guard
from tests.agents.fakes import FakeRecorder, assignment
from tests.hooks.receiver import Home, Received, Receiver, entry

Make = Callable[[str], Agent]
KINDS = ["dry-run", "command", "http", "built-in"]
START = ["on_session_start", "on_message_received", "on_turn_start"]
END = ["on_turn_complete", "post_turn", "on_session_end"]
CALL = ["on_tool_call_start", "pre_tool_execution", "post_tool_execution"]
BETWEEN = {"built-in": ["system_prompt", "on_model_response", *CALL, "on_model_response"]}
ARGS = {"command": "echo made > made"}


@pytest.fixture
async def make(receiver: Receiver, script: Callable[..., str]) -> AsyncIterator[Make]:
    egress = Egress(Guard.for_server([ip_network("127.0.0.1/32")]))
    receiver.answer(lambda _: web.Response(text="done"), "/agent")
    configured: dict[str, dict[str, Any]] = {
        "dry-run": {},
        "command": {"argv": ["sh", "-c", "cat > made; echo done"]},
        "http": {"url": receiver.url("/agent")},
        "built-in": {"model": script({"tool": "bash", "args": ARGS}, {"text": "done"})},
        "acp": {"command": [sys.executable, str(Path(__file__).with_name("acp_agent.py"))]},
    }

    def make_one(kind: str) -> Agent:
        return make_agent(read_profile({"kind": kind, **configured[kind]}), Parts(egress=egress))

    yield make_one
    await egress.aclose()


def events(receiver: Receiver) -> list[str]:
    return [request.body["event"] for request in receiver.at("/hook")]


@pytest.mark.parametrize("kind", KINDS)
async def test_points_in_order_with_their_cause(
    kind: str, make: Make, work: Path, home: Home, receiver: Receiver, recorder: FakeRecorder
) -> None:
    hooks = home.one(receiver.url(), trigger="*")
    cause = {"eventId": "evt_1", "callbackId": "cb_1", "runId": "run_1"}
    given = assignment(work, run_id="run_1", workspace_id="ws_1", cause=cause)
    await make(kind).run(given, hooks, recorder, None)
    assert events(receiver) == [*START, *BETWEEN.get(kind, []), *END]
    for request in receiver.at("/hook"):
        assert request.body["cause"] == cause
        assert request.body["context"]["turn_number"] == 1
    complete = receiver.at("/hook")[-3].body["context"]
    assert complete["result_type"] == ("UsedTools" if kind == "built-in" else "Responded")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refused_prompt_starts_nothing(
    kind: str, make: Make, work: Path, home: Home, receiver: Receiver, recorder: FakeRecorder
) -> None:
    receiver.answer(lambda got: {"result": "deny", "message": "no"} if "message" in got.body["event"] else {})
    with pytest.raises(PromptDeniedError, match="no"):
        await make(kind).run(assignment(work), home.one(receiver.url(), trigger="*"), recorder, None)
    assert events(receiver) == [*START[:2], "on_error", *END]
    assert not (work / "made").exists()
    assert receiver.at("/agent") == []


@pytest.mark.parametrize("kind", KINDS)
async def test_a_gate_that_cannot_be_asked(
    kind: str, make: Make, work: Path, home: Home, recorder: FakeRecorder
) -> None:
    nobody = "http://127.0.0.1:9/hook"
    await make(kind).run(assignment(work), home.one(nobody, trigger="message", retries=0), recorder, None)
    closed = home.one(nobody, trigger="message", retries=0, on_failure="deny")
    with pytest.raises(PromptDeniedError, match="connection refused"):
        await make(kind).run(assignment(work), closed, recorder, None)


async def test_prompt_and_arguments_modified(
    make: Make, work: Path, home: Home, receiver: Receiver, recorder: FakeRecorder
) -> None:
    def changed(got: Received) -> dict[str, Any]:
        content = {"command": "echo changed > made"} if "tool" in got.body["event"] else "Do it well."
        return {"result": "modify", "modified_content": content}

    receiver.answer(changed)
    hooks = home.one(receiver.url(), trigger="message,pre_tool")
    await make("command").run(assignment(work), hooks, recorder, None)
    assert (work / "made").read_text() == "Do it well."
    await make("built-in").run(assignment(work), hooks, recorder, None)
    assert (work / "made").read_text() == "changed\n"
    told = json.loads(receiver.requests[-1].body["hook_context"]["tool_args"])
    assert told == ARGS, "the webhook saw what the model gave"


async def test_a_chain_of_gates(make: Make, work: Path, home: Home, receiver: Receiver, recorder: FakeRecorder) -> None:
    receiver.answer({"result": "modify", "modified_content": {"command": "touch first"}}, "/first")
    receiver.answer({"result": "deny", "message": "not even so"}, "/second")
    home.write(
        entry("first", "pre_tool", receiver.url("/first"), priority=1)
        + entry("second", "pre_tool", receiver.url("/second"), priority=2)
    )
    await make("built-in").run(assignment(work), home.hooks(), recorder, None)
    assert "touch first" in receiver.at("/second")[0].body["hook_context"]["tool_args"]
    assert recorder.results[0]["result"] == "Denied: not even so"
    assert not (work / "first").exists()
    (_, decision, call_id), *_ = recorder.decisions
    assert [verdict.webhook for verdict in decision.verdicts] == ["first", "second"]
    assert call_id == recorder.calls[0][0]


async def test_acp_does_not_start_under_a_closed_gate(
    make: Make, work: Path, home: Home, receiver: Receiver, recorder: FakeRecorder
) -> None:
    agent = make("acp")
    assert not agent.can_be_gated
    with pytest.raises(AgentError, match="cannot be gated"):
        await agent.run(assignment(work), home.one(receiver.url(), on_failure="deny"), recorder, None)
    await agent.run(assignment(work), home.one(receiver.url()), recorder, None)
    assert (work / "made").exists()
