"""Backlog limit: reject ingested events (429) when a workspace has too many queued runs.

What waits already decides, as the contract has it, not what would wait: so a request may pass the limit by its own
runs, and one with more runs than the limit can come in at all, instead of waiting behind smaller ones without end.

Used by `gates`. Counting ten thousand rows for every event would cost more than the event, so a count is kept and only
ever grows between two countings: while it is below the limit, so is the truth. It is counted again when it reaches the
limit, and every second, since other servers queue runs too.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from hookyard.core.errors import LimitError
from hookyard.core.ids import WorkspaceId
from hookyard.core.run_status import RunStatus
from hookyard.store import schema

_TRUSTED_SECONDS = 1.0
_KEPT = 10_000
RETRY_SECONDS = 5.0


@dataclass(slots=True)
class _Count:
    at_most: int
    counted_at: float


class Backlog:
    """The kept counts."""

    def __init__(self) -> None:
        self._counts: dict[WorkspaceId, _Count] = {}

    def queued(self, workspace_id: WorkspaceId, more: int) -> None:
        """Add to the number of queued runs of a workspace."""
        count = self._counts.get(workspace_id)
        if count is not None:
            count.at_most += more

    def has_room(self, workspace_id: WorkspaceId, limit: int, now: float) -> bool:
        """Return whether the cached count is below the limit; False without a count, or with an old one."""
        count = self._counts.get(workspace_id)
        return count is not None and count.at_most < limit and 0 <= now - count.counted_at < _TRUSTED_SECONDS

    def refusal(self, conn: Connection, workspace_id: WorkspaceId, limit: int, now: float) -> LimitError | None:
        """Return the error for an event beyond the limit, None below it."""
        if self.has_room(workspace_id, limit, now):
            return None
        count = _Count(_count(conn, workspace_id, limit), now)
        if len(self._counts) >= _KEPT:
            self._counts.clear()
        self._counts[workspace_id] = count
        if count.at_most < limit:
            return None
        return LimitError(
            f"{limit} runs of this workspace are waiting",
            where=workspace_id,
            hint="send it again later",
            retry_after=RETRY_SECONDS,
        )


def _count(conn: Connection, workspace_id: WorkspaceId, limit: int) -> int:
    table = schema.runs
    some = (
        select(table.c.id).where(table.c.workspace_id == workspace_id, table.c.status == RunStatus.QUEUED).limit(limit)
    )
    return conn.execute(select(func.count()).select_from(some.subquery())).scalar_one()
