"""Why a queued run has not started, as it is told to who looks."""

from __future__ import annotations

from hookyard.ids import WorkerId
from hookyard.runs import recovery
from hookyard.runs.admission import Limits, NoTokens, admit
from hookyard.runs.quota import Quotas
from hookyard.runs.waiting import ALIVE_SECONDS, NO_WORKER, PLACES, WORKERS_FULL, why_waits
from tests.runs.scene import Scene

ME = WorkerId("wrk_me")
NOW = 1_800_000_000.0


def why(scene: Scene, run_id: str, now: float = NOW) -> str | None:
    return scene.database.read_sync(lambda conn: why_waits(conn, run_id, scene.live(), now))


def beating(scene: Scene) -> None:
    scene.database.write_sync(lambda conn: recovery.register(conn, ME, NOW, {}))


def admitted(scene: Scene, quotas: Quotas | None = None) -> None:
    live = scene.live()
    limits = Limits(live.number("eventCallback.maxQueueSize"), live.number("worker.maxRuns"), quotas or Quotas())
    scene.database.write_sync(lambda conn: admit(conn, ME, limits, NOW, NoTokens()))


def test_nothing_holds_up_what_is_about_to_start_or_has_started(scene: Scene) -> None:
    (run,) = scene.queue(scene.callback())
    beating(scene)
    assert why(scene, run) is None
    admitted(scene)
    assert scene.run(run).status == "running"
    assert why(scene, run) is None
    assert why(scene, "run_nope") is None


def test_without_a_worker_that_is_what_it_waits_for(scene: Scene) -> None:
    (run,) = scene.queue(scene.callback())
    assert why(scene, run) == NO_WORKER
    beating(scene)
    assert why(scene, run, NOW + ALIVE_SECONDS) == NO_WORKER


def test_a_key_names_the_run_that_has_it(scene: Scene) -> None:
    first, second = scene.queue(scene.callback(), number=2, concurrency_key="cb:task-1")
    beating(scene)
    admitted(scene)
    assert why(scene, second) == f"waits: {first} has the same concurrency key"


def test_every_run_behind_a_quota_says_so_and_none_of_another_workspace(scene: Scene) -> None:
    own = scene.queue(scene.callback(), number=4)
    beating(scene)
    admitted(scene, Quotas(runs_an_hour=1))
    said = [why(scene, run) for run in own]
    assert said == [None, *["waits: 1 runs an hour is the workspace's quota"] * 3]
    (other,) = scene.queue(scene.callback("ws_b"), "ws_b")
    assert why(scene, other) is None


def test_the_limits_are_told_apart(scene: Scene) -> None:
    beating(scene)
    scene.settings["worker.maxRuns"] = 1
    _, second = scene.queue(scene.callback(), number=2)
    admitted(scene)
    assert why(scene, second) == WORKERS_FULL
    scene.settings["eventCallback.maxQueueSize"] = 1
    assert why(scene, second) == PLACES
