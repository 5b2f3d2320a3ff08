"""What people do to runs: cancel and retry."""

from typing import Any

import pytest
from sqlalchemy import update

from hookyard.core.errors import ConflictError, NotFoundError
from hookyard.core.ids import RunId, WorkerId, WorkspaceId
from hookyard.core.message_catalog import Message
from hookyard.core.run_status import FINAL, RunStatus
from hookyard.runs import control
from hookyard.runs.admission import Limits, NoTokens, admit
from hookyard.runs.control import cancelled_by
from hookyard.store.schema import runs
from tests.runs.environment import RunsEnvironment

MINE, OTHERS = WorkspaceId("ws_a"), WorkspaceId("ws_b")


def cancel(env: RunsEnvironment, run: RunId, workspace: WorkspaceId = MINE) -> RunStatus:
    return env.database.write_sync(lambda conn: control.cancel(conn, workspace, run, by="Ann", now=5.0))


def retry(env: RunsEnvironment, run: RunId, workspace: WorkspaceId = MINE) -> RunId:
    return env.database.write_sync(lambda conn: control.retry(conn, workspace, run, ids=env.ids, now=9.0))


def put(env: RunsEnvironment, run: RunId, **columns: Any) -> None:
    env.database.write_sync(lambda conn: conn.execute(update(runs).where(runs.c.id == run).values(columns)))


def test_a_waiting_run_is_cancelled_at_once(env: RunsEnvironment) -> None:
    (run,) = env.queue(env.callback())
    assert cancel(env, run) is RunStatus.CANCELLED
    row = env.run(run)
    assert (row.status, Message.loads(row.reason), row.finished_at) == ("cancelled", cancelled_by("Ann"), 5.0)


def test_a_running_run_is_asked_to_end_and_twice_is_once(env: RunsEnvironment) -> None:
    (run,) = env.queue(env.callback(), status="running", attempt=1)
    assert cancel(env, run) is RunStatus.RUNNING
    put(env, run, cancel_requested_by="Bob")
    assert cancel(env, run) is RunStatus.RUNNING
    assert (env.run(run).status, env.run(run).cancel_requested_by) == ("running", "Bob")


@pytest.mark.parametrize("status", sorted(FINAL))
def test_what_has_ended_cannot_be_cancelled(env: RunsEnvironment, status: RunStatus) -> None:
    (run,) = env.queue(env.callback(), status=status.value)
    with pytest.raises(ConflictError):
        cancel(env, run)
    assert env.run(run).status == status


def test_a_run_of_another_workspace_is_not_there(env: RunsEnvironment) -> None:
    (run,) = env.queue(env.callback())
    for act in (cancel, retry):
        with pytest.raises(NotFoundError):
            act(env, run, OTHERS)
    assert env.run(run).status == "queued"


def test_a_retry_is_a_new_run_of_the_same_version(env: RunsEnvironment) -> None:
    kept: dict[str, Any] = {
        "prompt": "p",
        "context": '{"a": 1}',
        "subject": "s",
        "cause": "[]",
        "timeout_seconds": 3.0,
        "agent": "x",
    }
    ended: dict[str, Any] = {
        "status": "failed",
        "attempt": 3,
        "error": "e",
        "answer": "a",
        "input_tokens": 7,
        "snippet": "…",
    }
    (run,) = env.queue(env.callback(), **kept, **ended)
    again = env.run(retry(env, run))
    assert {name: getattr(again, name) for name in kept} == kept
    assert (again.status, again.attempt, again.retry_of, again.queued_at) == ("queued", 0, run, 9.0)
    assert (again.error, again.answer, again.input_tokens, again.snippet) == (None, None, 0, None)
    assert again.conversation_id != env.run(run).conversation_id
    limits = Limits(9, 9)
    claims = env.database.write_sync(lambda conn: admit(conn, WorkerId("w"), limits, 1.0, NoTokens())).claims
    assert [claim.run_id for claim in claims] == [again.id]


@pytest.mark.parametrize("status", ["queued", "running"])
def test_what_has_not_ended_cannot_be_retried(env: RunsEnvironment, status: str) -> None:
    (run,) = env.queue(env.callback(), status=status)
    with pytest.raises(ConflictError):
        retry(env, run)
