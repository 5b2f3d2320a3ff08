"""The states of a run, and the one table of what may follow what.

Read by every file that writes `runs.status`, and by the pages for their filters.
"""

from __future__ import annotations

from enum import StrEnum

from hookyard.core.errors import ConflictError


class RunStatus(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


LOST = "lost"
"""Outcome of an attempt whose worker died; any other outcome is the final status that the attempt gave its run."""

TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED, RunStatus.SKIPPED}),
    # Back to queued when its worker died: the next attempt is admitted like any other run.
    RunStatus.RUNNING: frozenset(
        {RunStatus.QUEUED, RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.TIMED_OUT, RunStatus.CANCELLED}
    ),
    RunStatus.SUCCEEDED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.TIMED_OUT: frozenset(),
    RunStatus.CANCELLED: frozenset(),
    RunStatus.SKIPPED: frozenset(),
}
"""What may follow each state."""

FINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)
"""The states that a run never leaves; a retry is a new run."""


def check(now: RunStatus, target: RunStatus) -> None:
    """Refuse a step that is not in the table.

    Raises:
        ConflictError: The run cannot go there from where it stands.
    """
    if target not in TRANSITIONS[now]:
        raise ConflictError(f"a run that is {now} cannot become {target}")
