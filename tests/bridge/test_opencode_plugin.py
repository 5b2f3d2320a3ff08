"""OpenCode's plugin of ours in OpenCode's own runtime (its program is Bun): what it registers, changes and refuses.

The real OpenCode around it is in `test_real_agents`; here are the ways in which it can go wrong, which cost a process
of 40 ms each instead of a whole agent.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hookyard.bridge.dialects import dialect_of
from hookyard.bridge.dialects.base import InstalledLine
from hookyard.bridge.install import Bridge
from hookyard.bridge.plugin_file import PluginFile
from tests.agents.programs import folder_of
from tests.bridge.conftest import Bridged
from tests.hooks.receiver import Received, Receiver, entry

HOST = Path(__file__).with_name("opencode_host.mjs")
CALL = {"tool": "bash", "sessionID": "s1", "callID": "c1"}
Step = tuple[Any, ...]


def before(**args: Any) -> Step:
    return ("tool.execute.before", CALL, {"args": {"command": "echo hi", **args}})


def event(kind: str, **properties: Any) -> Step:
    return ("event", {"type": kind, "properties": {"sessionID": "s1", **properties}})


def failed(call_id: str) -> Step:
    state = {"status": "error", "input": {"command": "echo hi"}, "error": "no such file"}
    return event("message.part.updated", part={"type": "tool", "tool": "bash", "callID": call_id, "state": state})


@dataclass
class Ended:
    """How the steps ended."""

    hooks: list[str]
    steps: list[dict[str, Any]]
    err: str

    @property
    def only(self) -> dict[str, Any]:
        (step,) = self.steps
        return step


@dataclass
class Host:
    """OpenCode's runtime around the plugin that is installed."""

    user: Bridged
    bridge: Bridge

    @property
    def plugin(self) -> PluginFile:
        file = self.bridge.file(dialect_of("opencode"), None)
        assert isinstance(file, PluginFile)
        return file

    def write(self, command: str, *, closed: bool, seconds: int = 60) -> None:
        """A plugin whose gate before tool calls runs a command of our making."""
        dialect = dialect_of("opencode")
        gate = next(event for event in dialect.events if event.name == "tool.execute.before")
        lines = [InstalledLine(gate, command + dialect.closed_tail * closed, seconds)]
        self.plugin.change(lambda settings: dialect.install(settings, lines, lambda _: False))

    async def run(self, *steps: Step) -> Ended:
        process = await asyncio.create_subprocess_exec(
            folder_of("opencode") / "opencode",
            str(HOST),
            str(self.plugin.path),
            str(self.user.project),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(self.user.home.parent), "BUN_BE_BUN": "1"},
        )
        out, err = await asyncio.wait_for(process.communicate(json.dumps(steps).encode()), 120)
        assert process.returncode == 0, err.decode()
        return Ended(**json.loads(out), err=err.decode())


@pytest.fixture
def host(bridged: Bridged) -> Host:
    return Host(bridged, Bridge(bridged.home, bridged.home.parent, {"PATH": os.environ["PATH"]}))


async def test_only_what_a_webhook_listens_to_is_registered(host: Host, receiver: Receiver) -> None:
    host.user.gate(receiver.url())
    host.bridge.install("opencode")
    ended = await host.run(before())
    assert set(ended.hooks) == {"event", "dispose", "tool.execute.before"}
    assert ended.only == {"output": {"args": {"command": "echo hi"}}, "error": None}
    body = receiver.requests[0].body
    assert (body["agent"], body["hook_context"]["session_id"]) == ("opencode", "s1")
    assert (body["context"]["call_id"], body["context"]["working_dir"]) == ("c1", str(host.user.project))


async def test_a_deny_is_thrown_and_a_modification_is_made_in_the_object_that_opencode_keeps(
    host: Host, receiver: Receiver
) -> None:
    host.user.gate(receiver.url())
    host.bridge.install("opencode")
    receiver.answer({"result": "deny", "message": "not on Fridays"})
    assert "not on Fridays" in (await host.run(before())).only["error"]
    receiver.answer({"result": "modify", "modified_content": {"command": "pwd"}})
    ended = await host.run(before(timeout=5))
    assert ended.only == {"output": {"args": {"command": "pwd"}}, "error": None}


BROKEN = {
    "a missing interpreter": "/nowhere/python -S shim.py",
    "another exit code": "exit 3",
    "no JSON": "echo hello",
    "no object": "echo '[1]'",
    "an unknown answer": """echo '{"allow": true}'""",
    "an answer of another hook": """echo '{"text": "x"}'""",
    "killed": "kill -9 $$",
}


@pytest.mark.parametrize("what", BROKEN)
async def test_whatever_goes_wrong_refuses_where_the_gate_is_closed_and_only_there(host: Host, what: str) -> None:
    host.write(BROKEN[what], closed=True)
    assert (await host.run(before())).only["error"]
    host.write(BROKEN[what], closed=False)
    ended = await host.run(before())
    assert ended.only == {"output": {"args": {"command": "echo hi"}}, "error": None}
    assert "could not be asked" in ended.err


async def test_a_command_that_hangs_refuses(host: Host) -> None:
    host.write("exec sleep 600", closed=True, seconds=1)
    assert "no answer in time" in (await host.run(before())).only["error"]


async def test_new_arguments_that_are_no_object_are_never_run(host: Host) -> None:
    for args in ("7", '"ls"', "[]", "null"):
        host.write(f"""echo '{{"args": {args}}}'""", closed=False)
        assert (await host.run(before())).only["error"]


