"""What is kept no longer is deleted, a little at a time; and a consistent copy of the database.

`Retention.run` is a task of every server, `prune` and `backup` are also `hookyard db prune` and `hookyard db backup`.
What is due is looked for in reads, which block no other process, and deleted a few hundred rows at a time, each time
in a transaction of its own, so that events are accepted between them. Several servers that prune at once do no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, exists, or_, select, tuple_

from hookyard.core.clock import Clock, iso
from hookyard.core.errors import HookyardError, PermanentError
from hookyard.core.ids import earliest
from hookyard.settings import LiveSettings
from hookyard.store import schema
from hookyard.store.database import Database
from hookyard.store.limits import PRUNE_SECONDS

ROWS_A_STEP = 500
EVERY_SECONDS = 3600.0

_DAY_SECONDS = 86_400.0
_Key = tuple[Any, ...]
_FINAL = ("succeeded", "failed", "timed_out", "cancelled", "skipped")
_GRACE_DAYS = 7
"""Days that ended sessions, used links and tokens of ended runs are kept, for those who look into a problem."""
_SPEND_DAYS = 400


@dataclass(frozen=True, slots=True)
class _Rule:
    """Rows of one table that may go.

    Attributes:
        table: The table.
        keys: The columns that name a row.
        due: Which rows.
        first: Tables whose rows go with them, by the column that holds the row's first key.
    """

    table: Table
    keys: tuple[str, ...]
    due: ColumnElement[bool]
    first: tuple[tuple[Table, str], ...] = ()


async def prune(
    database: Database, now: float, live: LiveSettings, progress: Callable[[str, int], None] | None = None
) -> Mapping[str, int]:
    """Delete what is kept no longer.

    Args:
        database: Where.
        now: Seconds since the epoch.
        live: The settings: how many days events, runs and deliveries are kept.
        progress: Receives the table and how many of its rows are gone, step by step.

    Returns:
        Deleted rows by table.

    Raises:
        TemporaryError: The database is locked or away; what was deleted stays deleted.
    """
    deleted: Counter[str] = Counter()
    for rule in _rules(now, live):
        after: _Key | None = None
        while due := await database.read(partial(_due, rule, after), seconds=PRUNE_SECONDS):
            for table, name in rule.first:
                while await _in_turn(database, partial(_delete_dependents, table, name, due)) == ROWS_A_STEP:
                    pass
            deleted[rule.table.name] += await _in_turn(database, partial(_delete, rule, due))
            if progress is not None:
                progress(rule.table.name, deleted[rule.table.name])
            after = due[-1]
    return {name: count for name, count in deleted.items() if count}


async def _in_turn(database: Database, step: Callable[[Connection], int]) -> int:
    """Do a step, and then leave the database to others for as long as it took.

    Another process that wants to write to the same SQLite file tries again and again: without a pause it would find the
    file free only now and then.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    done = await database.write(step)
    await asyncio.sleep(loop.time() - began)
    return done


def _rules(now: float, live: LiveSettings) -> list[_Rule]:
    """Return what may be deleted, dependents first."""
    s = schema
    grace = now - _GRACE_DAYS * _DAY_SECONDS
    rules = [
        _Rule(s.sessions, ("hash",), s.sessions.c.expires_at < grace),
        _Rule(s.login_links, ("hash",), s.login_links.c.expires_at < grace),
        _Rule(
            s.tokens,
            ("id",),
            and_(s.tokens.c.scope == "run", or_(s.tokens.c.revoked_at < grace, s.tokens.c.expires_at < grace)),
        ),
        _Rule(s.outgoing_comments, ("comment_id",), and_(s.outgoing_comments.c.state == "posted", _old_comment(grace))),
        _Rule(s.claims, ("key",), s.claims.c.expires_at < now),
        _Rule(s.spend, ("workspace_id", "day"), s.spend.c.day < _day(now - _SPEND_DAYS * _DAY_SECONDS)),
    ]
    if days := live.number("retention.deliveryDays"):
        oldest = earliest("dlv", now - days * _DAY_SECONDS)
        rules.append(_Rule(s.deliveries, ("id",), s.deliveries.c.id < oldest))
    if days := live.number("retention.runDays"):
        since = now - days * _DAY_SECONDS
        ended = and_(s.runs.c.id < earliest("run", since), s.runs.c.status.in_(_FINAL), s.runs.c.finished_at < since)
        rules.append(_Rule(s.runs, ("id",), ended, ((s.run_entries, "run_id"), (s.attempts, "run_id"))))
    if days := live.number("retention.eventDays"):
        since = now - days * _DAY_SECONDS
        batch, event = earliest("bat", since), earliest("evt", since)
        # A run keeps its batch, and the batch its events.
        kept = exists(select(1).where(s.runs.c.id == s.batches.c.run_id))
        settled = and_(s.batches.c.id < batch, s.batches.c.settled_at < since, ~kept)
        rules.append(_Rule(s.batches, ("id",), settled, ((s.batch_events, "batch_id"),)))
        # An event stays as long as something that it started does.
        needed = or_(
            exists(select(1).where(s.runs.c.event_id == s.events.c.id)),
            exists(select(1).where(s.batch_events.c.event_id == s.events.c.id)),
        )
        rules.append(_Rule(s.events, ("id",), and_(s.events.c.id < event, ~needed)))
        # Renewed while they are used, see callbacks.gates; without its set an event that stays could not say why.
        told = select(s.events.c.listener_set).where(s.events.c.id < event, s.events.c.listener_set.is_not(None))
        unused = and_(s.listener_sets.c.created_at < since - _DAY_SECONDS, s.listener_sets.c.id.not_in(told))
        rules.append(_Rule(s.listener_sets, ("id",), unused))
    return rules


