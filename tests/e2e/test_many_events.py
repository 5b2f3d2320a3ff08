"""A server with a long history: it starts, lists and prunes as one without, and events are taken while it prunes.

The short form is about what was kept and lost; the long form measures as well. Its
result stands in docs/explanation/faults.md:
`HOOKYARD_TEST_EVENTS=1000000 uv run pytest -n 0 -s tests/e2e/test_many_events.py`.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier
from sqlalchemy import Connection, Table, func, insert, select, text

from hookyard.core.ids import Ids, earliest
from hookyard.store import schema
from hookyard.store.database import Database
from hookyard.web.api.paging import pack
from tests.e2e.server import ServerProcess, eventually, signed_in

EVENTS = int(os.environ.get("HOOKYARD_TEST_EVENTS", "5000"))
LONG = EVENTS > 100_000
RUN_EVERY = 10
TASKS = 1000
DAYS = 120
DAY = 86_400.0
KEPT_DAYS = 90  # the default of events and runs
AT_ONCE = 5000

LISTS = (
    "/events", "/events?name=task.updated", "/events?subject={subject}", "/events?cursor={middle}", "/events/{oldest}",
    "/runs", "/runs?event={oldest}", "/runs?status=succeeded", "/runs?status=failed", "/runs?callback={callback}",
    "/callbacks", "/tasks",
)  # fmt: skip
PAGES = (
    "/tasks", "/tasks?view=list", "/tasks?q=t", "/tasks/task-1", "/automations", "/automations/{callback}",
    "/automations/{callback}/versions", "/runs", "/runs?status=failed", "/runs?task=task-1", "/runs?status=denied",
    "/runs/{run}", "/events", "/events?task=task-1", "/events?after={middle_id}",
    "/events?name=task.updated", "/events?outcome=broken", "/events/{oldest}", "/dashboard", "/dashboard?window=7d",
    "/webhooks", "/members", "/account", "/settings", "/find?q=t",
)  # fmt: skip

Rows = dict[Table, list[dict[str, Any]]]


class Past:
    """A clock of the past, by which the ids of a history are made."""

    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def history(events: int, now: float, event: dict[str, Any], run: dict[str, Any], entries: list[Any]) -> Iterator[Rows]:
    """Rows by table like those that a server has stored for one event and its run, oldest first."""
    clock = Past(0.0)
    ids = Ids(clock)
    for number in range(events):
        clock.at = now - DAYS * DAY + number * (DAYS * DAY - 60) / events
        name, subject, runs = ids.event(), f"{event['subject'][:-4]}{number % TASKS:04}", number % RUN_EVERY == 0
        new = {"id": name, "occurred_at": clock.at, "received_at": clock.at, "subject": subject}
        rows: Rows = {
            schema.events: [
                event | new | {"source_id": f"old-{number}", "details": None if runs else event["details"]}
            ],
            schema.claims: [
                {"key": number.to_bytes(16, "big"), "event_id": name, "at": clock.at, "expires_at": clock.at + 7 * DAY}
            ],
        }
        if runs:
            begun = {"queued_at": clock.at, "started_at": clock.at, "finished_at": clock.at + 1}
            made = {"id": ids.run(), "event_id": name, "conversation_id": ids.conversation(), "subject": subject}
            rows[schema.runs] = [run | made | begun]
            rows[schema.attempts] = [
                {"run_id": made["id"], "number": 1, "worker_id": "wrk_old", "started_at": clock.at}
            ]
            rows[schema.run_entries] = [entry | {"run_id": made["id"]} for entry in entries]
        yield rows


def fill(database: Database, now: float) -> None:
    """Write the history, after the pattern of what is there."""

    def pattern(conn: Connection) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
        run = conn.execute(select(schema.runs)).mappings().first()
        assert run is not None
        event = conn.execute(select(schema.events).where(schema.events.c.id == run["event_id"])).mappings().one()
        entries = conn.execute(select(schema.run_entries).where(schema.run_entries.c.run_id == run["id"])).mappings()
        return dict(event), dict(run), [dict(one) for one in entries]

    made = history(EVENTS, now, *database.read_sync(pattern))
    while part := list(islice(made, AT_ONCE)):

        def write(conn: Connection, part: list[Rows] = part) -> None:
            for table in (schema.events, schema.claims, schema.runs, schema.attempts, schema.run_entries):
                if rows := [row for one in part for row in one.get(table, ())]:
                    store(conn, table, rows)

        database.write_sync(write)
    if not database.sqlite:
        database.write_sync(lambda conn: conn.execute(text("ANALYZE")).close())  # as its autovacuum does in time


def store(conn: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert many rows, in the quickest way of the database."""
    driver = conn.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        conn.execute(insert(table), rows)
        return
    names = SQL(", ").join(map(Identifier, rows[0]))
    with (
        driver.cursor() as cursor,
        cursor.copy(SQL("COPY {} ({}) FROM STDIN").format(Identifier(table.name), names)) as copy,
    ):
        for row in rows:
            copy.write_row(list(row.values()))


