"""Two `hookyard serve` on one PostgreSQL under load, one of them killed with SIGKILL in the middle of its runs.

Nothing accepted is lost, no operation runs twice, no batch is split or doubled, limits hold over both, the pages of one
follow what the other does, and the survivor finishes what the killed one had begun.
"""

from __future__ import annotations

import http.client
import json
import secrets
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.load import Senders, all_finished, event, lines, marked, tasks_of
from tests.e2e.server import ServerProcess, eventually, signed_in

Pair = tuple[tuple[ServerProcess, ServerProcess], tuple[str, str]]

LIMIT = 4
HERE = 3  # of one server: so both have to work for the limit to be reached
OPERATIONS = 40
CREATIONS = 30
DELETIONS = 5

# Writes down whose child it is, which run, and whether there were places left for it: a lock on a file for each place
# of the limit and for its key, which the kernel frees however an agent ends. Then it stays while the file `hold` does.
AGENT = """
import fcntl, os, pathlib, sys, time
folder, mark = pathlib.Path(os.environ["FOLDER"]), os.environ["E2E_MARK"]
task, key = sys.stdin.read().split()

def lock(name, how):
    file = os.open(folder / name, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, how)
    except OSError:
        os.close(file)
        return None
    return file

looking = lock("looking", fcntl.LOCK_EX)  # one at a time, or two could each miss the place that the other leaves
place = next((n for n in range(int(os.environ["LIMIT"])) if lock(f"place-{n}", fcntl.LOCK_EX | fcntl.LOCK_NB)), None)
alone = key == "-" or lock(f"key-{key}", fcntl.LOCK_EX | fcntl.LOCK_NB) is not None
os.close(looking)
with open(folder / "journal", "a") as journal:
    journal.write(f"begin {task} {mark} {place is not None} {alone}\\n")
time.sleep(0.1)
while (folder / "hold").exists():
    time.sleep(0.02)
"""


@pytest.fixture
def pair(make_server: Callable[..., ServerProcess], postgresql_url: str, tmp_path: Path) -> Pair:
    """Two servers, each with a data folder of its own, and the marks that their agents' environment carries."""
    key = secrets.token_urlsafe(32)
    marks = (f"mark-{uuid.uuid4().hex}", f"mark-{uuid.uuid4().hex}")
    servers = [
        make_server(
            {
                "HOOKYARD_DATABASE_URL": postgresql_url, "HOOKYARD_SECRET_KEY": key,
                "HOOKYARD_EVENT_CALLBACK_MAX_QUEUE_SIZE": str(LIMIT), "HOOKYARD_WORKER_MAX_RUNS": str(HERE),
                "FOLDER": str(tmp_path), "LIMIT": str(LIMIT), "E2E_MARK": mark,
            },
            name=name,
        )
        for name, mark in zip(("first", "second"), marks, strict=True)
    ]  # fmt: skip
    for server in servers:
        server.start()
    first, second = servers
    first.api("POST", "/workspaces", {"id": "w", "name": "W"})
    first.api("POST", "/agent-profiles", {
        "name": "worker", "kind": "command", "argv": [sys.executable, "-c", AGENT],
        "environment": ["FOLDER", "LIMIT", "E2E_MARK"], "authors": "anyone",
    })  # fmt: skip
    return (first, second), marks


def callback(server: ServerProcess, name: str, *events: str, **spec: Any) -> None:
    given = {"name": name, "events": events, "fence": "never", "agent": "worker", **spec}
    server.api("POST", "/workspaces/w/callbacks", given)


