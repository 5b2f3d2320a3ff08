"""The loop guard: an agent's own events must not start agents without end.

Two rules (contract, section 7): by lineage, from the chain of causes that an event carries; and by the hour, from the
runs of one callback for one task or conversation. Called by `gates` and `merge`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from hookyard.core.ids import CallbackId
from hookyard.events.model import Cause
from hookyard.intake.match import CallbackListener
from hookyard.intake.run_requests import RunRequest
from hookyard.settings import LiveSettings
from hookyard.store.fast_sql import execute, placeholder_of, values_clause

HOUR_SECONDS = 3600.0

_AT_ONCE = 100


def lineage_reason(listener: CallbackListener, cause: Cause, live: LiveSettings) -> str | None:
    """Return why an event with this chain may not start the callback, None when it may."""
    if not cause.links:
        return None
    allowed = listener.spec.loop
    if not allowed.allow_self and listener.callback_id in cause.callbacks:
        return "the event was caused by a run of this callback"
    longest = live.number("eventCallback.maxChain") if allowed.max_chain is None else allowed.max_chain
    if len(cause) >= longest:
        return f"the event is the end of a chain of {len(cause)} runs; at most {longest} are allowed"
    return None


class HourlyRunLimit:
    """Counts runs by callback and subject, within one transaction.

    Args:
        conn: The transaction.
        starts: All runs that may be queued in it.
        now: Seconds since the epoch.
        live: The settings.
    """

    def __init__(self, conn: Connection, starts: Iterable[RunRequest], now: float, live: LiveSettings) -> None:
        self._default = live.number("eventCallback.subjectRunsPerHour")
        pairs = {(s.listener.callback_id, s.subject) for s in starts if s.subject is not None}
        self._counts = _count(conn, sorted(pairs), now)

    def reason(self, start: RunRequest) -> str | None:
        """Return why a run may not be queued; None when it may, and then it is counted."""
        if start.subject is None:
            return None
        pair = (start.listener.callback_id, start.subject)
        own = start.listener.spec.loop.runs_per_hour
        limit = self._default if own is None else own
        if self._counts[pair] >= limit:
            return f"{self._counts[pair]} runs for {start.subject} within an hour; at most {limit} are allowed"
        self._counts[pair] += 1
        return None


def _count(conn: Connection, pairs: Sequence[tuple[CallbackId, str]], now: float) -> Counter[tuple[CallbackId, str]]:
    counts: Counter[tuple[CallbackId, str]] = Counter()
    for start in range(0, len(pairs), _AT_ONCE):
        part = pairs[start : start + _AT_ONCE]
        placeholder = placeholder_of(conn)
        # Not those of a future that the clock has been set back from: they would stop the callback until it is reached.
        statement = (
            "SELECT callback_id, subject, count(*) FROM runs WHERE (callback_id, subject)"  # noqa: S608 - marks only
            f" IN (VALUES {values_clause(len(part), 2, placeholder)}) AND queued_at > {placeholder}"
            f" AND queued_at < {placeholder} GROUP BY callback_id, subject"
        )
        names = (name for pair in part for name in pair)
        rows = execute(conn, statement, (*names, now - HOUR_SECONDS, now + HOUR_SECONDS))
        for callback_id, subject, count in rows:
            counts[CallbackId(callback_id), subject] = count
    return counts
