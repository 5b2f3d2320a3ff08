"""The built-in agent: its loop with a model, what webhooks can do to it, and how it fails."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import direct
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolReturnPart, UserPromptPart

from hookyard.agents import conversation
from hookyard.agents.base import AgentError, AgentResult, BudgetError, Parts, ResultType
from hookyard.agents.profiles import Profile, make_agent
from hookyard.hooks.points import Point
from tests.agents.conftest import MockModel
from tests.agents.fakes import FakeHooks, FakeRecorder, FakeWorkspace, assignment, deny, modify, there

Script = Callable[..., str]


async def run(
    model: str | None,
    directory: Path,
    hooks: FakeHooks,
    recorder: FakeRecorder,
    *,
    parts: Parts | None = None,
    workspace: FakeWorkspace | None = None,
    profile: dict[str, Any] | None = None,
    **changes: Any,
) -> AgentResult:
    agent = make_agent(Profile(kind="built-in", model=model, **profile or {}), parts or Parts())
    return await agent.run(assignment(directory, **changes), hooks, recorder, workspace)


async def test_conversation_with_tools(work: Path, hooks: FakeHooks, recorder: FakeRecorder, script: Script) -> None:
    model = script(
        {"text": "I look.", "tool": "bash", "args": {"command": "echo one > a; cat a"}},
        {"tools": [{"tool": "read_file", "args": {"path": "a"}}, {"tool": "comment_task", "args": COMMENT}]},
        {"text": "Done."},
    )
    workspace = FakeWorkspace()
    result = await run(model, work, hooks, recorder, workspace=workspace)
    assert result.answer == "Done."
    assert result.result_type is ResultType.USED_TOOLS
    assert result.usage.requests == 3
    assert result.usage.input_tokens > 0
    assert workspace.comments == [("task-1", "Done.")]
    assert [name for _, name, _ in recorder.calls] == ["bash", "read_file", "comment_task"]
    assert recorder.results[0]["result"] == "one\n"
    assert [text for role, text in recorder.messages if role == "assistant"] == ["I look.", "Done."]
    assert recorder.usages[-1] == result.usage
    assert hooks.points[:5] == ["session_start", "message", "turn_start", "system_prompt", "model_response"]
    assert hooks.points.count("model_response") == 3
    assert hooks.points[-3:] == ["turn_complete", "post_turn", "session_end"]
    start = hooks.at(Point.SESSION_START)
    assert (start["provider_name"], start["model_name"]) == ("scripted", "scripted model")
    answered = [fired.keys for fired in hooks.fired if fired.point is Point.MODEL_RESPONSE]
    assert {keys["model_name"] for keys in answered} == {"scripted model"}
    assert [keys["response"] for keys in answered] == ["I look.", "", "Done."]


COMMENT = {"task_id": "task-1", "content": "Done."}


async def test_what_the_model_is_told(
    work: Path, hooks: FakeHooks, recorder: FakeRecorder, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[ModelMessage]] = []
    original = direct.model_request

    async def spy(model: Any, messages: list[ModelMessage], **more: Any) -> ModelResponse:
        asked.append(list(messages))
        return await original(model, messages, **more)

    monkeypatch.setattr(conversation, "model_request", spy)
    hooks.answers = {
        Point.MESSAGE: modify("Changed."),
        Point.SYSTEM_PROMPT: modify("Appended."),
        Point.POST_TOOL: modify("[hidden]"),
        Point.MODEL_RESPONSE: modify("[said]"),
    }
    await run(script({"text": "key", "tool": "bash", "args": {"command": "echo x"}}), work, hooks, recorder)
    first = asked[0][0]
    assert isinstance(first, ModelRequest)
    assert isinstance(first.parts[0], UserPromptPart)
    assert first.parts[0].content == "Changed."
    assert first.instructions is not None
    assert first.instructions.endswith("\n\nAppended.")
    said, told = asked[1][1:]
    assert isinstance(said, ModelResponse)
    assert said.parts[0] == TextPart("[said]")
    assert isinstance(told, ModelRequest)
    assert told.instructions == first.instructions
    assert isinstance(told.parts[0], ToolReturnPart)
    assert told.parts[0].content == "[hidden]"


async def test_denied_and_modified_commands(
    work: Path, hooks: FakeHooks, recorder: FakeRecorder, script: Script
) -> None:
    hooks.answers[Point.PRE_TOOL] = modify('{"command": "echo changed > a"}')
    await run(script({"tool": "bash", "args": {"command": "echo x > b"}}), work, hooks, recorder)
    assert (work / "a").read_text() == "changed\n"
    assert not (work / "b").exists()
    hooks.answers[Point.PRE_TOOL] = deny("not on Fridays")
    await run(script({"tool": "bash", "args": {"command": "echo x > b"}}), work, hooks, recorder)
    assert not (work / "b").exists()
    assert recorder.results[-1]["result"] == "Denied: not on Fridays"


async def test_two_edits_in_one_answer_lose_nothing(
    work: Path, hooks: FakeHooks, recorder: FakeRecorder, script: Script
) -> None:
    (work / "a").write_text("".join(f"<{n}>" for n in range(20)))
    edits = [
        {"tool": "edit_file", "args": {"path": "a", "old_text": f"<{n}>", "new_text": f"[{n}]"}} for n in range(20)
    ]
    await run(script({"tools": edits}), work, hooks, recorder)
    assert (work / "a").read_text() == "".join(f"[{n}]" for n in range(20))
    assert hooks.at(Point.TURN_COMPLETE)["edited_files"] == ["a"]


async def test_no_model(work: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    for model, words in ((None, "HOOKYARD_MODEL"), ("nonsense", "no model"), ("nonsense:x", "nonsense:x")):
        with pytest.raises(AgentError, match=words):
            await run(model, work, hooks, recorder)
    with pytest.raises(AgentError, match=r"pip install 'hookyard\[google\]'"):
        await run("google:gemini-2.5-flash", work, hooks, recorder)
    with pytest.raises(AgentError, match="no script"):
        await run("scripted:/no/such", work, hooks, recorder)
    assert hooks.points.count("error") == 5
    assert hooks.points.count("session_end") == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "Expecting value"),
        ('{"a": 1}', "it is no list"),
        ("[1]", "entry 1 is no object"),
        ('[{"text": "a"}, {}]', "entry 2 needs 'text', 'tool' or 'tools'"),
        ('[{"text": 5}]', "entry 1: 'text' is not what it must be"),
        ('[{"tools": 5}]', "entry 1: 'tools' is not what it must be"),
        ('[{"tools": [{"args": {}}]}]', "tool 1 of entry 1 has no 'tool'"),
        ('[{"tool": 1}]', "tool 1 of entry 1: 'tool' is not what it must be"),
        ('[{"tool": "bash", "args": [1]}]', "tool 1 of entry 1: 'args' is not what it must be"),
    ],
)
async def test_what_is_no_script_is_told_with_its_place(
    work: Path, hooks: FakeHooks, recorder: FakeRecorder, text: str, said: str
) -> None:
    file = work / "script.json"
    file.write_text(text)
    with pytest.raises(AgentError) as refused:
        await run(f"scripted:{file}", work, hooks, recorder)
    assert refused.value.what.startswith(f"{file} is no script of the scripted model: {said}")


async def test_default_model(work: Path, hooks: FakeHooks, recorder: FakeRecorder, script: Script) -> None:
    result = await run(None, work, hooks, recorder, parts=Parts(default_model=script({"text": "Hello."})))
    assert result.answer == "Hello."
    assert result.result_type is ResultType.RESPONDED


async def test_tokens_spent(work: Path, hooks: FakeHooks, recorder: FakeRecorder, script: Script) -> None:
    model = script({"tool": "bash", "args": {"command": "true"}}, {"text": "never"})
    with pytest.raises(BudgetError) as caught:
        await run(model, work, hooks, recorder, token_limit=10)
    assert caught.value.quota_type == "token"
    assert caught.value.remaining == 0
    assert recorder.usages[-1].requests == 1


async def test_going_round_in_circles(
    work: Path, hooks: FakeHooks, recorder: FakeRecorder, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "REQUESTS", 3)
    model = script(*[{"tool": "list_directory"}] * 5)
    with pytest.raises(BudgetError, match="3 model requests"):
        await run(model, work, hooks, recorder)


async def test_only_the_tools_of_the_profile(
    work: Path, hooks: FakeHooks, recorder: FakeRecorder, script: Script
) -> None:
    model = script({"tool": "bash", "args": {"command": "touch a"}}, {"text": "ok"})
    await run(model, work, hooks, recorder, profile={"tools": ("read_file",)})
    assert recorder.results[0]["result"] == "There is no tool 'bash'."
    assert not (work / "a").exists()


async def test_cancel_ends_the_shell(work: Path, hooks: FakeHooks, recorder: FakeRecorder, script: Script) -> None:
    model = script({"tool": "bash", "args": {"command": "touch begun; sleep 600"}})
    task = asyncio.create_task(run(model, work, hooks, recorder))
    await there(work / "begun")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hooks.at(Point.TURN_COMPLETE)["result_type"] == "Cancelled"
    assert hooks.points[-1] == "session_end"


@pytest.mark.parametrize("provider", ["openai", "openai-chat", "anthropic"])
async def test_real_providers_clients(
    work: Path,
    hooks: FakeHooks,
    recorder: FakeRecorder,
    mock_model: Callable[..., MockModel],
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
) -> None:
    server = mock_model(MOCK_CMD="echo from-the-model > a")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")
    result = await run(f"{provider}:some-model", work, hooks, recorder)
    assert result.answer == "All done: the mock model saw the tool result."
    assert (work / "a").read_text() == "from-the-model\n"
    assert result.usage.input_tokens == 20
    assert result.usage.output_tokens == 10
    assert [request["reply"] for request in server.requests] == ["tool", "text"]


async def test_a_failing_model_is_tried_again_and_then_given_up(
    work: Path,
    hooks: FakeHooks,
    recorder: FakeRecorder,
    mock_model: Callable[..., MockModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = mock_model(MOCK_FAIL="1")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    with pytest.raises(AgentError, match="the model failed") as caught:
        await run("openai-chat:m", work, hooks, recorder, parts=Parts(sleep=sleep))
    assert caught.value.retry_count == 3
    assert waited == [1.0, 2.0, 4.0]
    assert "Traceback" in caught.value.stack
    assert hooks.at(Point.ERROR)["error_type"] == "AgentError"


def test_history_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "HISTORY_CHARS", 250)
    history: list[ModelMessage] = []
    for number in range(10):
        history.append(ModelResponse(parts=[TextPart(str(number))]))
        history.append(ModelRequest(parts=[ToolReturnPart("bash", "x" * 100, f"call_{number}")]))
    kept = conversation.bounded(history)
    assert len(kept) == len(history)
    texts = [part.content for message in kept for part in message.parts if isinstance(part, ToolReturnPart)]
    assert texts == [conversation.LEFT_OUT] * 6 + ["x" * 100] * 4, "the newest stay whole"
    assert conversation.bounded(history[:4]) == history[:4]


def test_nothing_heavy_is_imported_before_a_run() -> None:
    code = (
        "import sys, json; from hookyard.agents.profiles import Profile, make_agent; from hookyard.agents.base import "
        "Parts; make_agent(Profile(kind='built-in'), Parts()); "
        "print(json.dumps([m for m in ('pydantic_ai', 'openai', 'anthropic', 'aiohttp', 're2') if m in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(found) == []