def _old_comment(before: float) -> ColumnElement[bool]:
    return schema.outgoing_comments.c.next_at < before


def _day(at: float) -> str:
    return iso(at)[:10]


def _due(rule: _Rule, after: _Key | None, conn: Connection) -> list[_Key]:
    """Return the keys of some rows that may be deleted, after a key that was looked at before."""
    columns = [rule.table.c[name] for name in rule.keys]
    query = select(*columns).where(rule.due).order_by(*columns).limit(ROWS_A_STEP)
    if after is not None:
        query = query.where(tuple_(*columns) > after if len(columns) > 1 else columns[0] > after[0])
    return [tuple(row) for row in conn.execute(query)]


def _delete(rule: _Rule, keys: Sequence[_Key], conn: Connection) -> int:
    """Delete those of some rows that still may go; how many."""
    return conn.execute(delete(rule.table).where(_among(rule.table, rule.keys, keys), rule.due)).rowcount


def _delete_dependents(table: Table, name: str, keys: Sequence[_Key], conn: Connection) -> int:
    """Delete some rows that go with others; how many."""
    own = tuple(column.name for column in table.primary_key.columns)
    belongs = table.c[name].in_([key[0] for key in keys])
    rows = conn.execute(select(*(table.c[column] for column in own)).where(belongs).limit(ROWS_A_STEP)).all()
    if rows:
        conn.execute(delete(table).where(_among(table, own, [tuple(row) for row in rows])))
    return len(rows)


def _among(table: Table, names: Sequence[str], keys: Sequence[_Key]) -> ColumnElement[bool]:
    if len(names) == 1:
        return table.c[names[0]].in_([key[0] for key in keys])
    return tuple_(*(table.c[name] for name in names)).in_(keys)


class Retention:
    """Prunes every hour.

    Args:
        database: Where.
        clock: The time.
        live: The settings in effect.
    """

    def __init__(self, database: Database, clock: Clock, live: Callable[[], LiveSettings]) -> None:
        self._database = database
        self._clock = clock
        self._live = live

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                deleted = await prune(self._database, self._clock.now(), self._live())
            except HookyardError as error:
                logging.getLogger(__name__).warning("pruning waits: %s", error)
                continue
            if deleted:
                logging.getLogger(__name__).info("pruned %s", dict(deleted))


def backup(database: Database, path: Path) -> int:
    """Write a consistent copy of a SQLite database, also while servers use it.

    Args:
        database: What to copy.
        path: The file to make; only its owner can read it. Stored secrets in it stay encrypted: keep the data folder's
            `secret.key`, or `HOOKYARD_SECRET_KEY`, elsewhere.

    Returns:
        Its size in bytes.

    Raises:
        PermanentError: The file exists or cannot be written; or the database is PostgreSQL.
    """
    if not database.sqlite:
        raise PermanentError(
            "PostgreSQL has a tool of its own for backups",
            where=database.where,
            hint="run pg_dump --format=custom on it",
        )
    try:
        path.touch(mode=0o600, exist_ok=False)
    except OSError as error:
        raise PermanentError(
            f"cannot make the backup: {error.strerror}", where=str(path), hint="give a new file in a folder that exists"
        ) from error
    try:
        database.read_sync(lambda conn: _copy(conn, path))
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, sqlite3.Error):
            raise PermanentError(f"cannot make the backup: {error}", where=str(path), hint="check the disk") from error
        raise
    return path.stat().st_size


def _copy(conn: Connection, path: Path) -> None:
    source = conn.connection.driver_connection
    assert isinstance(source, sqlite3.Connection)
    with contextlib.closing(sqlite3.connect(path)) as target:
        source.backup(target)
        # A copy that is opened somewhere else needs no other files.
        target.execute("PRAGMA journal_mode = DELETE").close()