@pytest.mark.parametrize("closed", [True, False])
async def test_a_relay_that_cannot_be_started(host: Host, receiver: Receiver, *, closed: bool) -> None:
    host.user.gate(receiver.url(), on_failure="deny" if closed else "allow")
    host.bridge = replace(host.bridge, interpreter=Path("/nowhere/python"))
    host.bridge.install("opencode")
    ended = await host.run(before())
    assert bool(ended.only["error"]) is closed
    assert receiver.requests == []


async def test_events_are_told_in_order_though_opencode_waits_for_none(host: Host, receiver: Receiver) -> None:
    async def slowly(_: Received) -> dict[str, Any]:
        await asyncio.sleep(0.2)
        return {"result": "ok"}

    receiver.answer(slowly, "/slow")
    host.user.write(entry("slow", "session_start", receiver.url("/slow")), entry("all", "*", receiver.url()))
    host.bridge.install("opencode")
    ended = await host.run(
        event("session.created"),
        ("chat.message", {"sessionID": "s1"}, {"parts": [{"type": "text", "text": "go"}]}),
        before(),
        ("tool.execute.after", {**CALL, "args": {"command": "echo hi"}}, {"output": "hi", "metadata": {"exit": 1}}),
        event("session.error", error={"name": "APIError", "data": {"message": "too many requests"}}),
        event("session.idle"),
        ("dispose",),
    )
    assert not any(step["error"] for step in ended.steps)
    bodies = [request.body for request in receiver.at()]
    assert [body["event"] for body in bodies] == [
        "on_session_start",
        "on_message_received",
        "on_turn_start",
        "on_tool_call_start",
        "pre_tool_execution",
        "post_tool_execution",
        "on_error",
        "on_turn_complete",
        "post_turn",
        "on_session_end",
    ]
    assert bodies[5]["result_context"]["success"] is False
    assert bodies[6]["context"]["error_message"] == "too many requests"
    assert bodies[7]["context"]["result_type"] == "Failed"


async def test_a_failed_call_is_told_once_and_a_refused_one_not_at_all(host: Host, receiver: Receiver) -> None:
    host.user.gate(receiver.url(), "pre_tool,post_tool")
    host.bridge.install("opencode")
    receiver.answer(lambda got: {"result": "deny" if got.body["event"] == "pre_tool_execution" else "ok"})
    await host.run(before(), failed("c1"), failed("c2"), failed("c2"), ("dispose",))
    told = [request.body for request in receiver.requests if request.body["event"] == "post_tool_execution"]
    assert [body["context"]["call_id"] for body in told] == ["c2"]
    assert told[0]["result_context"]["success"] is False
    assert told[0]["result_context"]["result"] == "no such file"


async def test_what_can_refuse_nothing_throws_at_no_shape(host: Host, receiver: Receiver) -> None:
    host.user.gate(receiver.url(), "*", on_failure="deny")
    host.bridge.install("opencode")
    after = ("tool.execute.after", {**CALL, "args": {}})
    ended = await host.run(
        ("event", {}),
        event("message.part.updated", part={"type": "tool"}),
        event("session.error", error=None),
        ("experimental.chat.system.transform", {}, {"system": None}),
        ("experimental.text.complete", {}, None),
        (*after, None),
        (*after, {"content": [None]}),
        ("dispose",),
        before(),
    )
    assert not any(step["error"] for step in ended.steps)
    assert "on_session_end" in [request.body["event"] for request in receiver.requests]


CHANGED: dict[str, tuple[str, Step, Callable[[Any], Any], Any]] = {
    "a message": (
        "message",
        (
            "chat.message",
            {"sessionID": "s1"},
            {"parts": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ),
        lambda output: [part["text"] for part in output["parts"]],
        ["new", ""],
    ),
    "the system prompt": (
        "system_prompt",
        ("experimental.chat.system.transform", {"sessionID": "s1"}, {"system": ["first", "old"]}),
        lambda output: output["system"],
        ["first", "old\n\nnew"],
    ),
    "the model's answer": (
        "model_response",
        ("experimental.text.complete", {"sessionID": "s1"}, {"text": "old"}),
        lambda output: output["text"],
        "new",
    ),
    "a tool's result": (
        "post_tool",
        ("tool.execute.after", {**CALL, "args": {}}, {"output": "old", "metadata": {}}),
        lambda output: output["output"],
        "new",
    ),
    "the result of an MCP server's tool": (
        "post_tool",
        ("tool.execute.after", {**CALL, "args": {}}, {"content": [{"type": "text", "text": "old"}]}),
        lambda output: output["content"],
        [{"type": "text", "text": "new"}],
    ),
}


@pytest.mark.parametrize("what", CHANGED)
async def test_what_a_webhook_may_change(host: Host, receiver: Receiver, what: str) -> None:
    trigger, step, of, expected = CHANGED[what]
    host.user.gate(receiver.url(), trigger)
    host.bridge.install("opencode")
    receiver.answer({"result": "modify", "modified_content": "new"})
    ended = await host.run(step)
    assert ended.only["error"] is None
    assert of(ended.only["output"]) == expected, ended.err


async def test_a_message_refused_is_said_where_opencode_says_nothing(host: Host, receiver: Receiver) -> None:
    host.user.gate(receiver.url(), "message")
    host.bridge.install("opencode")
    receiver.answer({"result": "deny", "message": "say please"})
    ended = await host.run(("chat.message", {"sessionID": "s1"}, {"parts": [{"type": "text", "text": "go"}]}))
    assert "say please" in ended.only["error"]
    assert "say please" in ended.err
