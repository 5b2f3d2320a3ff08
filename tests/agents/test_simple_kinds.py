"""dry-run and command: the points that they have, what they give back, and how they fail."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hookyard.agents.base import AgentError, AgentResult, Parts, PromptDeniedError, ResultType, TimeLimitError
from hookyard.agents.command import ANSWER_BYTES
from hookyard.agents.profiles import DEFAULT, Profile, make_agent
from hookyard.hooks.points import Point
from tests.agents.fakes import FakeHooks, FakeRecorder, assignment, deny, modify, there

POINTS = ["session_start", "message", "turn_start", "turn_complete", "post_turn", "session_end"]
FAILED = ["session_start", "message", "turn_start", "error", "turn_complete", "post_turn", "session_end"]


async def command(
    argv: list[str], directory: Path, hooks: FakeHooks, recorder: FakeRecorder, prompt: str = "Do it.", **changes: float
) -> AgentResult:
    agent = make_agent(Profile(kind="command", argv=tuple(argv)), Parts())
    return await agent.run(assignment(directory, prompt, **changes), hooks, recorder, None)


async def test_dry_run_stores_the_prompt(work: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    result = await make_agent(DEFAULT, Parts()).run(assignment(work), hooks, recorder, None)
    assert result.answer.startswith("Dry run")
    assert result.result_type is ResultType.RESPONDED
    assert recorder.messages == [("user", "Do it.")]
    assert hooks.points == POINTS


async def test_command_reads_the_prompt_and_answers(work: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    hooks.answers[Point.MESSAGE] = modify("你好, do it.")
    argv = ["sh", "-c", "printf 'read: '; cat; echo working >&2; pwd > where"]
    result = await command(argv, work, hooks, recorder)
    assert result.answer == "read: 你好, do it."
    assert (work / "where").read_text().strip() == str(work)
    assert hooks.points == POINTS
    assert hooks.at(Point.SESSION_START)["agent"] == "command"
    assert recorder.messages[-1] == ("assistant", result.answer)
    assert recorder.notes == ["stderr: working"]


async def test_command_fails(work: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    with pytest.raises(AgentError, match="ended with code 3") as caught:
        await command(
            ["sh", "-c", "echo first; yes no | head -c 9000 >&2; echo the end >&2; exit 3"], work, hooks, recorder
        )
    assert caught.value.stack.endswith("the end\n")
    assert len(caught.value.stack) == 2000
    assert hooks.points == FAILED
    (note,) = recorder.notes  # the reader of the run sees why, also without the event that the failure causes
    assert note.startswith("stderr: ")
    assert note.endswith("the end")
    assert "the run's notes have its last words on stderr" in str(caught.value)
    with pytest.raises(AgentError, match="no program"):
        await command(["no-such-program"], work, hooks, recorder)


async def test_command_says_too_much(work: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    result = await command(["sh", "-c", "head -c 20000000 /dev/zero | tr '\\0' x"], work, hooks, recorder)
    assert len(result.answer) < ANSWER_BYTES + 100
    assert "left out" in result.answer


async def test_command_denied(work: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    hooks.answers[Point.MESSAGE] = deny("no")
    with pytest.raises(PromptDeniedError):
        await command(["touch", "a"], work, hooks, recorder)
    assert not (work / "a").exists()


async def test_command_takes_too_long(work: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    with pytest.raises(TimeLimitError):
        await command(["sleep", "600"], work, hooks, recorder, timeout_seconds=0.3)
    assert hooks.points == FAILED
    assert hooks.at(Point.ERROR)["error_type"] == "TimeLimitError"


async def test_command_cancelled(work: Path, hooks: FakeHooks, recorder: FakeRecorder) -> None:
    task = asyncio.create_task(command(["sh", "-c", "touch begun; sleep 600"], work, hooks, recorder))
    await there(work / "begun")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hooks.points == FAILED
    assert hooks.at(Point.TURN_COMPLETE)["result_type"] == "Cancelled"
