"""Events through the real shim and the real relay, with real webhooks; every way in which it can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import select
import signal
import socket
import stat
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from hookyard.bridge import shim
from hookyard.hooks.config.trust import Trust
from tests.bridge.conftest import PRE, Bridged
from tests.hooks.receiver import Received, Receiver, entry


async def test_deny_modify_and_ok(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    assert (await bridged.hook("claude-code", "PreToolUse", PRE)).said is None
    receiver.answer({"result": "deny", "message": "not on Fridays"})
    denied = await bridged.hook("claude-code", "PreToolUse", PRE)
    assert "not on Fridays" in denied.refused
    receiver.answer({"result": "modify", "modified_content": {"command": "pwd"}})
    modified = await bridged.hook("claude-code", "PreToolUse", PRE)
    assert modified.said["hookSpecificOutput"] == {"hookEventName": "PreToolUse", "updatedInput": {"command": "pwd"}}
    body = receiver.requests[0].body
    assert body["agent"] == "claude-code"
    assert body["context"]["call_id"] == "toolu_1"
    assert body["context"]["working_dir"] == str(bridged.project)


async def test_an_agent_does_not_unhook_itself_or_another(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    user = bridged.home.parent
    for path in (
        user / ".claude/settings.json",
        bridged.project / ".claude/settings.json",
        user / ".codex/config.toml",
    ):
        native = {**PRE, "tool_name": "Write", "tool_input": {"file_path": str(path), "content": "{}"}}
        denied = await bridged.hook("claude-code", "PreToolUse", native)
        assert "a person has to change it" in denied.refused
    assert receiver.requests == []
    native = {**PRE, "tool_name": "Read", "tool_input": {"file_path": str(user / ".claude/settings.json")}}
    assert (await bridged.hook("claude-code", "PreToolUse", native)).said is None


async def test_a_warning_reaches_the_user(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    receiver.answer({"result": "warning", "message": "careful"})
    ended = await bridged.hook("claude-code", "PreToolUse", PRE)
    assert "careful" in ended.said["systemMessage"]
    assert "careful" in ended.err


async def test_both_points_before_a_tool_and_the_second_sees_what_the_first_made(
    bridged: Bridged, receiver: Receiver
) -> None:
    bridged.write(entry("a", "tool_call_start", receiver.url("/a")), entry("b", "pre_tool", receiver.url("/b")))
    receiver.answer({"result": "modify", "modified_content": {"command": "pwd"}}, "/a")
    ended = await bridged.hook("claude-code", "PreToolUse", PRE)
    assert [request.body["event"] for request in receiver.requests] == ["on_tool_call_start", "pre_tool_execution"]
    assert receiver.at("/b")[0].body["context"]["tool_args"] == '{"command": "pwd"}'
    assert ended.said["hookSpecificOutput"]["updatedInput"] == {"command": "pwd"}


async def test_turns_calls_and_durations_are_counted(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url(), "*")
    said = {"session_id": "s1"}
    for _ in range(2):
        await bridged.hook("claude-code", "UserPromptSubmit", {**said, "prompt": "go"})
        await bridged.hook("claude-code", "PreToolUse", PRE)
        await bridged.hook("claude-code", "PostToolUse", {**PRE, "tool_response": {"stdout": "hi"}})
        await bridged.hook("claude-code", "Stop", said)
    bodies = [request.body for request in receiver.requests]
    assert [body["event"] for body in bodies[:7]] == [
        "on_message_received",
        "on_turn_start",
        "on_tool_call_start",
        "pre_tool_execution",
        "post_tool_execution",
        "on_turn_complete",
        "post_turn",
    ]
    assert [body["context"]["turn_number"] for body in bodies] == [1] * 7 + [2] * 7
    assert bodies[4]["result_context"]["duration_ms"] > 0
    assert bodies[4]["result_context"]["result"] == '{"stdout": "hi"}'
    done = bodies[5]["context"]
    assert (done["result_type"], done["tool_calls"]) == ("UsedTools", 1)
    assert done["duration_ms"] > bodies[4]["result_context"]["duration_ms"]


async def test_a_modified_result_where_it_can_be_and_a_warning_elsewhere(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url(), "post_tool")
    receiver.answer({"result": "modify", "modified_content": "hidden"})
    native = {**PRE, "tool_response": {"stdout": "secret", "stderr": ""}}
    claude = await bridged.hook("claude-code", "PostToolUse", native)
    assert claude.said["hookSpecificOutput"]["updatedToolOutput"] == {"stdout": "hidden", "stderr": ""}
    codex = await bridged.hook("codex", "PostToolUse", native)
    assert "stays as it is" in codex.said["systemMessage"]
    failed = await bridged.hook("claude-code", "PostToolUseFailure", {**PRE, "error": "secret"})
    assert "stays as it is" in failed.said["systemMessage"]


async def test_a_modified_prompt_is_blocked(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url(), "message,turn_start")
    receiver.answer({"result": "modify", "modified_content": "no secrets"})
    ended = await bridged.hook("claude-code", "UserPromptSubmit", {"session_id": "s", "prompt": "my secret"})
    assert "changed the message" in ended.refused
    assert [request.body["event"] for request in receiver.requests] == ["on_message_received"]


async def test_codex_asks_for_allow_modify(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    receiver.answer({"result": "modify", "modified_content": {"command": "pwd"}})
    assert "--allow-modify" in (await bridged.hook("codex", "PreToolUse", PRE)).refused
    allowed = await bridged.hook("codex", "PreToolUse", PRE, mode="csm")
    assert allowed.said["hookSpecificOutput"]["permissionDecision"] == "allow"
    bypassing = await bridged.hook("codex", "PreToolUse", {**PRE, "permission_mode": "bypassPermissions"})
    assert bypassing.said["hookSpecificOutput"]["updatedInput"] == {"command": "pwd"}


async def test_copilot_is_not_asked_about_twice(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    receiver.answer({"result": "deny", "message": "no"})
    args = {"command": "echo hi"}
    own = {"sessionId": "s1", "timestamp": 1, "toolName": "bash", "toolArgs": args}
    claudes = {"session_id": "s1", "timestamp": "2026-11-21T10:51:25Z", "tool_name": "Bash", "tool_input": args}
    first, second = await asyncio.gather(
        bridged.hook("copilot", "preToolUse", own), bridged.hook("claude-code", "PreToolUse", claudes)
    )
    assert json.loads(first.out)["permissionDecision"] == "deny"
    assert second.code == 2
    assert len(receiver.requests) == 1
    await bridged.hook("copilot", "preToolUse", own)
    assert len(receiver.requests) == 2


async def test_a_user_s_open_line_and_a_project_s_closed_one_ask_once(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url(), "message,pre_tool")
    receiver.answer({"result": "deny", "message": "not on Fridays"})
    for event, native in (("PreToolUse", PRE), ("UserPromptSubmit", {"session_id": "s1", "prompt": "go"})):
        receiver.requests.clear()
        both = await asyncio.gather(
            *(bridged.hook("claude-code", event, native, mode=mode) for mode in ("s", "cs")),
        )
        assert all("not on Fridays" in ended.refused for ended in both)
        assert len(receiver.requests) == 1


async def test_where_a_prompt_cannot_be_blocked_its_calls_are(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url(), "message")
    receiver.answer({"result": "deny", "message": "say please"})
    call = {"sessionId": "s1", "toolName": "bash", "toolArgs": {"command": "echo hi"}}
    assert (await bridged.hook("copilot", "userPromptSubmitted", {"sessionId": "s1", "prompt": "go"})).code == 2
    denied = await bridged.hook("copilot", "preToolUse", call)
    assert "say please" in json.loads(denied.out)["permissionDecisionReason"]
    receiver.answer({"result": "ok"})
    await bridged.hook("copilot", "userPromptSubmitted", {"sessionId": "s1", "prompt": "please go"})
    assert (await bridged.hook("copilot", "preToolUse", call)).said is None


async def test_a_session_stays_with_its_project(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    (bridged.project / ".hookyard").mkdir()
    file = bridged.project / ".hookyard" / "hooks.toml"
    file.write_text(entry("own", "pre_tool", receiver.url("/project")))
    Trust(bridged.home).trust(file, file.read_text())
    deep = bridged.project / "src" / "deep"
    deep.mkdir(parents=True)
    await bridged.hook("claude-code", "PreToolUse", {**PRE, "cwd": str(deep)})
    await bridged.hook("claude-code", "PreToolUse", {**PRE, "cwd": "/"})
    assert len(receiver.at("/project")) == 2
    await bridged.hook("claude-code", "PreToolUse", {**PRE, "session_id": "s2", "cwd": "/"})
    assert len(receiver.at("/project")) == 2


async def test_changed_files_are_seen(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url("/old"))
    await bridged.hook("claude-code", "PreToolUse", PRE)
    pid = bridged.relay_pid
    bridged.gate(receiver.url("/new"))
    for _ in range(50):
        await bridged.hook("claude-code", "PreToolUse", PRE)
        if receiver.at("/new"):
            break
    assert receiver.at("/new")
    assert bridged.relay_pid == pid


# --- closed means closed ------------------------------------------------------------------------------------------


async def test_a_missing_interpreter_blocks(bridged: Bridged) -> None:
    ended = await bridged.hook("claude-code", "PreToolUse", PRE, interpreter="/nowhere/python")
    assert ended.code == 2


async def test_a_missing_shim_blocks(bridged: Bridged) -> None:
    line = bridged.line("claude-code", "PreToolUse").replace("shim.py", "gone.py")
    assert (await bridged.run(line, PRE)).code == 2


async def test_a_relay_that_cannot_start_blocks(bridged: Bridged) -> None:
    (bridged.folder / "lock").mkdir()
    closed, opened = await asyncio.gather(
        bridged.hook("claude-code", "PreToolUse", PRE, seconds=1.5),
        bridged.hook("claude-code", "PreToolUse", PRE, seconds=1.5, mode="s"),
    )
    assert closed.code == 2
    assert "no answer in time" in closed.err
    assert opened.code == 0
    assert opened.out == ""


async def test_a_missing_folder_blocks(bridged: Bridged) -> None:
    bridged.folder.rmdir()
    assert (await bridged.hook("claude-code", "PreToolUse", PRE)).code == 2
    assert (await bridged.hook("claude-code", "PreToolUse", PRE, mode="s")).code == 0


async def test_a_relay_that_says_nothing_or_nonsense_blocks(bridged: Bridged) -> None:
    for answer in (b"", b"0 0 0", b"0 9 0\n{}", b"hello\n", b"0 0\n", None):
        server = socket.socket(socket.AF_UNIX)
        path = bridged.folder / "relay.sock"
        path.unlink(missing_ok=True)
        with contextlib.chdir(bridged.folder):  # a socket's path may be short only
            server.bind("relay.sock")
        server.listen()

        shown = threading.Event()

        def serve(
            server: socket.socket = server, answer: bytes | None = answer, shown: threading.Event = shown
        ) -> None:
            with server, server.accept()[0] as talk:
                while talk.recv(65_536):
                    pass
                if answer is None:
                    shown.wait(10)
                else:
                    talk.sendall(answer)

        thread = asyncio.create_task(asyncio.to_thread(serve))
        ended = await bridged.hook("claude-code", "PreToolUse", PRE, seconds=1.0)
        assert (ended.code, ended.out) == (2, ""), answer
        assert "could not be asked" in ended.err
        shown.set()
        await thread


async def test_a_dead_a_slow_and_an_unknown_answer_block(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate("http://127.0.0.1:9/", on_failure="deny", retries=0)
    assert "refused" in (await bridged.hook("claude-code", "PreToolUse", PRE)).refused

    answers = asyncio.Event()

    async def slowly(_: Received) -> web.StreamResponse:
        await answers.wait()
        return web.json_response({"result": "ok"})

    bridged.end_relay()
    bridged.gate(receiver.url(), on_failure="deny", retries=0)
    receiver.answer(slowly)
    slow = await bridged.hook("claude-code", "PreToolUse", PRE, seconds=2)
    assert slow.code == 2
    assert "in time" in slow.err
    answers.set()
    receiver.answer(lambda _: web.Response(text="<html>"))
    assert (await bridged.hook("claude-code", "PreToolUse", PRE)).refused
    receiver.answer({"result": "maybe"})
    assert (await bridged.hook("claude-code", "PreToolUse", PRE)).refused


UNREADABLE = [
    b"no json",
    b"[1]",
    b"\xff\xfe",
    b"",
    json.dumps({**PRE, "tool_name": None}).encode(),
    b'"' + b"x" * (17 << 20) + b'"',
]


@pytest.mark.parametrize("native", UNREADABLE, ids=["text", "list", "bytes", "nothing", "no tool", "too large"])
async def test_an_event_that_cannot_be_read_is_refused_where_a_gate_is_closed_now(
    bridged: Bridged, receiver: Receiver, native: bytes
) -> None:
    bridged.gate(receiver.url(), on_failure="deny")
    assert (await bridged.hook("claude-code", "PreToolUse", native, mode="s")).refused.startswith("hookyard: the event")
    seen = await bridged.hook("claude-code", "PostToolUse", native, mode="s")
    assert (seen.code, seen.out) == (0, ""), "nothing can be refused there"
    bridged.end_relay()
    bridged.gate(receiver.url())
    assert (await bridged.hook("claude-code", "PreToolUse", native, mode="s")).code == 0
    assert receiver.requests == []


async def test_an_event_that_cannot_be_read_is_of_its_session_s_project(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    (bridged.project / ".hookyard").mkdir()
    file = bridged.project / ".hookyard" / "hooks.toml"
    file.write_text(entry("own", "pre_tool", receiver.url("/project"), on_failure="deny"))
    Trust(bridged.home).trust(file, file.read_text())
    elsewhere = bridged.home.parent / "elsewhere"
    elsewhere.mkdir()
    broken = {**PRE, "tool_name": 7, "cwd": str(elsewhere)}
    assert (await bridged.hook("claude-code", "PreToolUse", {**PRE, "cwd": str(bridged.project)}, mode="s")).code == 0
    refused = await bridged.run(f"cd / && {bridged.line('claude-code', 'PreToolUse', mode='s')}", broken)
    assert "no tool_name" in refused.refused
    other = {**broken, "session_id": "s2"}
    assert (await bridged.run(f"cd / && {bridged.line('claude-code', 'PreToolUse', mode='s')}", other)).code == 0


async def test_where_prompts_cannot_be_refused_a_closed_message_gate_refuses_a_call_that_cannot_be_read(
    bridged: Bridged, receiver: Receiver
) -> None:
    bridged.gate(receiver.url(), "message", on_failure="deny")
    assert (await bridged.hook("copilot", "preToolUse", {"toolName": ""}, mode="s")).code == 2
    assert (await bridged.hook("gemini", "BeforeTool", {"tool_name": ""}, mode="s")).code == 0


async def test_open_gates_let_pass(bridged: Bridged) -> None:
    bridged.gate("http://127.0.0.1:9/", retries=0)
    ended = await bridged.hook("claude-code", "PreToolUse", PRE, mode="s")
    assert ended.said == {"systemMessage": "gate: connection refused"}
    assert "[Hook Warning] gate: connection refused at attempt 1" in ended.err


async def test_unknown_agents_events_and_huge_input(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    assert (await bridged.hook("emacs", "PreToolUse", PRE)).code == 2
    assert (await bridged.hook("claude-code", "SomethingNew", PRE)).said is None
    assert (await bridged.hook("claude-code", "PreToolUse", b" " * (17 << 20))).code == 2
    assert (await bridged.hook("claude-code", "PreToolUse", b"[" * 100_000)).code == 2
    assert receiver.requests == []


# --- the relay itself ---------------------------------------------------------------------------------------------


async def test_one_relay_for_many_at_once_private_and_ended_by_a_signal(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    ended = await asyncio.gather(*(bridged.hook("claude-code", "PreToolUse", PRE) for _ in range(6)))
    assert [e.code for e in ended] == [0] * 6
    assert len(receiver.requests) == 6
    assert stat.S_IMODE((bridged.folder / "relay.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE(bridged.folder.stat().st_mode) == 0o700
    first = bridged.relay_pid
    bridged.end_relay()
    assert not (bridged.folder / "relay.sock").exists()
    assert (await bridged.hook("claude-code", "PreToolUse", PRE)).said is None
    assert bridged.relay_pid not in (None, first)


async def test_a_killed_relay_is_replaced(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    await bridged.hook("claude-code", "PreToolUse", PRE)
    bridged.end_relay(signal.SIGKILL)
    assert (bridged.folder / "relay.sock").exists()
    assert (await bridged.hook("claude-code", "PreToolUse", PRE)).said is None


async def test_a_relay_killed_before_it_reads_is_asked_again(bridged: Bridged, receiver: Receiver) -> None:
    bridged.gate(receiver.url())
    await bridged.hook("claude-code", "PreToolUse", PRE)
    bridged.end_relay()
    with socket.socket(socket.AF_UNIX) as dying:  # one that still listens, and will never accept
        with contextlib.chdir(bridged.folder):  # a socket's path may be short only
            dying.bind("relay.sock")
        dying.listen()
        asked = asyncio.create_task(bridged.hook("claude-code", "PreToolUse", PRE))
        await asyncio.to_thread(select.select, [dying], [], [], 60)
    assert (await asked).said is None
    assert len(receiver.requests) == 2


def holds(pid: int, file: Path) -> bool:
    """Whether a process has a file open."""
    with contextlib.suppress(OSError):  # it ends, or closes one, just now
        return any(found.readlink() == file for found in Path(f"/proc/{pid}/fd").iterdir())
    return False


@contextlib.asynccontextmanager
async def started(bridged: Bridged) -> AsyncIterator[asyncio.subprocess.Process]:
    """A relay that has found another one's lock."""
    with (bridged.folder / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-c", shim.START, str(bridged.folder), "600"
        )
        async with asyncio.timeout(60):
            while process.returncode is None and not holds(process.pid, bridged.folder / "lock"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        yield process


@pytest.mark.skipif(sys.platform != "linux", reason="looks for a process's files in /proc")
async def test_a_relay_waits_for_one_that_is_ending(bridged: Bridged) -> None:
    async with started(bridged) as process:
        assert process.returncode is None, "whoever started it would wait for nobody"
    async with asyncio.timeout(60):
        while not (bridged.folder / "relay.sock").exists():
            assert process.returncode is None
            await asyncio.sleep(0.01)
    process.terminate()
    assert await process.wait() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks for a process's files in /proc")
async def test_a_relay_leaves_when_another_is_at_work(bridged: Bridged) -> None:
    (bridged.folder / "relay.sock").touch()
    async with started(bridged) as process:
        assert await asyncio.wait_for(process.wait(), 60) == 0
    assert (bridged.folder / "relay.sock").exists()


async def test_it_ends_when_idle(bridged: Bridged) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", shim.START, str(bridged.folder), "0.2")
    assert await asyncio.wait_for(process.wait(), 60) == 0
    assert not (bridged.folder / "relay.sock").exists()


async def test_settings_of_whoever_starts_it_do_not_count(bridged: Bridged, receiver: Receiver) -> None:
    elsewhere = bridged.home.parent / "elsewhere"
    elsewhere.mkdir()
    bridged.environ = {
        "HOOKYARD_HOME": str(elsewhere),
        "http_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
        "WORD": "please",
    }
    bridged.write(entry("gate", "pre_tool", receiver.url()) + '[webhooks.headers]\nX-Word = "${WORD}"\n')
    assert (await bridged.hook("claude-code", "PreToolUse", PRE)).code == 0
    assert receiver.requests[0].headers["X-Word"] == "please"
