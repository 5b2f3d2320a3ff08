"""The states of a run, and the table of the transitions between them.

Read by every file that writes `runs.status`, and by the pages for their filters.
"""

from __future__ import annotations

from enum import StrEnum

from hookyard.core.errors import ConflictError


class RunStatus(StrEnum):
    """State of a run."""

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
"""The states that may follow each state."""

FINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)
"""The states that a run never leaves; a retry is a new run."""


def check(now: RunStatus, target: RunStatus) -> None:
    """Reject a transition that the table does not have.

    Raises:
        ConflictError: A run cannot go from the one state to the other.
    """
    if target not in TRANSITIONS[now]:
        raise ConflictError("run_transition_invalid", status=now.value, target=target.value)
