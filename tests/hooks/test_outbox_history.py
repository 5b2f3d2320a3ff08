"""What the outbox keeps of deliveries that are done, row by row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hookyard.hooks.delivery.delivery_log import DeliveryState
from hookyard.hooks.outbox.history import HistoryLimits, prune
from hookyard.hooks.outbox.queue import count_pending
from hookyard.hooks.outbox.schema import SCHEMA, insert
from tests.hooks.outbox_process import delivery

MUCH = 10**9


@pytest.fixture
def file() -> Iterator[sqlite3.Connection]:
    """Twenty deliveries that are done, made at the times 0 to 19, and one that is owed."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(SCHEMA)
    for number in range(20):
        done = replace(delivery(f"dlv_{number:02}"), state=DeliveryState.DELIVERED, created_at=float(number))
        insert(connection, done, None, "")
    insert(connection, replace(delivery("dlv_owed"), created_at=0.0), 1, "")
    yield connection
    connection.close()


def kept(connection: sqlite3.Connection) -> list[str]:
    """Ids of what is done, oldest first."""
    return [row[0] for row in connection.execute("SELECT id FROM delivery WHERE state = 'delivered' ORDER BY seq")]


@pytest.mark.parametrize("most_bytes", [MUCH, 20_000], ids=["a small file", "a large file"])
@pytest.mark.parametrize(
    ("older_than", "most_rows", "gone"),
    [(0.0, 20, 0), (0.0, 15, 5), (7.0, 20, 7), (7.0, 15, 7), (3.0, 15, 5), (float("inf"), 0, 20)],
)
def test_what_is_too_old_or_too_many_goes_oldest_first(
    file: sqlite3.Connection, older_than: float, most_rows: int, gone: int, most_bytes: int
) -> None:
    assert prune(file, HistoryLimits(older_than, most_rows, most_bytes)) == gone
    assert kept(file) == [f"dlv_{number:02}" for number in range(gone, 20)]
    assert count_pending(file) == 1


def test_what_holds_too_many_bytes_goes_oldest_first(file: sqlite3.Connection) -> None:
    held = file.execute("SELECT sum(length(request) + length(attempts)) FROM delivery WHERE lane IS NULL").fetchone()[0]
    assert prune(file, HistoryLimits(0.0, 20, held // 2)) == 10
    assert kept(file)[0] == "dlv_10"


def test_only_what_is_owed_counts_as_left(file: sqlite3.Connection) -> None:
    insert(file, delivery("dlv_recorded"), None, "")
    assert count_pending(file) == 1
