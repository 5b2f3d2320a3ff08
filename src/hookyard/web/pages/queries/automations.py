"""Callbacks for their list and their editor: last runs, health, past events, agents to choose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from hookyard.core.ids import earliest
from hookyard.store import schema
from hookyard.web.pages.queries.runs import STATUSES, agent_name

LAST = 24
"""Runs of a strip."""

SHOWN = 100
DAY = 86_400.0
_BAD = ("failed", "timed_out")


@dataclass(frozen=True, slots=True)
class LastRun:
    """A mark of a strip."""

    id: str
    status: str
    reason: str | None
    at: float
    denied: int
    modified: int


@dataclass(frozen=True, slots=True)
class CallbackRow:
    """A callback as the list shows it.

    Attributes:
        last: Its newest runs, oldest first.
        error: The newest event that its condition could not be judged on: at, eventId, message.
    """

    id: str
    name: str
    enabled: bool
    version: int
    events: tuple[str, ...]
    condition: str
    agent: str
    updated_at: float
    author: str
    last: tuple[LastRun, ...]
    error: dict[str, Any] | None

    @property
    def running(self) -> int:
        """Runs that execute now."""
        return sum(run.status == "running" for run in self.last)

    @property
    def failures(self) -> int:
        """How often it failed in a row, up to now."""
        count = 0
        for run in reversed(self.last):
            if run.status in _BAD:
                count += 1
            elif run.status not in ("running", "queued", "skipped", "cancelled"):
                break
        return count

    def health(self, now: float) -> str:
        """Return `off`, `failing`, `condition`, `dry`, `new` or `healthy`."""
        if not self.enabled:
            return "off"
        if self.failures >= 2:
            return "failing"
        if self.error and now - float(self.error.get("at", 0)) < DAY:
            return "condition"
        if self.agent == "dry-run":
            return "dry"
        return "healthy" if self.last else "new"


@dataclass(frozen=True, slots=True)
class Totals:
    """The line next to the title."""

    runs: int
    succeeded: int
    ended: int


def page(conn: Connection, workspace_id: str, text: str, event: str, agent: str) -> tuple[list[CallbackRow], list[str]]:
    """Return the callbacks, latest activity first, and the agents of all of them."""
    callbacks, versions = schema.callbacks.c, schema.callback_versions.c
    rows = conn.execute(
        select(
            callbacks.id, callbacks.name, callbacks.enabled, callbacks.version, callbacks.spec, callbacks.updated_at,
            callbacks.condition_error, versions.author,
        )
        .join(
            schema.callback_versions,
            (versions.callback_id == callbacks.id) & (versions.version == callbacks.version),
            isouter=True,
        )
        .where(callbacks.workspace_id == workspace_id, callbacks.deleted_at.is_(None))
        .order_by(callbacks.id.desc())
        .limit(1000)
    ).all()  # fmt: skip
    wanted = text.casefold()
    found = []
    agents = set()
    for row in rows:
        spec = json.loads(row.spec)
        agents.add(_agent(spec.get("agent", "")))
        if (event and event not in spec["events"]) or (agent and agent != _agent(spec.get("agent", ""))):
            continue
        if (
            wanted
            and wanted not in f"{row.name} {' '.join(spec['events'])} {spec['prompt']} {spec['condition']}".casefold()
        ):
            continue
        found.append((row, spec))
    latest = _latest(conn, [row.id for row, _ in found])
    found.sort(key=lambda one: max(latest.get(one[0].id, 0.0), one[0].updated_at), reverse=True)
    shown = [
        CallbackRow(
            row.id, row.name, row.enabled, row.version, tuple(spec["events"]), spec.get("condition", ""),
            _agent(spec.get("agent", "")), row.updated_at, row.author or "", last_runs(conn, row.id),
            json.loads(row.condition_error) if row.condition_error else None,
        )
        for row, spec in found[:SHOWN]
    ]  # fmt: skip
    return shown, sorted(agents)


def _agent(given: object) -> str:
    return agent_name(given if isinstance(given, str) else json.dumps(given))


_LATEST = (
    select(schema.runs.c.queued_at)
    .where(schema.runs.c.callback_id == bindparam("callback"))
    .order_by(schema.runs.c.id.desc())
    .limit(1)
)


def _latest(conn: Connection, ids: Sequence[str]) -> dict[str, float]:
    """Return when each callback was queued last: one index lookup each."""
    found = ((key, conn.execute(_LATEST, {"callback": key}).scalar()) for key in ids)
    return {key: at for key, at in found if at is not None}


_LAST_RUNS = (
    select(*(schema.runs.c[name] for name in ("id", "status", "reason", "queued_at", "denied", "modified")))
    .where(schema.runs.c.callback_id == bindparam("callback"))
    .order_by(schema.runs.c.id.desc())
    .limit(LAST)
)


def last_runs(conn: Connection, callback_id: str) -> tuple[LastRun, ...]:
    """Return the newest runs of a callback, oldest first."""
    return tuple(LastRun(*row) for row in reversed(conn.execute(_LAST_RUNS, {"callback": callback_id}).all()))


def totals(conn: Connection, workspace_id: str, now: float) -> Totals:
    """Return the totals of the runs of the last 24 hours."""
    runs = schema.runs.c
    query = (
        select(runs.status, func.count())
        # Every status, named: so it is counted in the index by status alone.
        .where(runs.status.in_(STATUSES), runs.workspace_id == workspace_id, runs.id >= earliest("run", now - DAY))
        .group_by(runs.status)
    )
    counts: dict[str, int] = dict(conn.execute(query).all())
    ended = sum(counts.get(status, 0) for status in ("succeeded", "failed", "timed_out", "cancelled"))
    return Totals(sum(counts.values()), counts.get("succeeded", 0), ended)


@dataclass(frozen=True, slots=True)
class AgentChoice:
    """A profile to choose."""

    name: str
    kind: str
    detail: str
    config: dict[str, Any]


def agents(conn: Connection) -> list[AgentChoice]:
    """Return the profiles by name."""
    table = schema.agent_profiles.c
    found = []
    for name, text in conn.execute(select(table.name, table.config).order_by(table.name)):
        config = json.loads(text)
        program = config.get("argv") or config.get("command") or [""]
        detail = config.get("model") or config.get("url") or " ".join(program) or ""
        found.append(AgentChoice(name, str(config.get("kind", "")), str(detail), config))
    return found


def past_events(conn: Connection, workspace_id: str, names: Sequence[str], limit: int = 50) -> list[Any]:
    """Return the newest events of some types, oldest first, as rows of `events`."""
    events = schema.events
    merged: list[Any] = []
    for name in names[:20]:
        query = (
            select(events)
            .where(events.c.workspace_id == workspace_id, events.c.name == name)
            .order_by(events.c.id.desc())
            .limit(limit)
        )
        merged.extend(conn.execute(query).mappings())
    merged.sort(key=lambda row: row["id"])
    return merged[-limit:]
