"""The order of an agent's points, and what decisions do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from hookyard.agents.base import AgentError, PromptDeniedError, ResultType, TimeLimitError
from hookyard.agents.session import AgentSession, ToolError
from hookyard.hooks.points import Point
from tests.agents.fakes import FakeHooks, FakeRecorder, assignment, deny, modify


class Echo:
    """A tool that takes `{"text": …}` and gives it back."""

    name = "echo"

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.asked: list[str] = []
        self.permitted = True

    def check(self, args: str) -> str:
        try:
            parsed = json.loads(args)
        except ValueError:
            raise ToolError("no JSON") from None
        if not isinstance(parsed, dict) or set(parsed) != {"text"}:
            raise ToolError("echo takes text")
        return str(parsed["text"])

    async def permit(self, checked: str) -> None:
        self.asked.append(checked)
        if not self.permitted:
            raise ToolError("not permitted")

    async def run(self, checked: str) -> str:
        self.ran.append(checked)
        if checked == "fail":
            raise ToolError("it failed")
        return f"said {checked}"

    def edits(self, checked: str) -> str | None:
        return checked if checked.endswith(".txt") else None


@pytest.fixture
def hooks() -> FakeHooks:
    return FakeHooks()


@pytest.fixture
def recorder() -> FakeRecorder:
    return FakeRecorder()


async def one_call(life: AgentSession, step: Echo | None, args: str = '{"text": "a"}') -> tuple[str, bool]:
    told: list[tuple[str, bool]] = []

    async def work(prompt: str) -> str:
        told.append(await life.tool(step, "echo", "call_1", args))
        return "done"

    await life.run(work)
    return told[0]


async def test_every_point_in_order(tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    life = AgentSession(
        assignment(tmp_path, run_id="run_1", workspace_id="ws_1", cause={"run": "run_0"}),
        hooks,
        recorder,
        model_name="m",
        provider_name="p",
    )
    echo = Echo()

    async def work(prompt: str) -> str:
        assert prompt == "Do it."
        assert await life.system_prompt("Be good.") == "Be good."
        await life.answered("I call.", "m-1")
        await life.tool(echo, "echo", "call_1", '{"text": "a.txt"}')
        return await life.answered("Done.", "m-1")

    result = await life.run(work)
    assert result.answer == "Done."
    assert result.result_type is ResultType.USED_TOOLS
    assert hooks.points == [
        "session_start",
        "message",
        "turn_start",
        "system_prompt",
        "model_response",
        "tool_call_start",
        "pre_tool",
        "post_tool",
        "model_response",
        "turn_complete",
        "post_turn",
        "session_end",
    ]
    for fired in hooks.fired:
        assert fired.keys["session_id"] == "ses_1"
        assert fired.keys["turn_number"] == 1
        assert fired.keys["working_dir"] == str(tmp_path)
        assert fired.keys["run_id"] == "run_1"
        assert fired.keys["workspace_id"] == "ws_1"
        assert fired.keys["cause"] == {"run": "run_0"}
        assert fired.keys["agent"] == "hookyard"
    assert hooks.at(Point.SESSION_START)["model_name"] == "m"
    assert hooks.at(Point.MESSAGE)["content"] == "Do it."
    after = hooks.at(Point.POST_TOOL)
    assert (after["result"], after["success"], after["call_id"]) == ("said a.txt", True, "call_1")
    complete = hooks.at(Point.TURN_COMPLETE)
    assert complete["result_type"] == "UsedTools"
    assert complete["tool_calls"] == 1
    assert complete["edited_files"] == ["a.txt"]
    assert complete["truncated"] is False
    assert hooks.at(Point.POST_TURN)["turn_result"] == "UsedTools"
    assert recorder.messages == [
        ("user", "Do it."),
        ("system", "Be good."),
        ("assistant", "I call."),
        ("assistant", "Done."),
    ]


async def test_message_denied(tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    hooks.answers[Point.MESSAGE] = deny("not today")

    async def work(prompt: str) -> str:
        raise AssertionError("the work must not begin")

    with pytest.raises(PromptDeniedError, match="not today"):
        await AgentSession(assignment(tmp_path), hooks, recorder).run(work)
    assert hooks.points == ["session_start", "message", "error", "turn_complete", "post_turn", "session_end"]
    assert hooks.at(Point.TURN_COMPLETE)["result_type"] == "Failed"
    assert hooks.at(Point.ERROR)["error_type"] == "PromptDeniedError"
    assert [point for point, _, _ in recorder.decisions] == [Point.MESSAGE]


async def test_texts_modified(tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    hooks.answers = {
        Point.MESSAGE: modify("Do it well."),
        Point.SYSTEM_PROMPT: modify("And be kind."),
        Point.MODEL_RESPONSE: modify("[hidden]"),
    }
    life = AgentSession(assignment(tmp_path), hooks, recorder)

    async def work(prompt: str) -> str:
        assert prompt == "Do it well."
        assert await life.system_prompt("Be good.") == "Be good.\n\nAnd be kind."
        return await life.answered("my key is 123", "m")

    result = await life.run(work)
    assert result.answer == "[hidden]"
    assert result.result_type is ResultType.RESPONDED
    assert ("assistant", "[hidden]") in recorder.messages
    assert "123" not in str(recorder.messages)


@pytest.mark.parametrize("point", [Point.TOOL_CALL_START, Point.PRE_TOOL])
async def test_tool_denied(tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder, point: Point) -> None:
    hooks.answers[point] = deny("no echo here")
    echo = Echo()
    told = await one_call(AgentSession(assignment(tmp_path), hooks, recorder), echo)
    assert told == ("Denied: no echo here", False)
    assert echo.ran == []
    assert "post_tool" not in hooks.points
    assert recorder.results == [{"call_id": "call_1", "result": told[0], "success": False, "ran": False}]


@pytest.mark.parametrize("point", [Point.TOOL_CALL_START, Point.PRE_TOOL])
async def test_arguments_modified(tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder, point: Point) -> None:
    hooks.answers[point] = modify('{"text": "b"}')
    echo = Echo()
    assert await one_call(AgentSession(assignment(tmp_path), hooks, recorder), echo) == ("said b", True)
    assert echo.ran == ["b"]
    assert echo.asked[-1] == "b", "what a webhook modified passes the permission again"
    assert hooks.at(Point.POST_TOOL)["tool_args"] == '{"text": "b"}'
    assert recorder.calls == [("call_1", "echo", '{"text": "a"}')]


@pytest.mark.parametrize("point", [Point.TOOL_CALL_START, Point.PRE_TOOL])
@pytest.mark.parametrize("content", ["not json", "[]", '{"txt": "b"}', "", "null"])
async def test_modified_arguments_that_do_not_fit(
    tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder, point: Point, content: str
) -> None:
    hooks.answers[point] = modify(content)
    echo = Echo()
    told, success = await one_call(AgentSession(assignment(tmp_path), hooks, recorder), echo)
    assert not success
    assert "do not fit" in told
    assert echo.ran == []


async def test_result_modified(tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    hooks.answers[Point.POST_TOOL] = modify("[removed]")
    assert await one_call(AgentSession(assignment(tmp_path), hooks, recorder), Echo()) == ("[removed]", True)
    assert recorder.results[0]["result"] == "[removed]"


async def test_person_refuses_between_the_two_gates(tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    echo = Echo()
    echo.permitted = False
    assert await one_call(AgentSession(assignment(tmp_path), hooks, recorder), echo) == ("not permitted", False)
    assert "tool_call_start" in hooks.points
    assert "pre_tool" not in hooks.points


async def test_model_errs(tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    life = AgentSession(assignment(tmp_path), hooks, recorder)
    assert await one_call(life, None) == ("There is no tool 'echo'.", False)
    life = AgentSession(assignment(tmp_path), hooks, recorder)
    assert await one_call(life, Echo(), "nonsense") == ("no JSON", False)
    life = AgentSession(assignment(tmp_path), hooks, recorder)
    assert await one_call(life, Echo(), '{"text": "fail"}') == ("it failed", False)
    assert hooks.fired[-4].point is Point.POST_TOOL
    assert hooks.fired[-4].keys["success"] is False


async def test_parallel_calls_do_not_wait_for_one_another(
    tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder
) -> None:
    both = asyncio.Barrier(2)

    class Meet(Echo):
        async def run(self, checked: str) -> str:
            await both.wait()
            return checked

    life = AgentSession(assignment(tmp_path), hooks, recorder)

    async def work(prompt: str) -> str:
        calls = (life.tool(Meet(), "echo", f"call_{text}", json.dumps({"text": text})) for text in "ab")
        return str(await asyncio.gather(*calls))

    result = await life.run(work)
    assert result.answer == "[('a', True), ('b', True)]"
    assert hooks.at(Point.TURN_COMPLETE)["tool_calls"] == 2
    of_a = [fired.point for fired in hooks.fired if fired.keys.get("call_id") == "call_a"]
    assert of_a == [Point.TOOL_CALL_START, Point.PRE_TOOL, Point.POST_TOOL]


async def test_failure_closes(tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    async def work(prompt: str) -> str:
        raise AgentError("the model failed")

    with pytest.raises(AgentError):
        await AgentSession(assignment(tmp_path), hooks, recorder).run(work)
    assert hooks.points[-4:] == ["error", "turn_complete", "post_turn", "session_end"]
    assert hooks.at(Point.ERROR)["error_message"] == "the model failed"


async def test_cancel_closes(tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    begun = asyncio.Event()

    async def work(prompt: str) -> str:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.create_task(AgentSession(assignment(tmp_path), hooks, recorder).run(work))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hooks.points[-4:] == ["error", "turn_complete", "post_turn", "session_end"]
    assert hooks.at(Point.TURN_COMPLETE)["result_type"] == "Cancelled"
    assert hooks.at(Point.ERROR)["error_type"] == "Cancelled"


async def test_time_limit(tmp_path: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    life = AgentSession(assignment(tmp_path, timeout_seconds=0.05), hooks, recorder)

    async def work(prompt: str) -> str:
        await life.answered("Still thinking.", "m")
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(TimeLimitError) as caught:
        await life.run(work)
    assert caught.value.last_message == "Still thinking."
    assert caught.value.duration_seconds >= 0.05
    assert hooks.at(Point.ERROR)["error_type"] == "TimeLimitError"
    assert hooks.points[-1] == "session_end"


async def test_slow_webhook_cannot_hold_the_end(
    tmp_path: Path, recorder: FakeRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hookyard.agents.session.CLOSING_SECONDS", 0.05)

    class Slow(FakeHooks):
        async def fire(self, point: Point | str, **keys: Any) -> Any:
            if point is Point.TURN_COMPLETE:
                await asyncio.Event().wait()
            return await super().fire(point, **keys)

    async def work(prompt: str) -> str:
        return "done"

    hooks = Slow()
    result = await AgentSession(assignment(tmp_path), hooks, recorder).run(work)
    assert result.answer == "done"
    assert "given up" in recorder.notes[0]
    assert hooks.points[-2:] == ["post_turn", "session_end"]


async def test_cancelled_again_at_the_end_it_still_says_goodbye(tmp_path: Path, recorder: FakeRecorder) -> None:
    at_the_end = asyncio.Event()

    class Slow(FakeHooks):
        async def fire(self, point: Point | str, **keys: Any) -> Any:
            if point is Point.TURN_COMPLETE:
                at_the_end.set()
                await asyncio.Event().wait()
            return await super().fire(point, **keys)

    async def work(prompt: str) -> str:
        return "done"

    hooks = Slow()
    task = asyncio.create_task(AgentSession(assignment(tmp_path), hooks, recorder).run(work))
    await at_the_end.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hooks.points[-2:] == ["post_turn", "session_end"]
