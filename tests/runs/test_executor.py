"""One attempt: what an agent's end comes to, which event tells of it, and what holds when things go wrong meanwhile."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from hookyard.agents.base import (
    AgentError,
    AgentResult,
    Assignment,
    BudgetError,
    PromptDeniedError,
    Recorder,
    TimeLimitError,
    Usage,
)
from hookyard.core.errors import TemporaryError
from hookyard.core.ids import RunId, WorkerId
from hookyard.events.catalog import Catalog
from hookyard.events.model import AuthorTrust
from hookyard.runs import executor as module
from hookyard.runs.admission import Limits, NoTokens, admit
from hookyard.runs.claim import AdmittedRun
from hookyard.runs.control import cancelled_by
from hookyard.runs.quota import Quotas
from hookyard.store.schema import attempts, batch_events, runs, spend
from tests.runs.environment import Emitted, FunctionEnvironments, RunsEnvironment, Work


def a_claim(env: RunsEnvironment, quotas: Quotas | None = None, **columns: Any) -> AdmittedRun:
    env.queue(env.callback(), **columns)
    limits = Limits(100, 100, quotas or Quotas())
    (claim,) = env.database.write_sync(lambda conn: admit(conn, WorkerId("w"), limits, 1.0, NoTokens())).claims
    return claim


def failing(error: Exception, words: str = "") -> Work:
    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        if words:
            recorder.message("assistant", words)
        raise error

    return work


async def test_an_answer_is_stored_with_what_was_used(env: RunsEnvironment) -> None:
    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        return AgentResult("42", usage=Usage(input_tokens=10, output_tokens=5, cost_usd=0.25))

    claim = a_claim(env, Quotas(tokens_a_day=1_000_000))
    assert await env.executor(work).execute(claim)
    row = env.run(claim.run_id)
    assert (row.status, row.answer, row.input_tokens, row.output_tokens) == ("succeeded", "42", 10, 5)
    assert (row.cost_usd, row.reserved_tokens) == (0.25, 0)
    assert env.all(select(spend.c.tokens, spend.c.reserved, spend.c.cost_usd)) == [(15, 0, 0.25)]


@pytest.mark.parametrize(
    ("model", "shown"), [("openai:gpt-4o", "openai:gpt-4o"), ("scripted:/srv/answers.json", "scripted model")]
)
async def test_an_attempt_tells_what_worked_on_it(env: RunsEnvironment, model: str, shown: str) -> None:
    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        recorder.agent_info(version="2.1.4")
        return AgentResult("done")

    claim = a_claim(env)
    await env.executor(workplaces=FunctionEnvironments(work, model=model)).execute(claim)
    (row,) = env.all(select(attempts))
    assert (row.agent_kind, row.agent_version, row.model) == ("function", "2.1.4", shown)
    assert row.folder
    assert (row.outcome, row.error) == ("succeeded", None)


async def test_the_assignment_carries_what_the_run_is_about(env: RunsEnvironment) -> None:
    given: list[Assignment] = []

    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        given.append(assignment)
        return AgentResult("")

    claim = a_claim(env, context='{"taskId": "task-1"}', prompt="p", timeout_seconds=77.0)
    await env.executor(work, api_url=lambda: "http://127.0.0.1:1").execute(claim)
    (assignment,) = given
    assert (assignment.prompt, assignment.event, assignment.timeout_seconds) == ("p", {"taskId": "task-1"}, 77.0)
    assert (assignment.session_id, assignment.run_id) == (claim.conversation_id, claim.run_id)
    assert assignment.cause is not None
    assert assignment.cause["chain"] == [
        {"runId": claim.run_id, "callbackId": claim.callback_id, "eventId": claim.event_id}
    ]
    assert assignment.api_url == "http://127.0.0.1:1"


FAILURES = [
    (
        AgentError("the model is gone", stack="at model", retry_count=4),
        "failed",
        "conversation.error",
        {"errorMessage": "the model is gone", "errorStack": "at model", "retryCount": 4},
    ),
    (
        BudgetError("spent", quota_type="token", remaining=3),
        "failed",
        "conversation.quota_exhausted",
        {"errorMessage": "spent", "quotaType": "token", "remaining": 3},
    ),
    (
        TimeLimitError("too slow", duration_seconds=1.5, last_message="nearly"),
        "timed_out",
        "conversation.timeout",
        {"errorMessage": "too slow", "duration": 1.5, "lastMessage": "nearly"},
    ),
]


@pytest.mark.parametrize(("error", "status", "event", "variables"), FAILURES)
async def test_a_failure_is_stored_together_with_the_event_that_tells_of_it(
    env: RunsEnvironment, error: AgentError, status: str, event: str, variables: dict[str, Any]
) -> None:
    env.event("evt_1", trust="outsider")
    emitted = Emitted(env.database)
    claim = a_claim(env)
    assert await env.executor(failing(error, "words"), emitted=emitted).execute(claim)
    row = env.run(claim.run_id)
    assert (row.status, row.error, row.answer) == (status, error.what, "words")
    ((workspace, draft),) = emitted.drafts
    assert (workspace, draft.name) == ("ws_a", event)
    assert draft.variables == {"conversationId": claim.conversation_id, **variables}
    (event_type,) = Catalog().select([event])
    assert set(draft.variables) == set(event_type.types)
    assert draft.author_trust is AuthorTrust.OUTSIDER  # a run is trusted no further than what started it
    assert [link.run_id for link in draft.cause.links] == [claim.run_id]
    assert draft.source_id == f"{claim.run_id}:1:{event}"


async def test_an_error_that_nobody_foresaw_fails_the_run_only(
    env: RunsEnvironment, caplog: pytest.LogCaptureFixture
) -> None:
    emitted = Emitted(env.database)
    claim = a_claim(env)
    await env.executor(failing(ZeroDivisionError("a bug")), emitted=emitted).execute(claim)
    assert env.run(claim.run_id).status == "failed"
    assert "ZeroDivisionError" in str(emitted.drafts[0][1].variables["errorStack"])
    assert "an agent failed" in caplog.text


async def test_a_message_that_a_webhook_refused_is_no_failure_of_the_conversation(env: RunsEnvironment) -> None:
    emitted = Emitted(env.database)
    claim = a_claim(env)
    await env.executor(failing(PromptDeniedError("not today")), emitted=emitted).execute(claim)
    assert (env.run(claim.run_id).status, env.run(claim.run_id).error) == ("failed", "not today")
    assert emitted.drafts == []


async def test_an_agent_that_does_not_keep_its_time_is_ended(
    env: RunsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSING_SECONDS", 0.05)
    ended = asyncio.Event()

    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        recorder.message("assistant", "still thinking")
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return AgentResult("")

    emitted = Emitted(env.database)
    claim = a_claim(env, timeout_seconds=0.05)
    await env.executor(work, emitted=emitted).execute(claim)
    assert ended.is_set()
    assert env.run(claim.run_id).status == "timed_out"
    assert emitted.drafts[0][1].name == "conversation.timeout"
    assert emitted.drafts[0][1].variables["lastMessage"] == "still thinking"


async def test_a_timeout_before_the_first_word_tells_of_the_prompt(
    env: RunsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSING_SECONDS", 0.05)

    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        await asyncio.sleep(60)
        return AgentResult("")

    emitted = Emitted(env.database)
    claim = a_claim(env, timeout_seconds=0.05)
    await env.executor(work, emitted=emitted).execute(claim)
    assert emitted.drafts[0][1].variables["lastMessage"] == claim.prompt


async def test_an_agent_that_refuses_to_end_does_not_hold_its_place_for_ever(
    env: RunsEnvironment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CLOSING_SECONDS", 0.0)
    monkeypatch.setattr(module, "ENDING_SECONDS", 0.1)
    let_go = asyncio.Event()

    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return AgentResult("")

    claim = a_claim(env, timeout_seconds=0.01)
    await env.executor(work).execute(claim)
    assert env.run(claim.run_id).status == "timed_out"
    assert "did not end" in caplog.text
    let_go.set()
    await asyncio.sleep(0)


async def cancelled(env: RunsEnvironment, claim: AdmittedRun, by: str | None) -> bool:
    """Whether an agent that has begun to work for ever and is cancelled has a result."""
    begun = asyncio.Event()

    async def for_ever(assignment: Assignment, recorder: Recorder) -> AgentResult:
        recorder.message("assistant", "began")
        begun.set()
        await asyncio.Event().wait()
        return AgentResult("")

    executor = env.executor(for_ever)
    task = asyncio.ensure_future(executor.execute(claim))
    await begun.wait()
    if by is not None:
        executor.cancelled_by(claim.run_id, by)
    task.cancel()
    return await task


async def test_a_run_that_a_person_cancels_is_cancelled_and_keeps_what_it_did(env: RunsEnvironment) -> None:
    claim = a_claim(env)
    assert await cancelled(env, claim, "Ann")
    row = env.run(claim.run_id)
    assert (row.status, row.reason, row.snippet) == ("cancelled", cancelled_by("Ann").dumps(), "began")


async def test_a_run_whose_worker_stops_has_no_result(env: RunsEnvironment) -> None:
    claim = a_claim(env)
    assert not await cancelled(env, claim, None)
    assert env.run(claim.run_id).status == "running"


async def test_a_late_attempt_stores_no_result(env: RunsEnvironment, caplog: pytest.LogCaptureFixture) -> None:
    claim = a_claim(env)
    env.database.write_sync(lambda conn: conn.execute(update(runs).values(attempt=2, worker_id="other")))
    emitted = Emitted(env.database)
    assert not await env.executor(failing(AgentError("late")), emitted=emitted).execute(claim)
    row = env.run(claim.run_id)
    assert (row.status, row.attempt, row.error) == ("running", 2, None)
    assert emitted.drafts == []  # nor does it tell of its failure
    assert [outcome for (outcome,) in env.all(select(attempts.c.outcome))] == [None]


async def test_a_failure_is_stored_even_when_no_event_can_be_accepted(
    env: RunsEnvironment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "EMIT_DELAYS", (0.01, 0.01))
    emitted = Emitted(env.database)
    emitted.refusals = [TemporaryError("no evaluator") for _ in range(3)]
    claim = a_claim(env)
    assert await env.executor(failing(AgentError("x")), emitted=emitted).execute(claim)
    assert env.run(claim.run_id).status == "failed"
    assert "could not be accepted" in caplog.text


async def test_an_event_that_can_be_accepted_a_little_later_is_not_lost(
    env: RunsEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EMIT_DELAYS", (0.01, 0.01))
    emitted = Emitted(env.database)
    emitted.refusals = [TemporaryError("no evaluator")]
    claim = a_claim(env)
    await env.executor(failing(AgentError("x")), emitted=emitted).execute(claim)
    assert len(emitted.drafts) == 1


async def test_a_result_waits_for_a_database_that_is_away(
    env: RunsEnvironment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "STORE_SECONDS", 0.01)
    claim = a_claim(env)
    real: Callable[[Any, Any], Any] = env.database.write_grouped
    refusals = [TemporaryError("locked"), TemporaryError("locked")]

    async def write(handler: Any, item: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return await real(handler, item)

    monkeypatch.setattr(env.database, "write_grouped", write)
    assert await env.executor().execute(claim)
    assert env.run(claim.run_id).status == "succeeded"


@pytest.mark.parametrize("failed", [False, True])
async def test_a_worker_that_stops_does_not_wait_for_ever_for_its_database(
    env: RunsEnvironment, failed: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    claim = a_claim(env)

    async def write(handler: Any, item: Any) -> Any:
        raise TemporaryError("the disk is full")

    monkeypatch.setattr(env.database, "write_grouped", write)
    emitted = Emitted(env.database)
    emitted.refusals = [TemporaryError("the disk is full") for _ in range(9)]
    executor = env.executor(*([failing(AgentError("x"))] if failed else []), emitted=emitted)
    executor.set_shutdown_deadline(0.0)
    assert not await executor.execute(claim)
    assert "a result was given up" in caplog.text
    assert env.run(claim.run_id).status == "running"  # for whoever takes over


async def test_the_workplace_is_left_however_it_ends(env: RunsEnvironment) -> None:
    for work in (failing(AgentError("x")), failing(RuntimeError("y"))):
        workplaces = FunctionEnvironments(work)
        await env.executor(workplaces=workplaces).execute(a_claim(env))
        assert workplaces.open_now == 0


async def test_what_a_known_model_costs_is_worked_out(env: RunsEnvironment) -> None:
    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        return AgentResult("", usage=Usage(input_tokens=1_000_000, output_tokens=1000))

    known, unknown = a_claim(env), a_claim(env)
    priced = FunctionEnvironments(work, model="openai:gpt-4o")
    await env.executor(workplaces=priced).execute(known)
    await env.executor(workplaces=FunctionEnvironments(work, model="acme:no-such-model")).execute(unknown)
    assert env.run(known.run_id).cost_usd == pytest.approx(2.51)
    assert env.run(unknown.run_id).cost_usd is None


async def test_a_batch_is_trusted_like_its_least_trusted_event(env: RunsEnvironment) -> None:
    env.event("evt_1", trust="member")
    env.event("evt_2", trust="outsider")
    rows = [{"batch_id": "bat_1", "event_id": event} for event in ("evt_1", "evt_2")]
    env.database.write_sync(lambda conn: conn.execute(insert(batch_events), rows))
    emitted = Emitted(env.database)
    await env.executor(failing(AgentError("x")), emitted=emitted).execute(a_claim(env, batch_id="bat_1"))
    assert emitted.drafts[0][1].author_trust is AuthorTrust.OUTSIDER


async def test_the_token_of_a_run_is_good_until_it_ends(env: RunsEnvironment) -> None:
    revoked: list[RunId] = []

    class Tokens(NoTokens):
        def issue(self, conn: Connection, claim: AdmittedRun) -> str:
            return "secret"

        def revoke(self, conn: Connection, run_ids: Sequence[RunId]) -> None:
            revoked.extend(run_ids)

    seen: list[str] = []

    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        seen.append(assignment.run_token)
        assert revoked == []
        return AgentResult("")

    tokens = Tokens()
    env.queue(env.callback())
    limits = Limits(1, 1)
    (claim,) = env.database.write_sync(lambda conn: admit(conn, WorkerId("w"), limits, 1.0, tokens)).claims
    await env.executor(work, tokens=tokens).execute(claim)
    assert (seen, revoked) == (["secret"], [claim.run_id])
