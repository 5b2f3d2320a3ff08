"""Deliveries for the webhooks page: strips, health, one webhook's list, one delivery."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from hookyard.core.ids import earliest
from hookyard.store import schema

LAST = 24
PAGE = 20
_RECENT = 200
DAY = 86_400.0
FAILED = ("failed", "dead")


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as lists show it."""

    id: str
    webhook: str
    event: str
    run_id: str | None
    state: str
    result: str | None
    at: float
    ms: float | None
    tool: str = ""
    attempts: int = 0
    message: str = ""

    @property
    def word(self) -> str:
        """Its status in one word, a key of the texts' `status`."""
        return self.state if self.state in (*FAILED, "pending") else self.result or "delivered"


@dataclass(frozen=True, slots=True)
class Health:
    """How a webhook does, by its newest deliveries.

    Attributes:
        last: The newest, oldest first.
        recent: How many were looked at.
        delivered: How many of those arrived.
        p95_ms: Of those, milliseconds.
        failures: How often it failed in a row, up to now.
    """

    last: tuple[DeliveryRow, ...]
    recent: int
    delivered: int
    p95_ms: float | None
    failures: int


def _row(row: Any, *, details: bool = False) -> DeliveryRow:
    tool, attempts, message = "", 0, ""
    if details:
        kept = json.loads(row.details)
        attempts, message = len(kept.get("attempts", ())), str(kept.get("message") or "")
        tool = tool_of(kept.get("request", ""))
    return DeliveryRow(
        row.id, row.webhook, row.event, row.run_id, row.state, row.result, row.created_at, row.duration_ms, tool,
        attempts, message,
    )  # fmt: skip


def tool_of(request: str) -> str:
    """Return the tool that a request is about, `""` for none."""
    try:
        context = json.loads(request).get("hook_context", {})
    except (ValueError, AttributeError):
        return ""
    return str(context.get("tool_name", "")) if isinstance(context, dict) else ""


_FIELDS = [
    schema.deliveries.c[name]
    for name in ("id", "webhook", "event", "run_id", "state", "result", "created_at", "duration_ms")
]


_NEWEST = (
    select(*_FIELDS)
    .where(
        schema.deliveries.c.workspace_id == bindparam("workspace"), schema.deliveries.c.webhook == bindparam("webhook")
    )
    .order_by(schema.deliveries.c.id.desc())
    .limit(_RECENT)
)


def health(conn: Connection, workspace_id: str, name: str) -> Health:
    """Return the health of one webhook."""
    rows = conn.execute(_NEWEST, {"workspace": workspace_id, "webhook": name}).all()
    ended = [(row.state not in FAILED, row.duration_ms) for row in rows if row.state != "pending"]
    times = sorted(ms for good, ms in ended if good and ms is not None)
    failures = next((index for index, (good, _) in enumerate(ended) if good), len(ended))
    p95 = times[min(len(times) - 1, int(len(times) * 0.95))] if times else None
    last = tuple(_row(row) for row in reversed(rows[:LAST]))
    return Health(last, len(ended), sum(good for good, _ in ended), p95, failures)


def names(conn: Connection, workspace_id: str, now: float) -> tuple[list[str], int]:
    """Return the webhooks with recent deliveries (also of the installation's own file, or deleted), and their numbers
    in a day."""
    table = schema.deliveries.c
    query = (
        select(table.webhook, func.count())
        .where(table.workspace_id == workspace_id, table.id >= earliest("dlv", now - DAY))
        .group_by(table.webhook)
        .order_by(table.webhook)
    )
    found = conn.execute(query).all()
    return [name for name, _ in found], sum(count for _, count in found)


def deliveries(
    conn: Connection, workspace_id: str, name: str, only: str, after: str
) -> tuple[Sequence[DeliveryRow], str]:
    """Return a page of one webhook's deliveries, newest first, and the id at which the next page begins."""
    table = schema.deliveries.c
    query = select(*_FIELDS, table.details).where(table.workspace_id == workspace_id, table.webhook == name)
    if only == "failed":
        query = query.where(table.state.in_(FAILED))
    elif only:
        query = query.where(table.result == only)
    if after:
        query = query.where(table.id < after)
    rows = [_row(row, details=True) for row in conn.execute(query.order_by(table.id.desc()).limit(PAGE + 1))]
    return rows[:PAGE], rows[PAGE - 1].id if len(rows) > PAGE else ""


def one(conn: Connection, workspace_id: str, delivery_id: str) -> dict[str, Any] | None:
    """Return everything stored about a delivery, see `hooks.delivery.delivery_log.Delivery`."""
    table = schema.deliveries.c
    stored = conn.execute(
        select(table.details).where(table.workspace_id == workspace_id, table.id == delivery_id)
    ).scalar()
    if stored is None:
        return None
    kept: dict[str, Any] = json.loads(stored)
    return kept
