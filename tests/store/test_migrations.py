"""Migrations make the tables of the schema, on both databases."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from hookyard.core.errors import PermanentError
from hookyard.store import migrations
from hookyard.store.database import Database
from hookyard.store.schema import metadata


def differences(conn: Connection) -> list[object]:
    return list(compare_metadata(MigrationContext.configure(conn), metadata))


def at_once(database: Database) -> None:
    """As a new database gets its tables."""
    assert migrations.upgrade(database) is True


def step_by_step(database: Database) -> None:
    """As an old one does."""
    database.write_sync(migrations.migrate)


both_ways = pytest.mark.parametrize("make", [at_once, step_by_step])


@both_ways
def test_migrations_and_schema_agree(database_url: str, make: Callable[[Database], None]) -> None:
    with Database(database_url) as database:
        assert database.read_sync(migrations.current) is None
        make(database)
        assert database.read_sync(migrations.current) == migrations.HEAD
        assert database.read_sync(differences) == []
        assert migrations.upgrade(database) is False


PARTIAL = {"uq_batches_open": "closed_at IS NULL", "ix_runs_workspace_id_subject_id": "subject IS NOT NULL"}


@both_ways
def test_partial_indexes_are_the_same_on_both(database_url: str, make: Callable[[Database], None]) -> None:
    """Alembic does not compare the conditions of indexes."""
    with Database(database_url) as database:
        make(database)
        for name, condition in PARTIAL.items():
            query = (
                f"SELECT sql FROM sqlite_master WHERE name = '{name}'"
                if database.sqlite
                else f"SELECT indexdef FROM pg_indexes WHERE indexname = '{name}'"
            )
            definition = database.read_sync(lambda conn, query=query: str(conn.execute(text(query)).scalar_one()))  # type: ignore[misc]
            assert ("UNIQUE" in definition) == name.startswith("uq_")
            assert condition in definition


def test_head_is_the_newest_file() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert script.get_current_head() == migrations.HEAD


def test_two_servers_that_start_at_once(database_url: str) -> None:
    outcomes: list[object] = []

    def start() -> None:
        try:
            with Database(database_url) as database:
                outcomes.append(migrations.upgrade(database))
        except Exception as error:
            outcomes.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["False", "False", "False", "True"]


def test_a_database_of_a_newer_hookyard(database_url: str) -> None:
    with Database(database_url) as database:
        migrations.upgrade(database)

        def newer(conn: Connection) -> None:
            conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))

        database.write_sync(newer)
        with pytest.raises(PermanentError, match="another hookyard") as refused:
            migrations.upgrade(database)
        assert refused.value.hint


def test_another_programs_tables_are_left_alone(database_url: str) -> None:
    with Database(database_url) as database:
        database.write_sync(lambda conn: conn.execute(text("CREATE TABLE events (theirs TEXT)")))
        with pytest.raises(PermanentError, match="a table events that is not hookyard's") as refused:
            migrations.upgrade(database)
        assert "a database of its own" in str(refused.value.hint)
        assert database.read_sync(migrations.current) is None
        database.write_sync(lambda conn: conn.execute(text("INSERT INTO events VALUES ('still there')")))


def test_tables_of_other_names_do_not_matter(database_url: str) -> None:
    with Database(database_url) as database:
        database.write_sync(lambda conn: conn.execute(text("CREATE TABLE somebody_elses (theirs TEXT)")))
        assert migrations.upgrade(database) is True
        assert database.read_sync(migrations.current) == migrations.HEAD


def test_only_its_user_reads_a_new_database(tmp_path: Path) -> None:
    path = tmp_path / "open to all" / "hookyard.db"
    path.parent.mkdir(mode=0o755)
    with Database(f"sqlite:///{path}") as database:
        migrations.upgrade(database)
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir() if file.is_file()}
    assert set(modes) >= {"hookyard.db", "hookyard.db-wal"}
    assert set(modes.values()) == {0o600}, modes
