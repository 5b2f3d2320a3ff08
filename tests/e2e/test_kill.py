"""Killed with SIGKILL at random moments under load: nothing accepted is lost, no operation runs twice, no batch is
split or doubled, no child is left.

The long form, whose result stands in docs/explanation/faults.md:
`HOOKYARD_TEST_KILLS=50 uv run pytest -n 0 -s tests/e2e/test_kill.py`.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.load import Senders, all_finished, event, lines, marked, tasks_of
from tests.e2e.server import ServerProcess, eventually

KILLS = int(os.environ.get("HOOKYARD_TEST_KILLS", "5"))
OPERATIONS = 12 * KILLS
CREATIONS = 12 * KILLS
QUIET = 500 * KILLS
MERGE_MS = 400
SEED = int(os.environ.get("HOOKYARD_TEST_SEED", "7"))

# Says that it has begun, starts a child of its own, works a little, and says that it has ended.
AGENT = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
prompt = sys.stdin.read()
with open(os.environ["JOURNAL"], "a") as journal:
    journal.write(f"begin {prompt}\\n")
time.sleep(0.3)
with open(os.environ["JOURNAL"], "a") as journal:
    journal.write(f"end {prompt}\\n")
print("did", prompt)
"""


def everything() -> list[dict[str, Any]]:
    """Two events of every operation, and the creations that are to be merged."""
    changed = [event(f"op-{n}", name) for n in range(OPERATIONS) for name in ("task.updated", "task.status_changed")]
    return changed + [event(f"new-{n}", "task.created") for n in range(CREATIONS)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.timeout(60 + 36 * KILLS)
def test_a_killed_server_loses_nothing_runs_nothing_twice_and_leaves_no_child(
    make_server: Callable[..., ServerProcess], port: int, tmp_path: Path
) -> None:
    journal, mark = tmp_path / "journal", f"mark-{uuid.uuid4().hex}"
    # A run may be hit by more kills than it has attempts by default; and when too many begin at once, a slow machine
    # lets none end between two kills.
    limits = {"HOOKYARD_RUNS_MAX_ATTEMPTS": "20", "HOOKYARD_WORKER_MAX_RUNS": "6"}
    server = make_server({"JOURNAL": str(journal), "E2E_MARK": mark, **limits})
    server.start(port)
    server.api("POST", "/workspaces", {"id": "w", "name": "W"})
    server.api("POST", "/agent-profiles", {
        "name": "worker", "kind": "command", "argv": [sys.executable, "-c", AGENT],
        "environment": ["JOURNAL", "E2E_MARK"], "authors": "anyone",
    })  # fmt: skip
    server.api("POST", "/workspaces/w/callbacks", {
        "name": "c", "events": ["task.updated", "task.status_changed"], "condition": "ctx.taskStatus === 'blocked'",
        "prompt": "{{taskId}}", "fence": "never", "agent": "worker",
    })  # fmt: skip
    server.api("POST", "/workspaces/w/callbacks", {
        "name": "merged", "events": ["task.created"], "prompt": "{{batchSize}}",
        "merge": {"enabled": True, "windowMs": MERGE_MS},
    })  # fmt: skip

    # Slowly enough that there is load until the last kill.
    senders = Senders([server], everything(), seed=SEED, pause_seconds=0.25)
    senders.start()
    moments = random.Random(SEED)
    for _ in range(KILLS):
        begun = len(lines(journal))
        eventually(lambda: len(lines(journal)) > begun, "agents are at work")  # noqa: B023 - called at once
        time.sleep(moments.uniform(0.05, 0.8))
        server.kill()
        eventually(lambda: not marked(mark), "the agents of the killed server have ended")
        server.start(port)
    senders.join(60 * KILLS)

    runs = eventually(lambda: all_finished(server, OPERATIONS + CREATIONS), "every run is finished", 24 * KILLS)
    assert len(senders.accepted) == 2 * OPERATIONS + CREATIONS
    stored = {item["id"] for item in server.everything("/workspaces/w/events")}
    assert set(senders.accepted.values()) <= stored, "an accepted event is gone"
    by_name = {name: [run for run in runs if run["callbackName"] == name] for name in ("c", "merged")}
    assert Counter(run["prompt"] for run in by_name["c"]) == {f"op-{n}": 1 for n in range(OPERATIONS)}
    assert {(run["status"], run["error"]) for run in runs} == {("succeeded", None)}
    merged = Counter(task for run in by_name["merged"] for task in tasks_of(run))
    assert merged == {f"new-{n}": 1 for n in range(CREATIONS)}, "a batch was lost, split or doubled"
    assert len(by_name["merged"]) < CREATIONS, "nothing was merged: the test has shown nothing"
    attempts = Counter(run["prompt"] for run in by_name["c"] for _ in run["attempts"])
    began = Counter(line.split()[1] for line in lines(journal) if line.startswith("begin"))
    assert all(began[prompt] <= attempts[prompt] for prompt in began), "something began that is no attempt of a run"
    assert any(count > 1 for count in attempts.values()), "the kills hit no run: the test has shown nothing"
    assert server.stop() == 0
    eventually(lambda: not marked(mark), "no process is left")
    hit = sum(len(run["attempts"]) > 1 for run in runs)
    print(
        f"\nseed {SEED}: {KILLS} kills, {len(senders.accepted)} events accepted ({senders.repeated} of them sent again"
        f" after a lost answer), {len(runs)} runs in {sum(len(run['attempts']) for run in runs)} attempts, {hit} runs"
        f" hit by a kill, {len(by_name['merged'])} of them batches or single creations;"
        " 0 events lost, 0 operations run twice, 0 batches split or doubled, 0 processes left"
    )


@pytest.mark.timeout(60 + 12 * KILLS)
def test_events_that_nobody_wants_are_stored_whole_or_not_at_all(
    make_server: Callable[..., ServerProcess], port: int
) -> None:
    """At full speed, many in one statement (see decision 0405): each with its claim, once."""
    server = make_server(None, "--no-worker")
    server.start(port)
    server.api("POST", "/workspaces", {"id": "w", "name": "W"})
    server.api("POST", "/workspaces/w/callbacks", {
        "name": "c", "events": ["task.updated"], "condition": "ctx.taskStatus === 'done'", "prompt": "{{taskId}}",
    })  # fmt: skip
    quiet = [event(f"quiet-{n}", "task.updated") for n in range(QUIET)]
    senders = Senders([server], quiet, seed=SEED, pause_seconds=0.0, threads=16)
    senders.start()
    moments = random.Random(SEED)
    for kill in range(1, KILLS + 1):
        share = QUIET * kill // (KILLS + 1)
        eventually(lambda: len(senders.accepted) >= share, "events are being stored", 30)  # noqa: B023 - called at once
        time.sleep(moments.uniform(0.0, 0.02))
        server.kill()
        server.start(port)
    senders.join(60)
    assert server.stop() == 0

    with closing(sqlite3.connect(server.data / "hookyard.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = dict(database.execute("SELECT source_id, id FROM events WHERE name = 'task.updated'").fetchall())
        claims = {row[0] for row in database.execute("SELECT event_id FROM claims")}
        assert database.execute("SELECT count(*) FROM events WHERE name = 'task.updated'").fetchone() == (QUIET,)
    assert stored == senders.accepted, "an accepted event is gone, or is another one now"
    assert set(stored.values()) <= claims, "an event without its claim could come twice"
    print(f"\nseed {SEED}: {KILLS} kills, {QUIET} events accepted, {senders.repeated} of them sent again; none lost")
