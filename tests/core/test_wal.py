"""Several processes that open one new SQLite file at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hookyard.core.wal import use_wal


class Watched(sqlite3.Connection):
    """A connection that tells of each statement before it runs."""

    before: Callable[[], object] = staticmethod(lambda: None)

    def execute(self, *statement: Any) -> sqlite3.Cursor:
        self.before()
        return super().execute(*statement)


def mode(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


@pytest.fixture
def other(tmp_path: Path) -> Any:
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    yield connection
    connection.close()


@pytest.mark.parametrize("hold", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_it_is_tried_again_until_nobody_is_in_the_way(tmp_path: Path, other: sqlite3.Connection, hold: str) -> None:
    other.execute(hold)
    tries = 0

    def let_go_at_the_third() -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            other.execute("COMMIT")

    mine = sqlite3.connect(tmp_path / "a.db", isolation_level=None, timeout=0, factory=Watched)
    mine.before = let_go_at_the_third
    use_wal(mine, patience_seconds=60)
    assert tries == 3
    assert mode(mine) == mode(other) == "wal"
    mine.close()


def test_patience_ends(tmp_path: Path, other: sqlite3.Connection) -> None:
    other.execute("BEGIN EXCLUSIVE")
    mine = sqlite3.connect(tmp_path / "a.db", isolation_level=None, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        use_wal(mine, patience_seconds=0.02)
    mine.close()


def test_other_faults_are_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "b.db").write_bytes(b"no database at all" * 100)
    mine = sqlite3.connect(tmp_path / "b.db", isolation_level=None)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        use_wal(mine, patience_seconds=60)
    mine.close()
