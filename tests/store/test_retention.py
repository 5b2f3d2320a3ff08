"""What is kept no longer goes, what is needed stays; and backups."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table, insert, select, update

from hookyard.core.errors import PermanentError
from hookyard.core.ids import Ids, earliest
from hookyard.settings import LiveSettings
from hookyard.store import migrations, schema
from hookyard.store.database import Database
from hookyard.store.retention import backup, prune

NOW = 1_768_467_600.0
DAY = 86_400.0


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url) as database:
        migrations.upgrade(database)
        yield database


class At:
    def __init__(self, at: float) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def rows(database: Database, table: Table, column: str) -> list[Any]:
    return database.read_sync(lambda conn: sorted(conn.execute(select(table.c[column])).scalars()))


def put(conn: Connection, table: Table, **values: Any) -> None:
    """A row, with something in every column that needs it."""
    row = {}
    for column in table.columns:
        if column.name in values:
            row[column.name] = values[column.name]
        elif not column.nullable:
            row[column.name] = b"x" if "BLOB" in str(column.type) else 0 if "TEXT" not in str(column.type) else "x"
    conn.execute(insert(table).values(row))


def story(conn: Connection, days_ago: float, *, status: str = "succeeded") -> dict[str, str]:
    """An event with its run, a batch and what belongs to them."""
    at = NOW - days_ago * DAY
    ids = Ids(At(at))
    event, run, batch, other = ids.event(), ids.run(), ids.batch(), ids.event()
    for one in (event, other):
        put(conn, schema.events, id=one, received_at=at, listener_set=f"set_{days_ago}")
    put(conn, schema.runs, id=run, event_id=event, status=status, queued_at=at, finished_at=at, prompt="p")
    put(conn, schema.attempts, run_id=run, number=1)
    put(conn, schema.run_entries, run_id=run, seq=1)
    put(conn, schema.batches, id=batch, callback_id=f"cb_{days_ago}", closes_at=at, settled_at=at, closed_at=at)
    put(conn, schema.batch_events, batch_id=batch, event_id=event)
    put(conn, schema.deliveries, id=ids.delivery())
    put(conn, schema.listener_sets, id=f"set_{days_ago}", created_at=at)
    return {"event": event, "other": other, "run": run, "batch": batch}


async def test_old_rows_go_and_young_ones_stay(database: Database) -> None:
    def fill(conn: Connection) -> tuple[dict[str, str], dict[str, str]]:
        return story(conn, 100), story(conn, 10)

    _, young = await database.write(fill)
    steps: list[tuple[str, int]] = []
    deleted = await prune(database, NOW, LiveSettings(), lambda table, count: steps.append((table, count)))
    assert deleted == {"deliveries": 1, "runs": 1, "batches": 1, "events": 2, "listener_sets": 1}
    assert dict(steps) == dict(deleted)
    assert rows(database, schema.events, "id") == sorted([young["event"], young["other"]])
    assert rows(database, schema.runs, "id") == [young["run"]]
    assert rows(database, schema.attempts, "run_id") == rows(database, schema.run_entries, "run_id") == [young["run"]]
    assert rows(database, schema.batch_events, "batch_id") == [young["batch"]]
    assert await prune(database, NOW, LiveSettings()) == {}


async def test_an_event_stays_as_long_as_its_run(database: Database) -> None:
    live = LiveSettings({**LiveSettings().values, "retention.runDays": 0})
    old = await database.write(lambda conn: story(conn, 100))
    await prune(database, NOW, live)
    assert rows(database, schema.events, "id") == [old["event"]]
    assert rows(database, schema.runs, "id") == [old["run"]]
    assert rows(database, schema.listener_sets, "id") == ["set_100"]  # why it ran can still be said


async def test_a_batch_stays_as_long_as_its_run(database: Database) -> None:
    def fill(conn: Connection) -> dict[str, str]:
        made = story(conn, 100)
        put(conn, schema.batch_events, batch_id=made["batch"], event_id=made["other"])
        conn.execute(update(schema.batches).values(run_id=made["run"]))
        return made

    live = LiveSettings({**LiveSettings().values, "retention.runDays": 0})
    old = await database.write(fill)
    await prune(database, NOW, live)
    assert rows(database, schema.batches, "id") == [old["batch"]]
    assert rows(database, schema.batch_events, "event_id") == sorted([old["event"], old["other"]])
    assert rows(database, schema.events, "id") == sorted([old["event"], old["other"]])
    await prune(database, NOW, LiveSettings())
    assert [rows(database, table, "id") for table in (schema.runs, schema.batches, schema.events)] == [[], [], []]
    assert rows(database, schema.listener_sets, "id") == []


async def test_a_run_that_has_not_ended_stays(database: Database) -> None:
    old = await database.write(lambda conn: story(conn, 100, status="queued"))
    await prune(database, NOW, LiveSettings())
    assert rows(database, schema.runs, "id") == [old["run"]]
    assert rows(database, schema.events, "id") == [old["event"]]


async def test_zero_days_keep_for_ever(database: Database) -> None:
    names = ("retention.runDays", "retention.eventDays", "retention.deliveryDays")
    await database.write(lambda conn: story(conn, 10_000))
    assert await prune(database, NOW, LiveSettings({**LiveSettings().values, **dict.fromkeys(names, 0)})) == {}


async def test_expired_claims_of_every_slice_go(database: Database) -> None:
    def fill(conn: Connection) -> None:
        for first in range(256):
            for end, expires_at in ((b"a", NOW - 1), (b"b", NOW + 1)):
                put(conn, schema.claims, key=bytes([first]) + end, expires_at=expires_at)

    await database.write(fill)
    assert await prune(database, NOW, LiveSettings()) == {"claims": 256}
    assert len(rows(database, schema.claims, "key")) == 256


async def test_sessions_links_tokens_and_spend(database: Database) -> None:
    def fill(conn: Connection) -> None:
        for number, ago in enumerate((8, 6, -1)):
            key = bytes([number])
            put(conn, schema.sessions, hash=key, expires_at=NOW - ago * DAY)
            put(conn, schema.login_links, hash=key, expires_at=NOW - ago * DAY)
            put(conn, schema.tokens, id=str(number), hash=key, scope="run", expires_at=NOW - ago * DAY)
        put(conn, schema.tokens, id="member", hash=b"m", scope="member", revoked_at=NOW - 1000 * DAY)
        put(conn, schema.spend, workspace_id="w", day="2024-01-01")
        put(conn, schema.spend, workspace_id="w", day="2026-01-01")

    await database.write(fill)
    assert await prune(database, NOW, LiveSettings()) == {"sessions": 1, "login_links": 1, "tokens": 1, "spend": 1}


def test_earliest_id_of_a_time() -> None:
    before, after = Ids(At(NOW - 0.001)).event(), Ids(At(NOW)).event()
    assert before < earliest("evt", NOW) <= after


def test_a_backup_is_a_whole_database(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'a.db'}") as database:
        migrations.upgrade(database)
        database.write_sync(lambda conn: story(conn, 1) and None)
        copy = tmp_path / "copy.db"
        assert backup(database, copy) == copy.stat().st_size
        assert copy.stat().st_mode & 0o777 == 0o600
        with pytest.raises(PermanentError, match="backup"):
            backup(database, copy)
        with pytest.raises(PermanentError, match="backup"):
            backup(database, tmp_path / "no" / "folder.db")
    assert sorted(p.name for p in tmp_path.glob("copy*")) == ["copy.db"]
    with sqlite3.connect(copy) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert conn.execute("SELECT count(*) FROM events").fetchone() == (2,)
    conn.close()
    with Database(f"sqlite:///{copy}") as database:
        assert migrations.upgrade(database) is False


def test_postgresql_has_a_tool_of_its_own(postgresql_url: str, tmp_path: Path) -> None:
    with Database(postgresql_url) as database, pytest.raises(PermanentError, match="of its own") as refused:
        backup(database, tmp_path / "copy.db")
    assert "pg_dump" in str(refused.value)
