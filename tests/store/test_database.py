"""The writer with group commit, on both databases."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, Table, Text, create_engine, text
from sqlalchemy.exc import IntegrityError

from hookyard.core.errors import InvalidError, PermanentError, TemporaryError
from hookyard.store.database import Database, FastPathHandler, after_commit, announce
from hookyard.store.engine import database_url as parse_url
from hookyard.store.fast_sql import execute, insert_rows, placeholder_of, values_clause


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with Database(database_url, patience_seconds=1.0) as database:
        database.write_sync(sql("CREATE TABLE t (id integer PRIMARY KEY, x text)"))
        yield database


def sql(statement: str) -> Callable[[Connection], None]:
    def run(conn: Connection) -> None:
        conn.exec_driver_sql(statement)

    return run


def insert(number: int) -> "Inserter":
    return Inserter(number)


class Inserter:
    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, conn: Connection) -> int:
        conn.execute(text("INSERT INTO t VALUES (:id, 'x')"), {"id": self.number})
        return self.number


def rows(conn: Connection) -> list[int]:
    return list(conn.execute(text("SELECT id FROM t ORDER BY id")).scalars())


def hold_until(held: threading.Event, free: threading.Event) -> Callable[[Connection], None]:
    def hold(conn: Connection) -> None:
        held.set()
        assert free.wait(60)

    return hold


async def test_what_is_answered_is_committed(database: Database) -> None:
    assert await asyncio.gather(*(database.write(insert(n)) for n in range(50))) == list(range(50))
    assert await database.read(rows) == list(range(50))


async def test_waiting_writes_share_a_transaction(database: Database) -> None:
    held, free = threading.Event(), threading.Event()
    first = asyncio.create_task(database.write(hold_until(held, free)))
    await asyncio.to_thread(held.wait, 60)
    transactions: list[object] = []

    def count(conn: Connection) -> None:
        transactions.append(conn.get_transaction())

    others = [asyncio.create_task(database.write(count)) for _ in range(20)]
    await asyncio.sleep(0)
    free.set()
    await asyncio.gather(first, *others)
    assert len(transactions) == 20
    assert all(transaction is transactions[0] for transaction in transactions)


async def test_a_refused_write_changes_nothing_and_the_others_commit(database: Database) -> None:
    def refused(conn: Connection) -> None:
        insert(1000)(conn)
        announce(conn, "wrong")
        raise InvalidError("no")

    with database.signals.subscribe("wrong", "right") as woken:

        def right(conn: Connection) -> None:
            announce(conn, "right")

        outcomes = await asyncio.gather(
            *(database.write(insert(n)) for n in range(10)),
            database.write(refused),
            database.write(right),
            database.write(insert(5)),  # the key is taken
            return_exceptions=True,
        )
        assert outcomes[:10] == list(range(10))
        assert isinstance(outcomes[10], InvalidError)
        assert isinstance(outcomes[12], Exception)
        assert await woken.wait(60) == {"right"}
    assert await database.read(rows) == list(range(10))


async def test_items_of_one_handler_are_handed_over_together(database: Database) -> None:
    sizes: list[int] = []

    def handler(conn: Connection, items: Sequence[int]) -> list[int | Exception]:
        sizes.append(len(items))
        conn.execute(text("INSERT INTO t VALUES (:id, 'x')"), [{"id": item} for item in items if item % 7])
        return [item if item % 7 else InvalidError(f"{item}") for item in items]

    outcomes = await asyncio.gather(*(database.write_grouped(handler, n) for n in range(100)), return_exceptions=True)
    assert [isinstance(o, InvalidError) for o in outcomes] == [n % 7 == 0 for n in range(100)]
    assert await database.read(rows) == [n for n in range(100) if n % 7]
    assert sum(sizes) == 100
    assert len(sizes) < 100


async def test_a_handler_that_fails_for_one_item_is_run_for_each(database: Database) -> None:
    def handler(conn: Connection, items: Sequence[int]) -> list[int | Exception]:
        conn.execute(text("INSERT INTO t VALUES (:id, 'x')"), [{"id": item} for item in items])
        if 3 in items:
            raise InvalidError("three")
        return list(items)

    outcomes = await asyncio.gather(*(database.write_grouped(handler, n) for n in range(6)), return_exceptions=True)
    assert isinstance(outcomes[3], InvalidError)
    assert await database.read(rows) == [0, 1, 2, 4, 5]


class FastInserter(FastPathHandler[int, int]):
    """Puts numbers into the table; in one statement, if they are to its liking."""

    def __init__(self) -> None:
        self.singly: list[list[int]] = []
        self.together: list[list[int]] = []
        self.refused: set[int] = set()

    def __call__(self, conn: Connection, items: Sequence[int]) -> list[int | Exception]:
        self.together.append(list(items))
        announce(conn, "together")
        conn.execute(text("INSERT INTO t VALUES (:id, 'x')"), [{"id": item} for item in items])
        return list(items)

    def try_fast_path(self, conn: Connection, items: Sequence[int]) -> list[int | Exception] | None:
        if self.refused.intersection(items):
            return None
        self.singly.append(list(items))
        announce(conn, "singly")
        execute(conn, f"INSERT INTO t (id) VALUES {values_clause(len(items), 1, '?')}", items)
        return list(items)


async def held_back(database: Database, shelf: FastInserter, numbers: Sequence[int]) -> list[int | BaseException]:
    """What becomes of items that all wait before the writer takes the first."""
    held, free = threading.Event(), threading.Event()
    first = asyncio.create_task(database.write(hold_until(held, free)))
    await asyncio.to_thread(held.wait, 60)
    tasks = [asyncio.create_task(database.write_grouped(shelf, number)) for number in numbers]
    await asyncio.sleep(0)
    free.set()
    await first
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_sqlite_is_given_one_statement_and_postgresql_a_transaction(database: Database) -> None:
    shelf = FastInserter()
    with database.signals.subscribe("singly", "together") as woken:
        assert await database.write_grouped(shelf, 1) == 1
        assert await woken.wait(60) == {"singly" if database.sqlite else "together"}
    assert (shelf.singly, shelf.together) == (([[1]], []) if database.sqlite else ([], [[1]]))
    assert await database.read(rows) == [1]


async def test_what_one_statement_cannot_do_a_transaction_does(database: Database) -> None:
    shelf = FastInserter()
    shelf.refused = {3}
    assert await held_back(database, shelf, range(6)) == list(range(6))
    assert (shelf.singly, shelf.together) == ([], [list(range(6))])
    assert await database.read(rows) == list(range(6))


async def test_a_statement_that_fails_stores_nothing_and_only_the_culprit_is_refused(database: Database) -> None:
    shelf = FastInserter()
    await database.write(insert(3))
    outcomes = await held_back(database, shelf, range(6))
    assert [isinstance(outcome, IntegrityError) for outcome in outcomes] == [n == 3 for n in range(6)]
    outcomes = await held_back(database, shelf, [6, 2**70, 7])  # no database has such a number, and no driver takes it
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True, False]
    assert await database.read(rows) == list(range(8))


async def test_half_of_those_under_way_is_written_while_the_other_half_is_answered(database_url: str) -> None:
    with Database(database_url) as database:
        if not database.sqlite:
            return  # PostgreSQL is never given one statement
        await database.write(sql("CREATE TABLE t (id integer PRIMARY KEY, x text)"))
        shelf = FastInserter()
        assert await held_back(database, shelf, range(32)) == list(range(32))
        assert [len(group) for group in shelf.singly] == [17, 15]  # the write that held them up is under way too
        assert await held_back(database, shelf, range(100, 108)) == list(range(100, 108))
        assert len(shelf.singly[2]) == 8  # of so few none waits


async def test_hooks_run_after_the_commit_only(database: Database) -> None:
    seen: list[list[int]] = []

    def with_hook(conn: Connection) -> None:
        insert(1)(conn)
        after_commit(conn, lambda: seen.append(database.read_sync(rows)))

    def refused(conn: Connection) -> None:
        after_commit(conn, lambda: seen.append([]))
        raise InvalidError("no")

    await database.write(with_hook)
    with pytest.raises(InvalidError):
        await database.write(refused)
    assert seen == [[1]]


async def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match=r"readonly|read-only|cannot be written"):
        await database.read(insert(1))


def test_a_thread_without_a_loop(database: Database) -> None:
    assert database.write_sync(insert(1)) == 1
    assert database.read_sync(rows) == [1]


def test_after_closing_writes_are_refused(database: Database) -> None:
    database.close()
    with pytest.raises(TemporaryError, match="shutting down"):
        database.write_sync(insert(1))


async def test_locked_by_another_program(database_url: str) -> None:
    """Nothing is lost and nothing is stored twice: the write waits, and is refused when the wait is too long."""
    with Database(database_url, patience_seconds=0.2) as database:
        await database.write(sql("CREATE TABLE t (id integer PRIMARY KEY, x text)"))
        other = create_engine(parse_url(database_url))
        if database.sqlite:
            await database.write(sql("PRAGMA busy_timeout = 20"))
        else:
            await database.write(sql("SET SESSION lock_timeout = 20"))
        with other.connect() as holder:
            if database.sqlite:
                holder.exec_driver_sql("BEGIN EXCLUSIVE")
            else:
                holder.exec_driver_sql("LOCK TABLE t")
            with pytest.raises(TemporaryError, match="locked") as refused:
                await database.write(insert(1))
            assert refused.value.hint
            assert refused.value.retry_after
        other.dispose()
        await database.write(insert(1))
        assert await database.read(rows) == [1]


async def test_disk_full(tmp_path: object) -> None:
    with Database(f"sqlite:///{tmp_path}/full.db") as database:

        def prepare(conn: Connection) -> None:
            conn.execute(text("CREATE TABLE t (id integer PRIMARY KEY, x text)"))
            pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
            conn.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}")

        await database.write(prepare)

        def large(conn: Connection) -> None:
            conn.execute(text("INSERT INTO t VALUES (1, :x)"), {"x": "x" * 100_000})

        outcomes = await asyncio.gather(*(database.write(large) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(o, TemporaryError) and "full" in o.what and o.hint for o in outcomes)
        await database.write(insert(2))
        assert await database.read(rows) == [2]


def test_a_folder_that_cannot_be_made() -> None:
    with pytest.raises(PermanentError, match="data folder") as refused:
        Database("sqlite:////proc/nowhere/hookyard.db")
    assert refused.value.hint


async def test_no_server() -> None:
    with Database("postgresql://root:secret@127.0.0.1:1/none", patience_seconds=0.1) as database:
        with pytest.raises(TemporaryError, match="cannot be reached") as refused:
            await database.write(rows)
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql://x/y", "postgresql://h:x/y", "nonsense", ""]
)
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(InvalidError):
        parse_url(url)


@pytest.mark.parametrize("name", ["a?b=c", "100%41", "with # and space", "数据"])
def test_a_folder_is_taken_as_it_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with Database(f"sqlite:///{tmp_path / name / 'x.db'}") as database:
        database.write_sync(sql("CREATE TABLE t (id integer PRIMARY KEY)"))
        assert database.where == f"sqlite:///{tmp_path / name / 'x.db'}"
    assert (tmp_path / name / "x.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_option_that_postgresql_does_not_know_is_named(postgresql_url: str) -> None:
    with (
        Database(f"{postgresql_url}?ssl_mode=require") as database,
        pytest.raises(PermanentError, match="no option 'ssl_mode'") as refused,
    ):
        database.read_sync(rows)
    assert refused.value.hint == "correct HOOKYARD_DATABASE_URL"


async def test_a_process_that_is_cancelled_waits_for_nothing(database: Database) -> None:
    task = asyncio.create_task(database.write(insert(1)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await database.write(insert(2)) == 2


def fail_half_way(conn: Connection) -> None:
    found = conn.execute(text("SELECT id FROM t"))
    assert found.fetchone() is not None
    raise ValueError("a row that cannot be used")


async def test_a_read_that_fails_half_way_leaves_no_old_snapshot_behind(database_url: str) -> None:
    with Database(database_url, readers=1) as database:
        await database.write(sql("CREATE TABLE t (id integer PRIMARY KEY, x text)"))
        await asyncio.gather(*(database.write(insert(n)) for n in range(3)))
        # Whoever keeps the error keeps the half-read result with it.
        with pytest.raises(ValueError, match="cannot be used") as kept:
            await database.read(fail_half_way)
        await database.write(insert(3))
        assert await database.read(rows) == [0, 1, 2, 3]
        assert kept.value.__traceback__ is not None


@pytest.mark.parametrize("beside", [0, 5])
async def test_a_write_that_fails_half_way_does_not_lock_out_the_next(database_url: str, beside: int) -> None:
    with Database(database_url, patience_seconds=1.0) as database, Database(database_url) as other:
        await database.write(sql("CREATE TABLE t (id integer PRIMARY KEY, x text)"))
        await asyncio.gather(*(database.write(insert(n)) for n in range(3)))
        held, free = threading.Event(), threading.Event()
        first = asyncio.create_task(database.write(hold_until(held, free)))
        await asyncio.to_thread(held.wait, 60)
        failing = asyncio.create_task(database.write(fail_half_way))
        others = [asyncio.create_task(database.write(insert(10 + n))) for n in range(beside)]
        await asyncio.sleep(0)  # they wait together, and make one group
        free.set()
        await first
        with pytest.raises(ValueError, match="cannot be used") as kept:
            await failing
        assert await asyncio.gather(*others) == [10 + n for n in range(beside)]
        await other.write(insert(3))
        await database.write(insert(4))
        assert await database.read(rows) == [0, 1, 2, 3, 4, *range(10, 10 + beside)]
        assert kept.value.__traceback__ is not None


def test_postgresql_says_why_it_cannot_be_reached(postgresql_url: str) -> None:
    with (
        Database(f"{postgresql_url.rpartition('/')[0]}/no_such_database") as database,
        pytest.raises(TemporaryError, match='cannot be reached: database "no_such_database" does not exist'),
    ):
        database.read_sync(rows)


async def test_a_statement_of_the_driver_fails_like_any_other(database: Database) -> None:
    def twice(conn: Connection) -> None:
        statement = f"INSERT INTO t VALUES ({placeholder_of(conn)}, 'x')"
        assert execute(conn, statement, (1,)).rowcount == 1
        execute(conn, statement, (1,))

    with pytest.raises(IntegrityError):
        await database.write(twice)
    assert await database.read(rows) == []


async def test_rows_that_cannot_all_be_inserted_leave_none(database: Database) -> None:
    table = Table("t", MetaData(), Column("id", Integer), Column("x", Text))

    def several(conn: Connection) -> None:
        insert_rows(conn, table, ("id", "x"), [(number, "x") for number in (1, 2, 1)])

    outcomes = await asyncio.gather(database.write(several), database.write(insert(7)), return_exceptions=True)
    assert isinstance(outcomes[0], IntegrityError)
    assert outcomes[1] == 7
    assert await database.read(rows) == [7]
