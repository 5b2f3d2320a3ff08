"""No wait for PostgreSQL is without an end, and no state of it is taken for a fault of ours."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from hookyard.core.errors import UnavailableError
from hookyard.store import limits
from hookyard.store.database import Database
from tests.e2e.tcp_proxy import Mode, TcpProxy

ONE = text("SELECT 1")


def one(conn: Connection) -> object:
    return conn.execute(ONE).scalar()


@pytest.fixture
def proxied(postgresql_url: str) -> Iterator[tuple[Database, TcpProxy]]:
    """A database whose connections go through a proxy."""
    url = make_url(postgresql_url)
    with TcpProxy(url.port or 5432) as proxy:
        behind = url.set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
        with Database(behind) as database:
            yield database, proxy


async def test_a_half_open_connection_is_given_up_in_time(proxied: tuple[Database, TcpProxy]) -> None:
    database, proxy = proxied
    assert (await database.write(one), await database.read(one)) == (1, 1)
    proxy.turn(Mode.HALF_OPEN)
    for ask in (database.write, database.read):
        began = time.monotonic()
        with pytest.raises(UnavailableError) as refused:
            await ask(one)
        assert time.monotonic() - began < limits.ANSWER_SECONDS + 2
        assert refused.value.retry_after
    proxy.turn(Mode.FORWARD)
    assert (await database.write(one), await database.read(one)) == (1, 1)


async def test_a_write_whose_commit_is_not_answered_was_perhaps_stored(proxied: tuple[Database, TcpProxy]) -> None:
    database, proxy = proxied
    await database.write(lambda conn: conn.execute(text("CREATE TABLE t (id integer)")))

    def cut_before_the_commit(conn: Connection) -> None:
        conn.execute(text("INSERT INTO t VALUES (1)"))
        proxy.turn(Mode.HALF_OPEN)

    with pytest.raises(UnavailableError, match="perhaps") as refused:
        await database.write(cut_before_the_commit)
    assert refused.value.maybe_stored


STATES = (
    "08006", "08P01", "25006", "25P02", "25P03", "26000", "42P05", "53100", "53200", "53300", "57014", "57P01",
    "57P02", "57P03", "58000", "58030", "XX000", "XX001",
)  # fmt: skip


@pytest.mark.parametrize("state", STATES)
async def test_a_state_of_the_server_is_an_outage(postgresql_url: str, state: str) -> None:
    def fail(conn: Connection) -> None:
        conn.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'as the server says' USING ERRCODE = '{state}'; END $$"))

    with Database(postgresql_url, patience_seconds=0.1) as database:
        for ask in (database.write, database.read):
            with pytest.raises(UnavailableError):
                await ask(fail)
        assert await database.write(one) == 1


async def test_sqlite_that_cannot_be_written_is_an_outage(tmp_path: object) -> None:
    with Database(f"sqlite:///{tmp_path}/x.db") as database:
        await database.write(lambda conn: conn.execute(text("CREATE TABLE t (id integer)")))
        await database.write(lambda conn: conn.connection.execute("PRAGMA query_only = ON"))
        with pytest.raises(UnavailableError, match="cannot be written"):
            await database.write(lambda conn: conn.execute(text("INSERT INTO t VALUES (1)")))


async def test_the_sessions_of_a_database_are_limited(postgresql_url: str) -> None:
    names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "tcp_user_timeout")

    def limits_of(conn: Connection) -> list[object]:
        return [conn.execute(text(f"SHOW {name}")).scalar() for name in names]

    with Database(postgresql_url) as database:
        for ask in (database.write, database.read):
            found = await ask(limits_of)
            assert "0" not in found, found
        longer = await database.read(limits_of, seconds=limits.PRUNE_SECONDS)
        assert longer[1] == "1min"
        assert (await database.read(limits_of))[1] != "1min"
