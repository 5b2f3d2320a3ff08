"""Admission: limits, keys, quotas, callbacks that are gone; against a model; two workers at once."""

import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from hookyard.core.ids import RunId, WorkerId
from hookyard.core.message_catalog import Message
from hookyard.runs.admission import DELETED, DISABLED, Admitted, Limits, NoTokens, admit
from hookyard.runs.claim import AdmittedRun
from hookyard.runs.quota import HOUR_SECONDS, LEAST_TOKENS, Quotas, day_of, portion
from hookyard.store.database import Database
from hookyard.store.schema import attempts, callbacks, runs, spend
from tests.runs.environment import RunsEnvironment

ME = WorkerId("wrk_me")
NOW = 1_800_000_000.0
MANY = Limits(everywhere=1000, here=1000)


def admitted(env: RunsEnvironment, limits: Limits = MANY, now: float = NOW, worker: WorkerId = ME) -> list[AdmittedRun]:
    return list(env.database.write_sync(lambda conn: admit(conn, worker, limits, now, NoTokens())).claims)


def names(claims: list[AdmittedRun]) -> list[RunId]:
    return [claim.run_id for claim in claims]


def end(env: RunsEnvironment, *run_ids: str) -> None:
    env.database.write_sync(
        lambda conn: conn.execute(update(runs).where(runs.c.id.in_(run_ids)).values(status="succeeded"))
    )


def test_runs_start_in_the_order_in_which_they_were_queued(env: RunsEnvironment) -> None:
    queued = env.queue(env.callback(), number=5)
    assert names(admitted(env)) == queued
    assert env.statuses() == {"running": 5}
    assert [(a.number, a.worker_id) for a in env.all(select(attempts))] == [(1, ME)] * 5
    assert admitted(env) == []


def test_a_claim_carries_all_that_its_execution_needs(env: RunsEnvironment) -> None:
    cause = '[{"runId": "run_0", "callbackId": "cb_0", "eventId": "evt_0"}]'
    columns: dict[str, Any] = {"context": '{"a": 1}', "cause": cause, "subject": "t", "batch_id": "bat_1"}
    (run,) = env.queue(env.callback(), prompt="p", agent="x", timeout_seconds=9.0, **columns)
    (claim,) = admitted(env)
    assert (claim.run_id, claim.prompt, claim.agent, claim.context) == (run, "p", "x", {"a": 1})
    assert (claim.attempt, claim.timeout_seconds, claim.subject, claim.batch_id) == (1, 9.0, "t", "bat_1")
    assert [link.run_id for link in claim.chain.links] == ["run_0", run]
    assert claim.token_limit is None
    assert "run_token" not in repr(claim)


def test_the_limit_holds_over_all_workers_and_each_worker_has_its_own(env: RunsEnvironment) -> None:
    env.queue(env.callback(), number=10)
    assert len(admitted(env, Limits(everywhere=5, here=3))) == 3
    assert len(admitted(env, Limits(everywhere=5, here=3))) == 0
    assert len(admitted(env, Limits(everywhere=5, here=3), worker=WorkerId("wrk_other"))) == 2
    assert len(admitted(env, Limits(everywhere=5, here=3), worker=WorkerId("wrk_third"))) == 0


def test_an_ended_run_frees_its_place(env: RunsEnvironment) -> None:
    queued = env.queue(env.callback(), number=3)
    one = Limits(everywhere=1, here=1)
    for run in queued:
        assert names(admitted(env, one)) == [run]
        end(env, run)


def test_one_at_a_time_for_each_key_and_the_others_pass_by(env: RunsEnvironment) -> None:
    callback = env.callback()
    first, second = env.queue(callback, number=2, concurrency_key="cb:1")
    (other,) = env.queue(callback, concurrency_key="cb:2")
    (free,) = env.queue(callback)
    assert names(admitted(env)) == [first, other, free]
    assert admitted(env) == []
    end(env, first)
    assert names(admitted(env)) == [second]


