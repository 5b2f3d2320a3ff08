"""Two servers and three workers on a PostgreSQL that is away, silent, read-only, or held by a frozen process.

What became of the runs is judged by the history of the endpoint that they call.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.e2e.load import event
from tests.e2e.postgres_cluster import PostgresCluster, postgres_cluster
from tests.e2e.receiver import Receiver, receiving
from tests.e2e.server import TOKEN, ServerProcess, eventually
from tests.e2e.tcp_proxy import Mode, TcpProxy
from tests.ports import kept_port

LEASE_SECONDS = 6
READY_SECONDS = 3.0
ANSWER_SECONDS = 10.0
STOP_SECONDS = 20.0


class WorkerProcess(ServerProcess):
    """A real `hookyard worker`."""

    def start(self, port: int = 0) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith("HOOKYARD_")}
        env |= {"HOOKYARD_HOME": str(self.data), "HOOKYARD_ADMIN_TOKEN": TOKEN, **self._environment}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hookyard.cli", "worker", "--data", str(self.data)],
                env=env, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
        assert "ready" in self._ready_line()


@dataclass
class Fleet:
    """What a test has: processes by name, each behind a proxy of its own."""

    cluster: PostgresCluster
    receiver: Receiver
    servers: list[ServerProcess] = field(default_factory=list)
    workers: dict[str, WorkerProcess] = field(default_factory=dict)
    proxies: dict[str, TcpProxy] = field(default_factory=dict)
    make_worker: Callable[[str], WorkerProcess] = field(default=lambda name: pytest.fail(name))

    @property
    def server(self) -> ServerProcess:
        return self.servers[0]

    def send(self, *operations: str) -> list[str]:
        """The runs of events that are sent."""
        answers = [
            self.server.api("POST", "/workspaces/w/events", event(operation, "task.updated"))
            for operation in operations
        ]
        return [run for answer in answers for run in answer["runs"]]

    def run(self, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.server.api("GET", f"/workspaces/w/runs/{run}")
        return found

    def succeed(self, runs: list[str], seconds: float = 60) -> list[dict[str, Any]]:
        """The runs once they have ended, all of them well."""
        ended = [
            eventually(lambda run=run: (it := self.run(run))["finishedAt"] and it, f"{run} ends", seconds)  # type: ignore[misc]
            for run in runs
        ]
        assert {(run["status"], run["error"]) for run in ended} == {("succeeded", None)}
        return ended


@pytest.fixture
def make_fleet(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    with ExitStack() as stack:

        def make(lease_seconds: int | None, workers: int = 3) -> Fleet:
            cluster = stack.enter_context(postgres_cluster(stack.enter_context(kept_port())))
            fleet = Fleet(cluster, stack.enter_context(receiving()))
            common = {"HOOKYARD_SECRET_KEY": secrets.token_urlsafe(32), "HOOKYARD_ALLOW_PRIVATE_HOSTS": "127.0.0.0/8"}
            if lease_seconds is not None:
                common["HOOKYARD_WORKER_LEASE_SECONDS"] = str(lease_seconds)

            def environment(name: str) -> dict[str, str]:
                proxy = fleet.proxies[name] = stack.enter_context(TcpProxy(cluster.port))
                (tmp_path / name).mkdir()
                return {**common, "HOOKYARD_DATABASE_URL": f"{cluster.url(proxy.port)}?application_name={name}"}

            def make_worker(name: str) -> WorkerProcess:
                worker = fleet.workers[name] = WorkerProcess(tmp_path / name, environment(name))
                stack.callback(worker.kill)
                worker.start()
                return worker

            fleet.make_worker = make_worker
            for name in ("s1", "s2"):
                server = ServerProcess(tmp_path / name, environment(name), "--no-worker")
                stack.callback(server.kill)
                server.start()
                fleet.servers.append(server)
            fleet.server.api("POST", "/workspaces", {"id": "w", "name": "W"})
            fleet.server.api("POST", "/agent-profiles", {
                "name": "caller", "kind": "http", "url": fleet.receiver.url, "authors": "anyone",
            })  # fmt: skip
            fleet.server.api("POST", "/workspaces/w/callbacks", {
                "name": "c", "events": ["task.updated"], "fence": "never", "agent": "caller", "prompt": "{{taskId}}",
            })  # fmt: skip
            for number in range(workers):
                make_worker(f"w{number + 1}")
            return fleet

        yield make


def refused(server: ServerProcess, operation: str) -> None:
    """An event and a probe are answered 503, in time; the process itself is well."""
    began = time.monotonic()
    status, answer = server.request("GET", "/readyz")
    assert (status, time.monotonic() - began < READY_SECONDS) == (503, True), answer
    began = time.monotonic()
    status, answer = server.request("POST", "/api/v1/workspaces/w/events", event(operation, "task.updated"))
    assert (status, time.monotonic() - began < ANSWER_SECONDS) == (503, True), answer
    assert server.request("GET", "/healthz")[0] == 200


def is_ready(server: ServerProcess) -> bool:
    return server.request("GET", "/readyz")[0] == 200


@pytest.mark.timeout(180)
def test_an_outage_of_25_seconds_restarts_no_run(make_fleet: Callable[..., Fleet]) -> None:
    fleet = make_fleet(None)
    fleet.receiver.hold.set()
    runs = fleet.send(*(f"op-{n}" for n in range(6)))
    eventually(lambda: len(fleet.receiver.open_now()) == 6, "all runs are under way")
    fleet.cluster.stop()
    until = time.monotonic() + 25
    while time.monotonic() < until:
        for number, server in enumerate(fleet.servers):
            refused(server, f"refused-{number}")
        time.sleep(1.0)
    assert len(fleet.receiver.open_now()) == 6
    fleet.cluster.start()
    for server in fleet.servers:
        eventually(lambda server=server: is_ready(server), "events are taken again")  # type: ignore[misc]
    time.sleep(8.0)  # long enough for any worker to take another for dead, and to start what it had
    fleet.receiver.hold.clear()
    assert [run["attempt"] for run in fleet.succeed(runs)] == [1] * 6
    assert [len(fleet.receiver.of(run)) for run in runs] == [1] * 6


@pytest.mark.timeout(180)
def test_a_worker_cut_off_without_a_word_ends_its_agents_before_others_begin(
    make_fleet: Callable[..., Fleet],
) -> None:
    fleet = make_fleet(LEASE_SECONDS, workers=1)
    fleet.receiver.hold.set()
    runs = fleet.send("a", "b", "c")
    eventually(lambda: len(fleet.receiver.open_now()) == 3, "the first worker has them")
    fleet.make_worker("w2")
    fleet.proxies["w1"].turn(Mode.HALF_OPEN)
    eventually(lambda: all(len(fleet.receiver.of(run)) == 2 for run in runs), "the second worker has begun them")
    assert fleet.receiver.overlapping() == []
    began = time.monotonic()
    assert fleet.workers["w1"].stop() == 0, "it stops although its database is silent"
    assert time.monotonic() - began < STOP_SECONDS
    fleet.receiver.hold.clear()
    fleet.succeed(runs)


@pytest.mark.timeout(180)
def test_a_silent_or_read_only_database_is_503_and_no_verdict_on_a_run(make_fleet: Callable[..., Fleet]) -> None:
    fleet = make_fleet(None, workers=1)
    first, second = fleet.servers
    fleet.receiver.hold.set()
    runs = fleet.send("under-way")
    eventually(lambda: fleet.receiver.open_now() or None, "it is under way")
    fleet.cluster.read_only(True)
    for server in fleet.servers:
        refused(server, "read-only")
    fleet.receiver.hold.clear()
    eventually(lambda: not fleet.receiver.open_now(), "the agent is done while nothing can be stored")
    eventually(lambda: "a result waits" in fleet.workers["w1"].log.read_text(), "its result waits")
    fleet.cluster.read_only(False)
    assert [run["attempt"] for run in fleet.succeed(runs)] == [1]
    assert len(fleet.receiver.of(runs[0])) == 1

    fleet.proxies["s2"].turn(Mode.HALF_OPEN)
    refused(second, "silent")
    assert is_ready(first)
    fleet.proxies["s2"].turn(Mode.FORWARD)
    eventually(lambda: is_ready(second), "it is found again")
    fleet.proxies["s2"].turn(Mode.HALF_OPEN)
    began = time.monotonic()
    assert second.stop() == 0
    assert time.monotonic() - began < STOP_SECONDS


@pytest.mark.skipif(sys.platform != "linux", reason="stops a process and lets it go on")
@pytest.mark.timeout(180)
def test_a_process_frozen_inside_a_transaction_stops_the_others_for_seconds(make_fleet: Callable[..., Fleet]) -> None:
    fleet = make_fleet(LEASE_SECONDS)
    waiting = (
        "SELECT application_name FROM pg_stat_activity a JOIN pg_locks l USING (pid)"
        " WHERE NOT l.granted AND application_name LIKE 'w%' AND query LIKE 'INSERT INTO attempts%'"
    )
    with psycopg.connect(fleet.cluster.url()) as holder:
        holder.execute("LOCK TABLE attempts IN EXCLUSIVE MODE")  # what an admission writes when it holds its own lock
        runs = fleet.send("frozen")
        ((name,), *_) = eventually(lambda: fleet.cluster.execute(waiting) or None, "a worker admits the run")
        os.kill(fleet.workers[name].pid, signal.SIGSTOP)
    frozen = fleet.workers[name]
    try:
        idle = f"SELECT 1 FROM pg_stat_activity WHERE application_name = '{name}' AND state = 'idle in transaction'"
        eventually(lambda: fleet.cluster.execute(idle) or None, "it is frozen in the middle of its transaction")
        began = time.monotonic()
        runs += fleet.send("meanwhile")
        fleet.succeed(runs)
        assert time.monotonic() - began < 12, "others go on after a few seconds"
        time.sleep(LEASE_SECONDS)
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    beats = f"SELECT 1 FROM workers WHERE pid = {frozen.pid} AND heartbeat_at > {time.time()}"
    eventually(lambda: fleet.cluster.execute(beats) or None, "it works again")
    assert [len(fleet.receiver.of(run)) for run in runs] == [1, 1], "what it woke up with it did not start"
    runs = fleet.send(*(f"after-{n}" for n in range(4)))
    fleet.succeed(runs)
