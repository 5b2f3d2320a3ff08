"""Pending deliveries: accepting them, leasing a webhook's queue to one process, forming batches, storing outcomes.

Called by `outbox` through its file's thread; each function runs inside one transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from hookyard.hooks.delivery.delivery_log import Delivery, DeliveryState
from hookyard.hooks.formats.base import Rate
from hookyard.hooks.outbox.history import HistoryLimits, prune, used_bytes
from hookyard.hooks.outbox.models import Batching, NewDelivery, QueuedDelivery
from hookyard.hooks.outbox.schema import COLUMNS, attempts_text, delivery_of, insert
from hookyard.hooks.outbox.sqlite_thread import FileFullError

LONGEST_WAIT_SECONDS = 6 * 3600.0
"""The longest that a webhook's queue is held back: a time further off is left from before a restart of the machine."""

LATE_SECONDS = 60.0
"""How long before its turn a caller may have looked at the clock: another's time may lie so far ahead of its own."""

_BATCH_BYTES = 1024 * 1024
LaneKey = tuple[str, str, Batching | None, tuple[Rate, ...], str]
_Entry = tuple[int, str, str, str, str, float, str, str, str]


@dataclass(frozen=True, slots=True)
class QueueLease:
    """What one process may do with a lane now.

    Attributes:
        parcels: To be sent, in order.
        wait_seconds: Nothing yet; look again after so long. None: nothing at all, or another process is at it.
        endpoint: What the limits are counted by.
        rates: Limits of the service.
    """

    parcels: tuple[QueuedDelivery, ...] = ()
    wait_seconds: float | None = None
    endpoint: str = ""
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True)
class Lease:
    """Who claims, and when.

    Attributes:
        owner: The process.
        now_mono: Monotonic seconds.
        seconds: How long a claim holds unless renewed.
    """

    owner: str
    now_mono: float
    seconds: float


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much to take from a lane at once.

    Attributes:
        now: Wall clock, for the age of entries.
        new_id: Makes the ids of batches that are formed now.
        most: Parcels.
        most_bytes: Bodies beyond this are left for the next time; one is always taken.
        flush: Form batches without waiting for more events.
    """

    now: float
    new_id: Callable[[], str]
    most: int
    most_bytes: int
    flush: bool


def put(connection: sqlite3.Connection, owed: NewDelivery, lane: int | None, most_bytes: int | None) -> int:
    """Store a pending delivery; one whose id is stored already changes nothing.

    Args:
        connection: The file.
        owed: The pending delivery.
        lane: Its lane when that is known, with these very settings.
        most_bytes: Measure the file against this bound first; None: it was measured a little while ago.

    Returns:
        The lane.

    Raises:
        FileFullError: The file would grow beyond its bound though nothing finished is left in it.
    """
    if most_bytes is not None and _is_full(connection, most_bytes):
        # A pending delivery is worth more than the history of finished ones.
        prune(connection, HistoryLimits(float("inf"), 0, 0))
        if _is_full(connection, most_bytes):
            raise FileFullError(
                f"cannot write: the outbox has reached its bound of {most_bytes // 1024} KiB",
                hint="make room: see with hookyard hooks deliveries which receiver does not answer",
            )
    lane = lane or _lane(connection, owed)
    d = owed.delivery
    if owed.batching is None:
        insert(connection, replace(d, state=DeliveryState.PENDING), lane, owed.fingerprint)
    else:
        connection.execute(
            "INSERT INTO entry (lane, fingerprint, format, url, body, created_at, session_id, run_id, workspace_id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (lane, owed.fingerprint, d.format, d.url, d.request, d.created_at, d.session_id, d.run_id, d.workspace_id),
        )
    return lane


def _is_full(connection: sqlite3.Connection, most_bytes: int) -> bool:
    """Return whether nine tenths are used: the rest is for storing the results of queued deliveries."""
    return used_bytes(connection) > most_bytes * 0.9


def lane_key(owed: NewDelivery) -> LaneKey:
    """Return the key of a queue, with its settings."""
    return (owed.origin, owed.delivery.webhook, owed.batching, owed.rates, owed.endpoint)


def _lane(connection: sqlite3.Connection, owed: NewDelivery) -> int:
    size, flush = (owed.batching.size, owed.batching.flush_seconds) if owed.batching else (0, 0.0)
    rates = json.dumps([[rate.requests, rate.seconds] for rate in owed.rates])
    settings = (owed.endpoint, rates, size, flush)
    key = (owed.origin, owed.delivery.webhook)
    row = connection.execute(
        "SELECT id, endpoint, rates, batch_size, flush_seconds FROM lane WHERE origin = ? AND webhook = ?", key
    ).fetchone()
    if row is None:
        row = connection.execute("INSERT INTO lane (origin, webhook) VALUES (?, ?) RETURNING id", key).fetchone()
    if tuple(row[1:]) != settings:
        connection.execute(
            "UPDATE lane SET endpoint = ?, rates = ?, batch_size = ?, flush_seconds = ? WHERE id = ?",
            (*settings, row[0]),
        )
    return int(row[0])


def ready(connection: sqlite3.Connection, lease: Lease, is_gone: Callable[[str], bool]) -> list[int]:
    """Return the queues with pending deliveries that are due and that no other process holds.

    Args:
        connection: The file.
        lease: Who asks.
        is_gone: Whether the process of an owner has certainly ended, so that its leases need not be waited for.
    """
    for (owner,) in connection.execute(
        "SELECT DISTINCT owner FROM lane WHERE owner NOT IN ('', ?)", (lease.owner,)
    ).fetchall():
        if is_gone(owner):
            release(connection, owner)
    rows = connection.execute(
        "SELECT id FROM lane WHERE (due_mono <= :now OR due_mono > :now + :longest)"
        " AND (owner IN ('', :owner) OR leased_until_mono <= :now OR leased_until_mono > :now + :lease)"
        " AND (EXISTS (SELECT 1 FROM delivery WHERE lane = lane.id AND state = 'pending')"
        "  OR EXISTS (SELECT 1 FROM entry WHERE entry.lane = lane.id))",
        {
            "now": lease.now_mono,
            "owner": lease.owner,
            "lease": lease.seconds + LATE_SECONDS,
            "longest": LONGEST_WAIT_SECONDS,
        },
    ).fetchall()
    return [int(row[0]) for row in rows]


def claim(connection: sqlite3.Connection, lane: int, lease: Lease, taking: BatchLimits) -> QueueLease:
    """Take a lane, or keep it, and get what is next in it."""
    origin, webhook, batch_size, flush_seconds, endpoint, rates, owner, until, due = connection.execute(
        "SELECT origin, webhook, batch_size, flush_seconds, endpoint, rates, owner, leased_until_mono, due_mono"
        " FROM lane WHERE id = ?",
        (lane,),
    ).fetchone()
    if owner not in ("", lease.owner) and 0 < until - lease.now_mono <= lease.seconds + LATE_SECONDS:
        return QueueLease()
    connection.execute(
        "UPDATE lane SET owner = ?, leased_until_mono = ? WHERE id = ?",
        (lease.owner, lease.now_mono + lease.seconds, lane),
    )
    if 0 < due - lease.now_mono <= LONGEST_WAIT_SECONDS:
        return QueueLease(wait_seconds=due - lease.now_mono)
    parcels = _queued(connection, lane, origin, taking)
    if not parcels and batch_size:
        batching = Batching(batch_size, 0.0 if taking.flush else flush_seconds)
        wait = _form_batches(connection, lane, webhook, batching, taking)
        parcels = _queued(connection, lane, origin, taking)
        if not parcels and wait is not None:
            return QueueLease(wait_seconds=wait)
    return QueueLease(parcels, None, endpoint, tuple(Rate(int(n), float(s)) for n, s in json.loads(rates)))


def _queued(connection: sqlite3.Connection, lane: int, origin: str, taking: BatchLimits) -> tuple[QueuedDelivery, ...]:
    parcels: list[QueuedDelivery] = []
    size = 0
    for row in connection.execute(
        f"SELECT fingerprint, {COLUMNS} FROM delivery"  # noqa: S608 - constants
        " WHERE lane = ? AND state = 'pending' ORDER BY seq LIMIT ?",
        (lane, taking.most),
    ):
        parcels.append(QueuedDelivery(delivery_of(row[1:]), origin, row[0]))
        size += len(parcels[-1].delivery.request)
        if size >= taking.most_bytes:
            break
    return tuple(parcels)


def _form_batches(
    connection: sqlite3.Connection, lane: int, webhook: str, batching: Batching, taking: BatchLimits
) -> float | None:
    """Turn entries into deliveries, durably, so that a batch keeps its id and its events on every retry.

    Gives the seconds until the oldest entry is due, None when there is none.
    """
    now = taking.now
    for _ in range(taking.most):
        entries = connection.execute(
            "SELECT seq, fingerprint, format, url, body, created_at, session_id, run_id, workspace_id FROM entry"
            " WHERE lane = ? ORDER BY seq LIMIT ?",
            (lane, batching.size),
        ).fetchall()
        if not entries:
            return None
        age = now - entries[0][5]
        if len(entries) < batching.size and 0 <= age < batching.flush_seconds:
            return float(batching.flush_seconds - age)
        kept = _within(entries)
        last, fingerprint, shape, url, _, _, *places = kept[-1]
        body = '{"events":[' + ",".join(entry[4] for entry in kept) + "]}"
        state = DeliveryState.PENDING
        made = Delivery(taking.new_id(), webhook, "", shape, url, body, now, state, (), None, "", *places)
        insert(connection, made, lane, fingerprint)
        connection.execute("DELETE FROM entry WHERE lane = ? AND seq <= ?", (lane, last))
    return None


def _within(entries: list[_Entry]) -> list[_Entry]:
    """Return the first entries that fit one request; at least one."""
    size = 0
    for count, entry in enumerate(entries):
        size += len(entry[4])
        if size > _BATCH_BYTES and count:
            return entries[:count]
    return entries


def store_results(
    connection: sqlite3.Connection, lane: int, outcomes: Sequence[Delivery], due_mono: float | None
) -> None:
    """Store what came of deliveries, and when their lane goes on.

    A delivery that is no longer pending stays as it is: another process has finished it meanwhile.
    """
    connection.executemany(
        "UPDATE delivery SET state = ?, attempts = ?, result = ?, message = ?, url = ?"
        " WHERE id = ? AND state = 'pending'",
        [(d.state.value, attempts_text(d), d.result, d.message, d.url, d.id) for d in outcomes],
    )
    if due_mono is not None:
        postpone(connection, lane, due_mono)


def postpone(connection: sqlite3.Connection, lane: int, due_mono: float) -> None:
    """Send nothing of a lane before a time."""
    connection.execute("UPDATE lane SET due_mono = ? WHERE id = ?", (due_mono, lane))


def renew(connection: sqlite3.Connection, lanes: Iterable[int], lease: Lease) -> set[int]:
    """Hold on to lanes; gives those that are still this process's."""
    kept = set()
    for lane in lanes:
        done = connection.execute(
            "UPDATE lane SET leased_until_mono = ? WHERE id = ? AND owner = ?",
            (lease.now_mono + lease.seconds, lane, lease.owner),
        )
        if done.rowcount:
            kept.add(lane)
    return kept


