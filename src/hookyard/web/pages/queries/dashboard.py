"""Figures of the dashboard: counted in the database by bucket, rankings from the newest thousand."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import BigInteger, Connection, cast, func, select

from hookyard.core.ids import earliest
from hookyard.store import schema
from hookyard.web.pages.queries.runs import STATUSES
from hookyard.web.pages.queries.webhooks import tool_of

SAMPLE = 1000
ENDED = ("succeeded", "failed", "timed_out", "cancelled")


@dataclass(frozen=True, slots=True)
class Slow:
    """How long a callback's runs take."""

    callback_id: str
    name: str
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a callback has in the queue."""

    name: str
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Queue:
    """The queue now."""

    executing: int
    waiting: int
    oldest: float | None
    callbacks: tuple[Waiting, ...]
    others_running: int
    others_waiting: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything of the page that comes from runs and deliveries.

    Attributes:
        buckets: Runs by status for each step of the window, oldest first.
        before: Runs by status in the window before this one, as far as this one has come.
        starts: Seconds from event to start of the newest runs, newest first.
        slow: The slowest callbacks.
        denied: What was denied most: tool and count.
        calls: Tool calls in the window.
        denials: How many of them were denied.
        tokens_today: Tokens spent on this UTC day.
        queue: The queue.
    """

    buckets: tuple[dict[str, int], ...]
    before: dict[str, int]
    starts: tuple[float, ...]
    slow: tuple[Slow, ...]
    denied: tuple[tuple[str, int], ...]
    calls: int
    denials: int
    tokens_today: int
    queue: Queue

    @property
    def counts(self) -> dict[str, int]:
        """Runs by status in the window."""
        whole: Counter[str] = Counter()
        for bucket in self.buckets:
            whole.update(bucket)
        return dict(whole)


def figures(
    conn: Connection, workspace_id: str, now: float, start: float, seconds: float, steps: int, callback: str
) -> Figures:
    """Return the figures of a window.

    Args:
        conn: The transaction.
        workspace_id: Whose.
        now: Seconds since the epoch; within the last step of the window.
        start: When the window begins, seconds since the epoch.
        seconds: How long it is.
        steps: Its steps.
        callback: Of one callback only; `""` for all.
    """
    runs = schema.runs.c
    mine = [runs.workspace_id == workspace_id] + ([runs.callback_id == callback] if callback else [])
    # In whole milliseconds: fractions differ between the databases.
    place = cast((runs.queued_at - start) * 1000, BigInteger) // round(seconds * 1000 / steps)
    counted = conn.execute(
        select(place.label("place"), runs.status, func.count(), func.sum(runs.tool_calls), func.sum(runs.denied))
        .where(*mine, runs.id >= earliest("run", start), runs.queued_at >= start)
        .group_by("place", runs.status)
    )
    buckets: list[dict[str, int]] = [{} for _ in range(steps)]
    calls = denials = 0
    for number, status, count, called, denied in counted:
        bucket = buckets[max(0, min(steps - 1, number))]
        bucket[status] = bucket.get(status, 0) + count
        calls += int(called or 0)
        denials += int(denied or 0)
    before = conn.execute(
        select(runs.status, func.count())
        .where(
            *mine,
            runs.status.in_(STATUSES),
            runs.id >= earliest("run", start - seconds),
            runs.id < earliest("run", now - seconds),
        )
        .group_by(runs.status)
    )
    newest = conn.execute(
        select(runs.callback_id, runs.queued_at, runs.started_at, runs.finished_at)
        .where(*mine, runs.id >= earliest("run", start), runs.started_at.is_not(None))
        .order_by(runs.id.desc())
        .limit(SAMPLE)
    ).all()
    spend = schema.spend.c
    day = f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d}"
    tokens = (
        conn.execute(select(spend.tokens).where(spend.workspace_id == workspace_id, spend.day == day)).scalar() or 0
    )
    return Figures(
        tuple(buckets), dict(before.all()), tuple(max(0.0, r.started_at - r.queued_at) for r in newest),
        _slowest(conn, workspace_id, [(r.callback_id, r.started_at, r.finished_at) for r in newest]),
        _denied(conn, workspace_id, start), calls, denials, int(tokens), _queue(conn, workspace_id, now),
    )  # fmt: skip


def part_of(values: list[float], part: float) -> float:
    """Return a percentile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * part))]


def _slowest(conn: Connection, workspace_id: str, runs: list[tuple[str, float, float | None]]) -> tuple[Slow, ...]:
    times: dict[str, list[float]] = {}
    for key, started, finished in runs:
        if finished is not None:
            times.setdefault(key, []).append(finished - started)
    for values in times.values():
        values.sort()
    callbacks = schema.callbacks.c
    query = select(callbacks.id, callbacks.name).where(
        callbacks.workspace_id == workspace_id, callbacks.id.in_(list(times))
    )
    names = dict(conn.execute(query).all())
    found = [Slow(key, names.get(key, key), part_of(v, 0.5), part_of(v, 0.95)) for key, v in times.items()]
    return tuple(sorted(found, key=lambda slow: -slow.p95)[:5])


def _denied(conn: Connection, workspace_id: str, start: float) -> tuple[tuple[str, int], ...]:
    table = schema.deliveries.c
    query = (
        select(table.details)
        .where(table.workspace_id == workspace_id, table.id >= earliest("dlv", start), table.result == "deny")
        .order_by(table.id.desc())
        .limit(300)
    )
    counts: Counter[str] = Counter()
    for details in conn.execute(query).scalars():
        request = json.loads(details).get("request", "")
        tool = tool_of(request)
        counts[tool + _command(request) if tool else "–"] += 1
    return tuple(counts.most_common(5))


def _command(request: str) -> str:
    """Return `: kubectl rollout *` for a shell command, `""` for other calls."""
    try:
        args = json.loads(json.loads(request)["hook_context"]["tool_args"])
        words = str(args["command"]).split()[:2]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {' '.join(words)} *" if words else ""


def _queue(conn: Connection, workspace_id: str, now: float) -> Queue:
    runs, callbacks = schema.runs.c, schema.callbacks.c
    mine = (runs.workspace_id == workspace_id).label("mine")
    alive = conn.execute(
        select(mine, runs.status, func.count())
        .where(runs.status.in_(("running", "queued")))
        # By its label: PostgreSQL does not see that the expression, with a parameter of its own, would be the same.
        .group_by("mine", runs.status)
    )
    counts = {(bool(ours), status): count for ours, status, count in alive}
    oldest = conn.execute(
        select(runs.queued_at)
        .where(runs.workspace_id == workspace_id, runs.status == "queued")
        .order_by(runs.id)
        .limit(1)
    ).scalar()
    by_callback = conn.execute(
        select(callbacks.name, runs.status, func.count())
        .join(schema.callbacks, callbacks.id == runs.callback_id)
        .where(runs.workspace_id == workspace_id, runs.status.in_(("running", "queued")))
        .group_by(callbacks.name, runs.status)
    )
    named: dict[str, Counter[str]] = {}
    for name, status, count in by_callback:
        named.setdefault(name, Counter())[status] += count
    top = sorted(named.items(), key=lambda one: -sum(one[1].values()))[:4]
    return Queue(
        counts.get((True, "running"), 0),
        counts.get((True, "queued"), 0),
        None if oldest is None else max(0.0, now - oldest),
        tuple(Waiting(name, c["running"], c["queued"]) for name, c in top),
        counts.get((False, "running"), 0),
        counts.get((False, "queued"), 0),
    )