def count(database: Database, table: Table) -> int:
    return database.read_sync(lambda conn: conn.execute(select(func.count()).select_from(table)).scalar_one())


def started(server: ServerProcess) -> float:
    """Start it; seconds until it is ready."""
    begun = time.monotonic()
    server.start()
    assert server.request("GET", "/readyz")[0] == 200
    return time.monotonic() - begun


class Sender(threading.Thread):
    """Sends events one after another, and notes how long each took."""

    def __init__(self, server: ServerProcess, first: int = 0) -> None:
        super().__init__()
        self.server = server
        self.first = first
        self.ids: list[str] = []
        self.seconds: list[float] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            begun = time.monotonic()
            status, answer = self.server.request(
                "POST", "/api/v1/workspaces/w/events", joined(self.first + len(self.ids))
            )
            self.seconds.append(time.monotonic() - begun)
            assert status == 202, answer
            self.ids.append(answer["id"])
            time.sleep(0.005)

    def end(self) -> None:
        self.over.set()
        self.join(60)


def joined(number: int) -> dict[str, Any]:
    return {"eventName": "workspace.member_joined", "userId": f"u{number}", "userName": "孙七"}


def command(server: ServerProcess, database_url: str, *arguments: str) -> str:
    """A command beside the running server."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("HOOKYARD_")}
    env["HOOKYARD_DATABASE_URL"] = database_url
    done = subprocess.run(
        [sys.executable, "-m", "hookyard.cli", *arguments, "--data", str(server.data)],
        env=env, capture_output=True, text=True, timeout=3000, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def page(server: ServerProcess, cookie: str, path: str) -> int:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=120)
    try:
        connection.request("GET", path, headers={"Cookie": cookie})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def p50(ask: Callable[[], int], what: str) -> float:
    """Milliseconds of a request, the median of some; each has to succeed."""
    took = []
    for _ in range(9 if LONG else 1):
        begun = time.monotonic()
        status = ask()
        took.append((time.monotonic() - begun) * 1000)
        assert status == 200, (what, status)
    return statistics.median(took)


@pytest.mark.timeout(3600 if LONG else 180)
def test_a_long_history_is_listed_and_pruned_while_events_are_taken(
    make_server: Callable[..., ServerProcess], database_url: str
) -> None:
    server = make_server({"HOOKYARD_DATABASE_URL": database_url})
    tell("start with an empty database", started(server), "s")
    callback = prepare(server)
    assert server.stop() == 0
    with Database(database_url) as database:
        begun = time.monotonic()
        fill(database, time.time())
        tell(f"{EVENTS:,} events with {EVENTS // RUN_EVERY:,} runs written in", time.monotonic() - begun, "s")
        tell("start with them", started(server), "s")
        ids = database.read_sync(
            lambda c: c.execute(select(schema.events.c.id).order_by(schema.events.c.id)).scalars().all()
        )
        assert len(ids) > EVENTS
        look(server, database_url, ids, callback)
        prune(server, database_url, database, ids)
    assert server.stop() == 0


def tell(what: str, figure: float, unit: str) -> None:
    print(f"{what:<60} {figure:10.2f} {unit}")


def prepare(server: ServerProcess) -> str:
    """A workspace with an event that started a run; the callback."""
    server.api("POST", "/workspaces", {"id": "w", "name": "W"})
    callback = {"name": "c", "events": ["task.updated"], "prompt": "{{taskTitle}}"}
    made: str = server.api("POST", "/workspaces/w/callbacks", callback)["id"]
    server.api("POST", "/workspaces/w/tasks", {"title": "t", "status": "todo"})
    server.api("PATCH", "/workspaces/w/tasks/task-1", {"title": "t2"})
    eventually(lambda: server.everything("/workspaces/w/runs?status=succeeded"), "the pattern is there")
    return made


def look(server: ServerProcess, database_url: str, ids: Sequence[str], callback: str) -> None:
    """Ask for every list and page."""
    cookie = signed_in(server, database_url)
    middle = ids[len(ids) // 2]
    subject = server.api("GET", f"/workspaces/w/events/{middle}")["variables"]["taskDBId"]
    run = server.api("GET", "/workspaces/w/runs?limit=1")["items"][0]["id"]
    named = {
        "oldest": ids[0],
        "middle": pack(middle),
        "middle_id": middle,
        "subject": subject,
        "callback": callback,
        "run": run,
    }
    for path in LISTS:
        at = f"/api/v1/workspaces/w{path.format(**named)}"
        tell(f"API {path}", p50(lambda at=at: server.request("GET", at)[0], at), "ms")  # type: ignore[misc]
    for path in PAGES:
        at = f"/w/w{path.format(**named)}"
        tell(f"page {path}", p50(lambda at=at: page(server, cookie, at), at), "ms")  # type: ignore[misc]


def prune(server: ServerProcess, database_url: str, database: Database, ids: Sequence[str]) -> None:
    """Prune while events are taken: what is due goes, the rest stays, and everything sent is stored."""
    quiet = Sender(server)
    quiet.start()
    eventually(lambda: len(quiet.ids) >= 50, "events are taken")
    quiet.end()
    sender = Sender(server, first=len(quiet.ids))
    sender.start()
    begun, before = time.monotonic(), time.time()
    deleted = json.loads(command(server, database_url, "db", "prune", "--json"))
    took = time.monotonic() - begun
    during = len(sender.ids)
    sender.end()
    tell(f"pruned, {sum(deleted.values()):,} rows", took, "s")
    tell("events taken meanwhile", during, "")
    for name, seconds in (("before", quiet.seconds), ("while it prunes", sender.seconds[:during])):
        ordered = sorted(seconds)
        tell(f"an event is answered, {name}: p50", statistics.median(ordered) * 1000, "ms")
        tell(f"an event is answered, {name}: p99", ordered[int(len(ordered) * 0.99)] * 1000, "ms")
        tell(f"an event is answered, {name}: longest", ordered[-1] * 1000, "ms")
    after = time.time()
    kept = set(database.read_sync(lambda c: c.execute(select(schema.events.c.id)).scalars().all()))
    # A few have come of age meanwhile.
    due, may_be_due = (earliest("evt", at - KEPT_DAYS * DAY) for at in (before, after))
    assert {one for one in ids if one >= may_be_due} | set(quiet.ids) | set(sender.ids) <= kept
    assert not {one for one in ids if one < due} & kept
    gone = len(set(ids) - kept)
    assert deleted["events"] == gone
    runs = sum(number % RUN_EVERY == 0 for number in range(gone))
    assert deleted["runs"] == runs
    assert count(database, schema.attempts) == count(database, schema.runs)
    assert deleted["claims"] > 0