@contextmanager
def following(server: ServerProcess, cookie: str, topic: str) -> Iterator[Callable[[], dict[str, Any]]]:
    """A page's stream of server-sent events, once it is open; gives the next message."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    try:
        connection.request("GET", f"/live?t={topic}", headers={"Cookie": cookie})
        response = connection.getresponse()
        assert response.status == 200
        assert response.readline().startswith(b"retry:")

        def message() -> dict[str, Any]:
            while True:
                line = response.readline()
                assert line, "the stream has ended"
                if line.startswith(b"data: {"):  # not a ping, which carries its interval
                    told: dict[str, Any] = json.loads(line[6:])
                    return told

        yield message
    finally:
        connection.close()


def test_pages_of_one_server_follow_what_the_other_does(pair: Pair, postgresql_url: str, tmp_path: Path) -> None:
    (first, second), _ = pair
    callback(first, "c", "task.updated", prompt="{{taskId}} -")
    cookie = signed_in(first, postgresql_url)  # good on both
    with following(second, cookie, "events:w") as heard_second, following(first, cookie, "events:w") as heard_first:
        assert heard_second() == heard_first() == {"topic": "events:w"}  # look once, now that both listen
        first.api("POST", "/workspaces/w/tasks", {"title": "a"})
        assert heard_second() == heard_first() == {"topic": "events:w"}
    (tmp_path / "hold").touch()
    answer = second.api("POST", "/workspaces/w/events", event("op-1", "task.updated"))
    (run,) = answer["runs"]
    eventually(lambda: lines(tmp_path / "journal"), "the agent is at work, on one of the two")
    with following(first, cookie, f"run:{run}@0") as one, following(second, cookie, f"run:{run}@0") as other:
        (tmp_path / "hold").unlink()
        for message in (one, other):
            while not message()["over"]:
                pass
    assert first.api("GET", f"/workspaces/w/runs/{run}")["status"] == "succeeded"


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
@pytest.mark.timeout(240)
def test_one_of_two_is_killed_and_the_other_takes_over(pair: Pair, tmp_path: Path) -> None:
    (first, second), (mark, others_mark) = pair
    journal, hold = tmp_path / "journal", tmp_path / "hold"
    callback(first, "c", "task.updated", "task.status_changed", prompt="{{taskId}} -")
    callback(
        second, "merged", "task.created", prompt="{{batchSize}}", agent="", merge={"enabled": True, "windowMs": 400}
    )
    callback(first, "keyed", "task.deleted", prompt="{{taskId}} {{taskType}}", concurrencyKey="taskType")
    events = [event(f"op-{n}", name) for n in range(OPERATIONS) for name in ("task.updated", "task.status_changed")]
    events += [event(f"new-{n}", "task.created") for n in range(CREATIONS)]
    events += [event(f"del-{n}", "task.deleted") for n in range(DELETIONS)]
    hold.touch()  # so the kill hits runs that are under way
    # Some are sent to both servers, at about the same time.
    senders = Senders([first, second], events + events[::5], seed=7, pause_seconds=0.05)
    senders.start()

    def both_work() -> bool:
        words = [line.split() for line in lines(journal)]
        return len(words) == LIMIT and {line[2] for line in words} == {mark, others_mark}

    eventually(both_work, "the limit is reached, and both have a part in it")
    first.kill()
    eventually(lambda: not marked(mark), "the agents of the killed server have ended")
    assert marked(others_mark), "the others have not"
    hold.unlink()
    senders.join(120)

    runs = eventually(lambda: all_finished(second, OPERATIONS + CREATIONS + DELETIONS), "every run is finished", 120)
    assert len(senders.accepted) == len(events)
    stored = Counter(item["id"] for item in second.everything("/workspaces/w/events"))
    assert stored == dict.fromkeys(senders.accepted.values(), 1), "an accepted event is gone, or was stored twice"
    assert {(run["status"], run["error"]) for run in runs} == {("succeeded", None)}
    by_name = {name: [run for run in runs if run["callbackName"] == name] for name in ("c", "merged", "keyed")}
    assert Counter(run["prompt"] for run in by_name["c"]) == {f"op-{n} -": 1 for n in range(OPERATIONS)}
    assert Counter(run["prompt"] for run in by_name["keyed"]) == {f"del-{n} task": 1 for n in range(DELETIONS)}
    merged = Counter(task for run in by_name["merged"] for task in tasks_of(run))
    assert merged == {f"new-{n}": 1 for n in range(CREATIONS)}, "a batch was lost, split or doubled"
    assert len(by_name["merged"]) < CREATIONS, "nothing was merged: the test has shown nothing"

    begun = [line.split() for line in lines(journal)]
    assert {line[3] for line in begun} == {"True"}, "more ran at once than the limit over both allows"
    assert {line[4] for line in begun} == {"True"}, "two of one key ran at once"
    times = Counter(line[1] for line in begun)
    attempts = {run["event"]["taskId"]: len(run["attempts"]) for run in by_name["c"] + by_name["keyed"]}
    assert times == attempts, "each attempt is one start of the agent"
    hit = {line[1] for line in begun[:LIMIT] if line[2] == mark}
    assert {task for task, number in attempts.items() if number > 1} == hit, "only what the kill hit is started again"

    # The killed one comes back, and knows what has happened since.
    first.start()
    listed = [server.everything("/workspaces/w/runs") for server in (first, second)]
    assert listed[0] == listed[1]
    assert [server.stop() for server in (first, second)] == [0, 0]
    eventually(lambda: not marked(mark) and not marked(others_mark), "no process is left")
