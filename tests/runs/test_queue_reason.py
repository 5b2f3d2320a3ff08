"""Why a queued run has not started, as it is told to who looks."""

from __future__ import annotations

from hookyard.core.ids import WorkerId
from hookyard.core.message_catalog import Message
from hookyard.runs import recovery
from hookyard.runs.admission import Limits, NoTokens, admit
from hookyard.runs.queue_reason import ALIVE_SECONDS, NO_WORKER, SLOTS_FULL, WORKERS_FULL, explain_wait
from hookyard.runs.quota import Quotas
from tests.runs.environment import RunsEnvironment

ME = WorkerId("wrk_me")
NOW = 1_800_000_000.0


def why(env: RunsEnvironment, run_id: str, now: float = NOW) -> Message | None:
    return env.database.read_sync(lambda conn: explain_wait(conn, run_id, env.live(), now))


def beating(env: RunsEnvironment) -> None:
    env.database.write_sync(lambda conn: recovery.register(conn, ME, NOW, {}))


def admitted(env: RunsEnvironment, quotas: Quotas | None = None) -> None:
    live = env.live()
    limits = Limits(live.number("eventCallback.maxQueueSize"), live.number("worker.maxRuns"), quotas or Quotas())
    env.database.write_sync(lambda conn: admit(conn, ME, limits, NOW, NoTokens()))


def test_nothing_holds_up_what_is_about_to_start_or_has_started(env: RunsEnvironment) -> None:
    (run,) = env.queue(env.callback())
    beating(env)
    assert why(env, run) is None
    admitted(env)
    assert env.run(run).status == "running"
    assert why(env, run) is None
    assert why(env, "run_nope") is None


def test_without_a_worker_that_is_what_it_waits_for(env: RunsEnvironment) -> None:
    (run,) = env.queue(env.callback())
    assert why(env, run) == NO_WORKER
    beating(env)
    assert why(env, run, NOW + ALIVE_SECONDS) == NO_WORKER


def test_a_key_names_the_run_that_has_it(env: RunsEnvironment) -> None:
    first, second = env.queue(env.callback(), number=2, concurrency_key="cb:task-1")
    beating(env)
    admitted(env)
    assert why(env, second) == Message("waits_concurrency_key", {"run": first})


def test_every_run_behind_a_quota_says_so_and_none_of_another_workspace(env: RunsEnvironment) -> None:
    own = env.queue(env.callback(), number=4)
    beating(env)
    admitted(env, Quotas(runs_an_hour=1))
    said = [why(env, run) for run in own]
    assert said == [None, *[Message("waits_runs_per_hour", {"limit": 1})] * 3]
    (other,) = env.queue(env.callback("ws_b"), "ws_b")
    assert why(env, other) is None


def test_the_limits_are_told_apart(env: RunsEnvironment) -> None:
    beating(env)
    env.settings["worker.maxRuns"] = 1
    _, second = env.queue(env.callback(), number=2)
    admitted(env)
    assert why(env, second) == WORKERS_FULL
    env.settings["eventCallback.maxQueueSize"] = 1
    assert why(env, second) == SLOTS_FULL
