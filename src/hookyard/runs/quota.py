"""Quotas of a workspace: runs an hour, tokens a day. Reserved when a run starts, settled when it ends.

Called by `admission` and `completion` inside their transactions. A quota delays, it drops nothing: a run beyond it
stays queued, with the reason, until the hour has slid on or the day is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from hookyard.core.message_catalog import Message
from hookyard.settings import LiveSettings
from hookyard.store.fast_sql import insert_or_update
from hookyard.store.schema import runs, spend

HOUR_SECONDS = 3600.0
SHARE = 4
"""A run reserves that part of what is left, so that several can run at once and a big one still fits."""
LEAST_TOKENS = 10_000
"""With less than this (or than the whole quota) left, a run had better wait for a settlement or the next day."""


@dataclass(frozen=True, slots=True)
class Quotas:
    """What a workspace may use; None = no limit.

    Attributes:
        runs_an_hour: Runs started within any hour.
        tokens_a_day: Tokens on one UTC day.
    """

    runs_an_hour: int | None = None
    tokens_a_day: int | None = None

    @classmethod
    def of(cls, live: LiveSettings) -> Quotas:
        """Return the quotas of the settings, where 0 is no limit."""
        return cls(live.number("quota.runsPerHour") or None, live.number("quota.tokensPerDay") or None)


def day_of(at: float) -> str:
    """Return the UTC day of a time, `2026-01-15`."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def portion(quota: int, used: int) -> int | None:
    """Return the tokens to reserve for one run.

    Args:
        quota: Tokens of the day.
        used: Spent and reserved so far.

    Returns:
        None when too little is left to start one.
    """
    left = quota - used
    least = min(LEAST_TOKENS, quota)
    return max(left // SHARE, least) if left >= least else None


class Budget:
    """What one workspace may still start within one transaction of admission.

    Args:
        conn: The transaction.
        workspace_id: The workspace.
        quotas: Its limits.
        now: Seconds since the epoch.
    """

    def __init__(self, conn: Connection, workspace_id: str, quotas: Quotas, now: float) -> None:
        self._conn = conn
        self._workspace = workspace_id
        self._quotas = quotas
        self._day = day_of(now)
        self._runs = 0
        self._used = 0
        if quotas.runs_an_hour is not None:
            recent = (
                select(runs.c.id)
                .where(runs.c.workspace_id == workspace_id, runs.c.started_at > now - HOUR_SECONDS)
                .limit(quotas.runs_an_hour)
            )
            self._runs = conn.execute(select(func.count()).select_from(recent.subquery())).scalar_one()
        if quotas.tokens_a_day is not None:
            found = conn.execute(
                select(spend.c.tokens + spend.c.reserved).where(
                    spend.c.workspace_id == workspace_id, spend.c.day == self._day
                )
            ).scalar()
            self._used = found or 0

    def obstacle(self) -> Message | None:
        """Return why no further run may start now; None when one may."""
        hour, day = self._quotas.runs_an_hour, self._quotas.tokens_a_day
        if hour is not None and self._runs >= hour:
            return Message("waits_runs_per_hour", {"limit": hour})
        if day is not None and portion(day, self._used) is None:
            return Message("waits_tokens_per_day", {"limit": day})
        return None

    def limit(self) -> int | None:
        """Return the tokens that the next run may use, None = no limit. Only without an `obstacle`."""
        return None if self._quotas.tokens_a_day is None else portion(self._quotas.tokens_a_day, self._used)

    def take(self, limit: int | None) -> None:
        """Count a run that starts with that limit. The reservation is stored with `add`."""
        self._runs += 1
        self._used += limit or 0


def add(
    conn: Connection, workspace_id: str, day: str, *, tokens: int = 0, reserved: int = 0, cost_usd: float = 0.0
) -> None:
    """Add to what a workspace has spent and reserved on a day; less than nothing takes a reservation back."""
    if not tokens and not reserved and not cost_usd:
        return
    row = {"workspace_id": workspace_id, "day": day, "tokens": tokens, "reserved": reserved, "cost_usd": cost_usd}
    conn.execute(
        insert_or_update(conn, spend)
        .values(row)
        .on_conflict_do_update(
            index_elements=["workspace_id", "day"],
            set_={
                "tokens": spend.c.tokens + tokens,
                "reserved": spend.c.reserved + reserved,
                "cost_usd": spend.c.cost_usd + cost_usd,
            },
        )
    )
