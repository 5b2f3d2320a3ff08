"""What is kept of a run, as it happens: order, bounds, fences, signals."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from hookyard.agents.base import Usage
from hookyard.core.errors import TemporaryError
from hookyard.core.ids import WorkerId
from hookyard.hooks.decision import Decision, Result, Verdict
from hookyard.hooks.points import Point
from hookyard.runs import timeline as module
from hookyard.runs.admission import Limits, NoTokens, admit
from hookyard.runs.claim import AdmittedRun
from hookyard.runs.timeline import Timeline, add_usage, shorten, snippet_of, store_progress
from hookyard.store.schema import attempts, run_entries, runs
from tests.runs.environment import RunsEnvironment


def a_claim(env: RunsEnvironment) -> AdmittedRun:
    env.queue(env.callback())
    limits = Limits(100, 100)
    (claim,) = env.database.write_sync(lambda conn: admit(conn, WorkerId("w"), limits, 1.0, NoTokens())).claims
    return claim


def entries(env: RunsEnvironment) -> list[tuple[int, int, str, Any]]:
    found = env.all(select(run_entries).order_by(run_entries.c.seq))
    return [(entry.seq, entry.attempt, entry.kind, json.loads(entry.data)) for entry in found]


async def closed(env: RunsEnvironment, timeline: Timeline, claim: AdmittedRun) -> None:
    """Close it and store what is left, as the end of a run does."""
    progress = await timeline.close()
    await env.database.write(lambda conn: store_progress(conn, claim, progress, timeline.total))


async def test_everything_is_kept_in_order(env: RunsEnvironment) -> None:
    claim = a_claim(env)
    timeline = Timeline(claim, env.database, env.clock)
    timeline.message("user", "do it")
    timeline.tool_call("c1", "bash", '{"command": "ls"}')
    verdict = Verdict("guard", Result.DENY, "not here", "dlv_1", 1, 3.5, before="a", after=None)
    timeline.decision(Point.PRE_TOOL, Decision(Result.DENY, "not here", None, (verdict,)), "c1")
    timeline.tool_result("c1", "denied: not here", success=False, duration_ms=0.0, ran=False)
    timeline.note("nothing else")
    await closed(env, timeline, claim)
    assert [(seq, kind) for seq, _, kind, _ in entries(env)] == [
        (0, "message"),
        (1, "tool_call"),
        (2, "decision"),
        (3, "tool_result"),
        (4, "note"),
    ]
    decision = entries(env)[2][3]
    assert (decision["point"], decision["event"], decision["result"]) == ("pre_tool", "pre_tool_execution", "deny")
    assert decision["verdicts"][0]["webhook"] == "guard"
    row = env.run(claim.run_id)
    assert (row.tool_calls, row.denied, row.modified) == (1, 1, 0)


async def test_entries_are_seen_while_the_run_goes_on(env: RunsEnvironment) -> None:
    claim = a_claim(env)
    timeline = Timeline(claim, env.database, env.clock)
    with env.database.signals.subscribe(f"run:{claim.run_id}") as told:
        timeline.message("assistant", "half   way\nthere")
        timeline.usage(Usage(input_tokens=7, output_tokens=2))
        assert await told.wait(10)
    row = env.run(claim.run_id)
    assert (row.snippet, row.input_tokens, row.output_tokens) == ("half way there", 7, 2)
    assert len(entries(env)) == 1
    timeline.note("more")
    await closed(env, timeline, claim)
    assert [seq for seq, *_ in entries(env)] == [0, 1]


async def test_what_is_known_of_the_agent_is_kept_with_its_attempt(env: RunsEnvironment) -> None:
    claim = a_claim(env)
    timeline = Timeline(claim, env.database, env.clock)

    def known() -> tuple[str | None, ...]:
        (row,) = env.all(select(attempts))
        return row.agent_kind, row.agent_version, row.model, row.folder

    with env.database.signals.subscribe(f"run:{claim.run_id}") as told:
        timeline.begin("claude-code", "sonnet", Path("/srv/repos/pay"))
        assert await told.wait(10)
    assert known() == ("claude-code", None, "sonnet", "/srv/repos/pay")
    timeline.agent_info(version="2.1.4", model="claude-sonnet-4-5")
    timeline.agent_info(model="claude-haiku-4-5")  # a helper of its own
    await closed(env, timeline, claim)
    assert known() == ("claude-code", "2.1.4", "claude-sonnet-4-5", "/srv/repos/pay")


async def test_the_usage_of_each_turn_is_kept(env: RunsEnvironment) -> None:
    claim = a_claim(env)
    timeline = Timeline(claim, env.database, env.clock)
    # One answer may be told several times, and its count of tokens may be mended later.
    for requests, sent, made in ((1, 100, 10), (1, 100, 10), (2, 250, 30), (2, 250, 32), (2, 250, 32)):
        timeline.usage(Usage(sent, made, requests))
    timeline.usage(Usage(9, 9))  # an agent that knows no turns
    await closed(env, timeline, claim)
    kept = [data for _, _, kind, data in entries(env) if kind == "usage"]
    assert [(one["turn"], one["inputTokens"], one["outputTokens"]) for one in kept] == [
        (1, 100, 10),
        (2, 250, 30),
        (2, 250, 32),
    ]


async def test_a_late_attempt_writes_nothing(env: RunsEnvironment) -> None:
    claim = a_claim(env)
    late = Timeline(claim, env.database, env.clock)
    env.database.write_sync(lambda conn: conn.execute(update(runs).values(attempt=2)))
    late.message("assistant", "I am still here")
    async with asyncio.timeout(10):
        while not late._over:  # noqa: ASYNC110 - it tells nobody that it fell silent
            await asyncio.sleep(0.01)
    late.note("and here")
    assert not await late.close()
    assert entries(env) == []
    assert env.run(claim.run_id).snippet is None


async def test_a_write_is_not_lost_when_the_run_ends_meanwhile(
    env: RunsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.0)
    claim = a_claim(env)
    timeline = Timeline(claim, env.database, env.clock)
    for number in range(200):
        timeline.note(str(number))
        if number % 7 == 0:
            await asyncio.sleep(0)
    await closed(env, timeline, claim)
    assert [data["text"] for *_, data in entries(env)] == [str(number) for number in range(200)]


async def test_what_could_not_be_written_is_written_with_the_rest(
    env: RunsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_SECONDS", 0.0)
    claim = a_claim(env)
    timeline = Timeline(claim, env.database, env.clock)
    real, failed = env.database.write, asyncio.Event()

    async def away(function: Any) -> Any:
        failed.set()
        raise TemporaryError("the database is away")

    monkeypatch.setattr(env.database, "write", away)
    timeline.tool_call("1", "bash", "{}")
    await failed.wait()
    monkeypatch.setattr(env.database, "write", real)
    timeline.note("second")
    await closed(env, timeline, claim)
    assert [kind for _, _, kind, _ in entries(env)] == ["tool_call", "note"]
    assert env.run(claim.run_id).tool_calls == 1


async def test_the_number_of_entries_is_bounded_and_the_rest_counted(
    env: RunsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 10)
    claim = a_claim(env)
    timeline = Timeline(claim, env.database, env.clock)
    for number in range(50):
        timeline.note(str(number))
    await closed(env, timeline, claim)
    assert len(entries(env)) == 11
    assert entries(env)[-1][3]["text"].startswith("40 further entries were left out")


async def test_the_characters_of_a_run_are_bounded(env: RunsEnvironment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CHARS", 1000)
    claim = a_claim(env)
    timeline = Timeline(claim, env.database, env.clock)
    for _ in range(50):
        timeline.message("assistant", "x" * 300)
    await closed(env, timeline, claim)
    assert len(entries(env)) == 5


def test_a_long_text_loses_its_middle_and_says_how_much() -> None:
    text = shorten("a" * 1000 + "b" * 1000, 200)
    assert text.startswith("a" * 100)
    assert text.endswith("b" * 100)
    assert "1800 characters left out" in text


def test_what_a_database_cannot_keep_is_replaced() -> None:
    assert shorten("a\0b\ud800c") == "a\ufffdb?c"


def test_a_snippet_is_the_last_words_on_one_line() -> None:
    assert snippet_of("  one\n two ") == "one two"
    assert snippet_of("word " * 1000 + "end").endswith("word end")
    assert len(snippet_of("word " * 1000)) <= module.SNIPPET_CHARS


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (Usage(), Usage(1, 2, 1, 0.5), Usage(1, 2, 1, 0.5)),
        (Usage(1, 2, 1, 0.5), Usage(1, 2, 1, 0.25), Usage(2, 4, 2, 0.75)),
        (Usage(1, 2, 1, None), Usage(1, 2, 1, 0.25), Usage(2, 4, 2, None)),
        (Usage(1, 2, 1, 0.5), Usage(1, 2, 1, None), Usage(2, 4, 2, None)),
    ],
)
def test_the_usage_of_two_attempts_together(before: Usage, now: Usage, expected: Usage) -> None:
    assert add_usage(before, now) == expected