def release(connection: sqlite3.Connection, owner: str, lane: int | None = None) -> None:
    """Let go of a lane, or of all that a process holds."""
    connection.execute("UPDATE lane SET owner = '' WHERE owner = ? AND (? IS NULL OR id = ?)", (owner, lane, lane))


def reserve(connection: sqlite3.Connection, endpoint: str, rates: Sequence[Rate], now_mono: float) -> float:
    """Take a place under the service's limits: 0 when there is one, else the seconds until there may be."""
    window = max(rate.seconds for rate in rates)
    connection.execute(
        "DELETE FROM pace WHERE endpoint = ? AND (at_mono <= ? OR at_mono > ?)",
        (endpoint, now_mono - window, now_mono + LATE_SECONDS),
    )
    sent = [
        row[0]
        for row in connection.execute("SELECT at_mono FROM pace WHERE endpoint = ? ORDER BY at_mono", (endpoint,))
    ]
    wait = max(
        (sent[-rate.requests] + rate.seconds - now_mono for rate in rates if len(sent) >= rate.requests), default=0.0
    )
    if wait > 0:
        return float(wait)
    connection.execute("INSERT INTO pace (endpoint, at_mono) VALUES (?, ?)", (endpoint, now_mono))
    return 0.0


def count_pending(connection: sqlite3.Connection) -> int:
    """Return the number of requests and events that are not sent yet."""
    # Left to itself SQLite takes the index of states and then reads every row for its lane.
    found = connection.execute(
        "SELECT count(*) FROM delivery INDEXED BY delivery_owed WHERE state = 'pending' AND lane > 0"
    )
    owed = found.fetchone()[0]
    return int(owed + connection.execute("SELECT count(*) FROM entry").fetchone()[0])
