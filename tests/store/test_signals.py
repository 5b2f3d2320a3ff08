"""Signals, inside a process and between processes."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from hookyard.store.database import Database, announce
from hookyard.store.signals import Signals


def sql(statement: str) -> Callable[[Connection], None]:
    def run(conn: Connection) -> None:
        conn.execute(text(statement))

    return run


async def test_only_those_who_wait_for_it_are_woken() -> None:
    signals = Signals()
    with signals.subscribe("a") as one, signals.subscribe("a", "b") as two, signals.subscribe("c") as three:
        threading.Thread(target=signals.notify, args=("a", "b")).start()
        assert await one.wait(60) == {"a"}
        assert await two.wait(60) <= {"a", "b"}
        assert await three.wait(0) == frozenset()


async def test_what_is_told_between_two_waits_is_not_lost() -> None:
    signals = Signals()
    with signals.subscribe("a", "b") as woken:
        signals.notify("a")
        signals.notify("b")
        assert await woken.wait(60) == {"a", "b"}
        signals.notify("a")
        assert await woken.wait(60) == {"a"}


async def test_who_has_left_is_told_nothing() -> None:
    signals = Signals()
    woken = signals.subscribe("a")
    woken.close()
    woken.close()
    signals.notify("a")
    assert await woken.wait(0) == frozenset()


def test_a_loop_that_has_ended_disturbs_nobody() -> None:
    signals = Signals()

    async def subscribe() -> None:
        signals.subscribe("a")

    asyncio.run(subscribe())
    signals.notify("a")
    signals.notify("a")


async def test_another_process_on_postgresql(postgresql_url: str) -> None:
    with Database(postgresql_url) as here, Database(postgresql_url) as there:
        here.listen()
        with here.signals.subscribe("runs", "run:1") as woken:
            await there.write(lambda conn: announce(conn, "runs", *(f"run:{n}" * 5 for n in range(400)), "run:1"))
            told: set[str] = set()
            while told < {"runs", "run:1"}:
                one = await woken.wait(60)
                assert one
                told |= one


async def test_its_own_announcements_come_once(postgresql_url: str) -> None:
    with Database(postgresql_url) as here, Database(postgresql_url) as there:
        here.listen()
        with here.signals.subscribe("runs", "other") as woken:
            await here.write(lambda conn: announce(conn, "runs"))
            assert await woken.wait(60) == {"runs"}
            await there.write(lambda conn: announce(conn, "other"))
            assert await woken.wait(60) == {"other"}


async def test_a_lost_listener_comes_back_and_wakes_everybody(postgresql_url: str) -> None:
    with Database(postgresql_url) as database, database.signals.subscribe("runs") as woken:
        database.listen()
        await database.write(
            sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            )
        )
        assert await woken.wait(60) == {"runs"}


async def test_another_process_on_the_same_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    with Database(url) as here, Database(url) as there, here.signals.subscribe("runs") as woken:
        await there.write(sql("CREATE TABLE t (x)"))
        here.listen()
        await there.write(sql("INSERT INTO t VALUES (1)"))  # at once, before it has ever had nothing to do
        assert await woken.wait(60) == {"runs"}
        await here.write(sql("INSERT INTO t VALUES (2)"))
        await there.write(sql("INSERT INTO t VALUES (3)"))
        assert await woken.wait(60) == {"runs"}


async def test_what_others_did_while_a_connection_was_lost_is_looked_for(tmp_path: Path) -> None:
    def broken(_: Connection) -> None:
        raise ValueError("an error that nobody foresaw")

    with Database(f"sqlite:///{tmp_path / 'a.db'}") as database:
        database.listen()
        with database.signals.subscribe("a") as woken:
            with pytest.raises(ValueError, match="nobody foresaw"):
                await database.write(broken)
            assert await woken.wait(60) == {"a"}