def test_a_long_line_behind_one_key_hides_nothing(env: RunsEnvironment) -> None:
    callback = env.callback()
    line = env.queue(callback, number=230, concurrency_key="cb:1")
    (free,) = env.queue(callback)
    assert names(admitted(env)) == [line[0], free]


def test_workspaces_share_the_places(env: RunsEnvironment) -> None:
    busy, quiet = env.callback("ws_busy"), env.callback("ws_quiet")
    env.queue(busy, "ws_busy", number=50)
    (run,) = env.queue(quiet, "ws_quiet")
    assert run in names(admitted(env, Limits(everywhere=2, here=2)))


def test_runs_of_a_callback_that_is_gone_are_skipped_with_the_reason(env: RunsEnvironment) -> None:
    disabled, deleted, kept = env.callback(enabled=False), env.callback(), env.callback()
    env.database.write_sync(
        lambda conn: conn.execute(update(callbacks).where(callbacks.c.id == deleted).values(deleted_at=1.0))
    )
    (one,), (two,), (three,) = env.queue(disabled), env.queue(deleted), env.queue(kept)
    assert names(admitted(env)) == [three]
    assert (env.run(one).status, env.run(one).reason) == ("skipped", DISABLED.dumps())
    assert (env.run(two).status, env.run(two).reason) == ("skipped", DELETED.dumps())


def test_a_run_that_had_started_goes_on_although_its_callback_was_disabled(env: RunsEnvironment) -> None:
    (run,) = env.queue(env.callback(enabled=False), attempt=1)
    (claim,) = admitted(env)
    assert (claim.run_id, claim.attempt) == (run, 2)


def test_runs_beyond_the_hourly_quota_wait_and_say_so(env: RunsEnvironment) -> None:
    limits = Limits(1000, 1000, Quotas(runs_an_hour=2))
    queued = env.queue(env.callback(), number=4)
    assert names(admitted(env, limits)) == queued[:2]
    end(env, *queued[:2])
    assert admitted(env, limits, NOW + 60) == []
    assert Message.loads(env.run(queued[2]).reason) == Message("waits_runs_per_hour", {"limit": 2})
    assert names(admitted(env, limits, NOW + HOUR_SECONDS + 1)) == queued[2:]
    assert env.run(queued[2]).reason is None


def test_the_quota_of_one_workspace_holds_up_no_other(env: RunsEnvironment) -> None:
    limits = Limits(1000, 1000, Quotas(runs_an_hour=1))
    env.queue(env.callback("ws_a"), "ws_a", number=5)
    env.queue(env.callback("ws_b"), "ws_b", number=5)
    assert sorted(claim.workspace_id for claim in admitted(env, limits)) == ["ws_a", "ws_b"]


def test_tokens_are_reserved_so_that_runs_together_cannot_overspend(env: RunsEnvironment) -> None:
    limits = Limits(1000, 1000, Quotas(tokens_a_day=100_000))
    env.queue(env.callback(), number=50)
    claims = admitted(env, limits)
    reserved = [claim.token_limit or 0 for claim in claims]
    assert len(claims) > 4
    assert min(reserved) >= LEAST_TOKENS
    assert sum(reserved) <= 100_000
    assert env.all(select(spend.c.day, spend.c.reserved)) == [(day_of(NOW), sum(reserved))]
    assert admitted(env, limits) == []
    assert admitted(env, limits, NOW + 86_400)


@pytest.mark.parametrize(
    ("quota", "used", "expected"),
    [(100_000, 0, 25_000), (100_000, 80_000, 10_000), (100_000, 95_000, None), (500, 0, 500), (500, 1, None)],
)
def test_the_portion_of_one_run(quota: int, used: int, expected: int | None) -> None:
    assert portion(quota, used) == expected


