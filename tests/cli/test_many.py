"""Commands against a real server that holds more than one page of everything, and one that is started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import Done, run_command
from tests.e2e.server import TOKEN, ServerProcess, eventually

MANY = 230
"""More than two pages of a command."""


def environment(server: ServerProcess) -> dict[str, str]:
    return {"HOOKYARD_URL": server.url, "HOOKYARD_TOKEN": TOKEN, "HOOKYARD_WORKSPACE": "w"}


def ask(server: ServerProcess, *arguments: str) -> Done:
    return run_command(*arguments, environment=environment(server))


def send(server: ServerProcess, count: int, prefix: str) -> list[str]:
    """Send events, one after the other; their ids in that order."""
    event = {"eventName": "workspace.member_left", "userName": "u"}
    return [
        server.api("POST", "/workspaces/w/events", {**event, "userId": f"{prefix}-{number}"})["id"]
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with at least as many callbacks, events and runs."""
    data = tmp_path_factory.mktemp("full") / "data"
    data.mkdir()
    with ServerProcess(data) as server:
        server.api("POST", "/workspaces", {"name": "Work", "id": "w"})
        callback = {"events": ["workspace.member_left"], "prompt": "x", "agent": {"kind": "dry-run"}}
        server.api("POST", "/workspaces/w/callbacks", {**callback, "name": "on"})
        for number in range(MANY):
            idle = {**callback, "name": f"off {number}", "enabled": False}
            server.api("POST", "/workspaces/w/callbacks", idle)
        send(server, MANY, "full")
        yield server


def stored(server: ServerProcess) -> list[str]:
    """Ids of the events, oldest first."""
    return [event["id"] for event in server.everything("/workspaces/w/events")][::-1]


class Tail:
    """`hookyard events tail` as a process."""

    def __init__(self, server: ServerProcess, out: Path, *arguments: str) -> None:
        self.out = out
        self.errors = out.with_suffix(".err")
        env = {name: value for name, value in os.environ.items() if not name.startswith("HOOKYARD_")}
        command = [sys.executable, "-m", "hookyard.cli", "events", "tail", "--json", *arguments]
        with out.open("wb") as stdout, self.errors.open("wb") as stderr:
            self.process = subprocess.Popen(command, env=env | environment(server), stdout=stdout, stderr=stderr)

    def shown(self) -> list[str]:
        """Ids of the events in the order in which they were printed."""
        lines = self.out.read_text().split("\n")[:-1]
        return [json.loads(line)["id"] for line in lines]

    def wait_for(self, count: int) -> list[str]:
        def look() -> list[str] | None:
            assert self.process.poll() is None, self.errors.read_text()
            return shown if len(shown := self.shown()) >= count else None

        return eventually(look, f"{count} events are shown")

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)


@pytest.fixture
def tails() -> Iterator[list[Tail]]:
    """Processes that are ended with the test."""
    started: list[Tail] = []
    yield started
    for tail in started:
        tail.process.kill()
        tail.process.wait()


@pytest.mark.parametrize("last", [0, 1, 100, 101, 230, 500])
def test_the_last_events_across_pages(server: ServerProcess, last: int) -> None:
    sent = stored(server)
    done = ask(server, "events", "tail", "--no-follow", "--last", str(last), "--json")
    assert (done.code, done.err) == (0, "")
    assert [json.loads(line)["id"] for line in done.out.splitlines()] == (sent[-last:] if last else [])


def test_runs_and_callbacks_across_pages(server: ServerProcess, tmp_path: Path) -> None:
    sent = stored(server)
    for limit in (1, 100, 101, 201, 10_000):
        done = ask(server, "runs", "list", "--limit", str(limit), "--json")
        assert (done.code, done.err) == (0, "")
        runs = [run["id"] for run in json.loads(done.out)]
        assert len(set(runs)) == len(runs) == min(limit, len(sent))
    done = ask(server, "callbacks", "export", "-o", str(tmp_path / "all.yaml"))
    assert (done.code, done.err) == (0, "")
    exported = yaml.safe_load((tmp_path / "all.yaml").read_text())["callbacks"]
    assert {one["name"] for one in exported} == {"on", *(f"off {number}" for number in range(MANY))}


@pytest.mark.parametrize("last", ["0", "3", "150"])
def test_it_follows_without_gaps_and_duplicates_until_interrupted(
    server: ServerProcess, tails: list[Tail], tmp_path: Path, last: str
) -> None:
    before = stored(server)
    tail = Tail(server, tmp_path / "out", "--last", last)
    tails.append(tail)
    begun = before[-int(last) :] if int(last) else []
    if begun:
        assert tail.wait_for(len(begun)) == begun
    else:  # nothing is printed that says that it has begun, so events are sent until one is shown
        begun = eventually(lambda: send(server, 1, "first") and (tail.shown() or None), "an event is shown")
        before = stored(server)
        begun = before[before.index(begun[0]) :]
    sent = send(server, 120, f"followed {last}")
    assert tail.wait_for(len(begun) + 120) == [*begun, *sent]
    assert tail.interrupt() == 130
    assert tail.errors.read_text().strip() == ""


def test_it_goes_on_after_the_server_was_away(tails: list[Tail], tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with ServerProcess(data) as server:
        server.api("POST", "/workspaces", {"name": "Work", "id": "w"})
        begun = send(server, 2, "before")
        tail = Tail(server, tmp_path / "out")
        tails.append(tail)
        tail.wait_for(2)
        port = int(server.url.rpartition(":")[2])
        server.kill()
        eventually(lambda: "waiting for the server" in tail.errors.read_text(), "it says that the server is away")
        server.start(port)
        sent = send(server, 120, "after")
        assert tail.wait_for(122) == [*begun, *sent]
        server.stop()
        eventually(lambda: tail.errors.read_text().count("waiting for") == 2, "it says so again")
        server.start(port)
        more = send(server, 1, "at last")
        assert tail.wait_for(123) == [*begun, *sent, *more]
        first, second, *rest = tail.errors.read_text().splitlines()
        assert "cannot be reached" in first
        assert second == "hookyard: the server is back"
        assert len(rest) == 2
        assert tail.interrupt() == 130


def test_what_waiting_does_not_mend_ends_it(server: ServerProcess) -> None:
    done = run_command("events", "tail", environment=environment(server) | {"HOOKYARD_TOKEN": "wrong"})
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    away = run_command("events", "tail", environment=environment(server) | {"HOOKYARD_URL": "http://127.0.0.1:9"})
    assert (away.code, away.out, away.err.count("\n")) == (1, "", 1)
