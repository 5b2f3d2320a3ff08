"""Load on one server or several: events sent until each has been answered, and what the runs that follow are."""

from __future__ import annotations

import json
import random
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.server import ServerProcess

FINAL = {"succeeded", "failed", "timed_out", "cancelled", "skipped"}


def event(operation: str, name: str) -> dict[str, Any]:
    """An event about a task that is named like its operation."""
    own: dict[str, str] = {"updatedBy": "王五", "taskStatus": "blocked"}
    if name == "task.updated":
        own["changes"] = '{"status":"blocked"}'
    elif name == "task.created":
        own = {"createdBy": "李四", "taskStatus": "todo"}
    elif name == "task.deleted":
        own = {"deletedBy": "赵六"}
    return {
        "eventName": name,
        "id": f"{operation}-{name}",
        "operationId": operation,
        "taskId": operation,
        "taskDBId": str(uuid.uuid5(uuid.NAMESPACE_URL, operation)),
        "taskType": "task",
        "taskTitle": "t",
        **own,
    }


class Senders:
    """Send every event until it has been answered, however often the servers are away.

    Args:
        servers: One, or several on one database; each event goes to any of them.
        events: What to send, with ids, to the workspace `w`.
        seed: Of the order.
        pause_seconds: Of each thread, between two events.
        threads: How many send at once.
    """

    def __init__(
        self,
        servers: Sequence[ServerProcess],
        events: Sequence[dict[str, Any]],
        *,
        seed: int,
        pause_seconds: float,
        threads: int = 4,
    ) -> None:
        self.accepted: dict[str, str] = {}
        self.repeated = 0
        self._servers = servers
        self._waiting = list(events)
        self._pause_seconds = pause_seconds
        self._dice = random.Random(seed)
        self._dice.shuffle(self._waiting)
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send) for _ in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self, seconds: float) -> None:
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive()

    def _send(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    return
                sent = self._waiting.pop()
                order = self._dice.sample(list(self._servers), len(self._servers))
            answer = self._answered(sent, order)
            with self._lock:
                first = self.accepted.setdefault(sent["id"], answer.get("duplicateOf") or answer["id"])
                assert first == (answer.get("duplicateOf") or answer["id"]), "one event was stored as two"
                self.repeated += "duplicateOf" in answer
            time.sleep(self._pause_seconds)

    def _answered(self, sent: dict[str, Any], servers: Sequence[ServerProcess]) -> dict[str, Any]:
        while True:
            for server in servers:
                try:
                    status, answer = server.request("POST", "/api/v1/workspaces/w/events", sent)
                except OSError:
                    time.sleep(0.05)
                    continue
                assert status in (200, 202), (status, answer)
                found: dict[str, Any] = answer
                return found


def marked(mark: str) -> list[int]:
    """Processes whose environment carries a mark."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (directory / "environ").read_bytes():
                found.append(int(directory.name))
        except OSError:
            continue
    return found


def lines(journal: Path) -> list[str]:
    """What agents have written down so far."""
    return journal.read_text().splitlines() if journal.exists() else []


def tasks_of(run: dict[str, Any]) -> list[str]:
    """The tasks whose creation a merged run, or a single one, stands for."""
    event = run["event"]
    if not event.get("batch"):
        return [event["taskId"]]
    tasks = [one["taskId"] for one in json.loads(event["events"])]
    assert event["batchSize"] == len(tasks)
    return tasks


def all_finished(server: ServerProcess, tasks: int) -> list[dict[str, Any]] | None:
    """Every run with all of its details, once none is left to be done and they stand for so many tasks."""
    listed = server.everything("/workspaces/w/runs")
    if any(run["status"] not in FINAL for run in listed):
        return None
    runs = [server.api("GET", f"/workspaces/w/runs/{run['id']}") for run in listed]
    return runs if sum(len(tasks_of(run)) for run in runs) >= tasks else None