class Model:
    """Admission as the contract has it, written down plainly."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, str, str | None]] = []
        self.running: dict[str, tuple[str, str | None]] = {}

    def admit(self, places: int) -> list[str]:
        started: list[str] = []
        while len(self.running) < places:
            keys = {key for _, key in self.running.values() if key}
            free = [run for run in self.waiting if run[2] is None or run[2] not in keys]
            if not free:
                break
            held = [workspace for workspace, _ in self.running.values()]
            run = min(free, key=lambda run: (held.count(run[1]), run[0]))
            self.waiting.remove(run)
            self.running[run[0]] = (run[1], run[2])
            started.append(run[0])
        return started


@pytest.mark.parametrize("seed", range(5))
def test_it_does_what_the_model_does(env: RunsEnvironment, seed: int) -> None:
    chance = random.Random(seed)
    model = Model()
    homes = {workspace: env.callback(workspace) for workspace in ("ws_a", "ws_b", "ws_c")}
    for _ in range(25):
        for _ in range(chance.randrange(6)):
            workspace = chance.choice(list(homes))
            key = chance.choice([None, None, f"{homes[workspace]}:1", f"{homes[workspace]}:2"])
            (run,) = env.queue(homes[workspace], workspace, concurrency_key=key)
            model.waiting.append((run, workspace, key))
        places = chance.randint(1, 6)
        assert names(admitted(env, Limits(places, 1000))) == model.admit(places)
        for ended in chance.sample(sorted(model.running), k=chance.randint(0, len(model.running))):
            del model.running[ended]
            end(env, ended)


def test_two_workers_at_once_start_no_run_twice_and_never_exceed_the_limit(postgresql_url: str) -> None:
    with Database(postgresql_url) as mine, Database(postgresql_url) as theirs:
        env = RunsEnvironment(mine)
        env.create()
        env.queue(env.callback(), number=60)
        limits = Limits(everywhere=20, here=1000)
        taken: list[AdmittedRun] = []
        contended = threading.Event()
        together = threading.Barrier(2)

        def work(database: Database, worker: str) -> None:
            together.wait()
            for _ in range(40):
                found = database.write_sync(in_turn(worker))
                taken.extend(found.claims)
                if found.contended:
                    contended.set()

        def in_turn(worker: str) -> Callable[[Any], Admitted]:
            return lambda conn: admit(conn, WorkerId(worker), limits, NOW, NoTokens())

        threads = [threading.Thread(target=work, args=pair) for pair in ((mine, "wrk_1"), (theirs, "wrk_2"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(taken) == len(set(names(taken))) == 20
        assert env.statuses() == {"running": 20, "queued": 40}


def test_a_run_that_is_cancelled_in_that_very_moment_is_not_started(postgresql_url: str) -> None:
    with Database(postgresql_url) as mine, Database(postgresql_url) as theirs:
        env = RunsEnvironment(mine)
        env.create()
        (run, other) = env.queue(env.callback(), number=2)

        def admit_after_cancel(conn: Any) -> Admitted:
            """Another server's commit comes between what admission reads and what it writes."""
            original = conn.execute

            def execute(statement: Any, *args: Any, **kwargs: Any) -> Any:
                if statement.is_update:
                    theirs.write_sync(
                        lambda their: their.execute(update(runs).where(runs.c.id == run).values(status="cancelled"))
                    )
                return original(statement, *args, **kwargs)

            conn.execute = execute
            try:
                return admit(conn, ME, MANY, NOW, NoTokens())
            finally:
                del conn.execute

        assert names(list(mine.write_sync(admit_after_cancel).claims)) == [other]
        assert env.run(run).status == "cancelled"


def test_ten_thousand_waiting_runs_do_not_slow_it(env: RunsEnvironment) -> None:
    """Not a benchmark: it guards the plan of the queries against reading every waiting run."""
    callback = env.callback()
    rows = [env.row(callback) for _ in range(10_000)]
    env.database.write_sync(lambda conn: conn.execute(insert(runs), rows))
    plan = "EXPLAIN QUERY PLAN " if env.database.sqlite else "EXPLAIN "
    found = env.database.read_sync(
        lambda conn: conn.exec_driver_sql(
            plan + "SELECT min(workspace_id) FROM runs WHERE status = 'queued' AND workspace_id > 'ws'"
        ).all()
    )
    assert "ix_runs_status_workspace_id_id" in str(found)
    assert len(admitted(env, Limits(1000, 16))) == 16
