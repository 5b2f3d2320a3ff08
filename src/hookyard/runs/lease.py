"""The worker's own view of its lease: until when no other worker may take its runs over.

Made by `wiring`, renewed by `worker` with every heartbeat, asked by everything that is about to begin work for a run.
Others measure the lease from when they saw the heartbeat, which is later than its beginning; here it is measured from
when the heartbeat was sent, and ends early enough for agents to be ended before the others' does.
"""

from __future__ import annotations

from hookyard.core.clock import Clock

HEARTBEAT_SECONDS = 3.0
"""Between two heartbeats; less where the lease is short."""

ENDING_SECONDS = 8.0
"""What is kept back for ending agents: a program gets 2 s after SIGTERM and 5 s to be reaped."""


class Lease:
    """A lease, on this process's own steady clock, which also runs while the process is stopped.

    Args:
        clock: Only its monotonic side is used.
        seconds: Its length; None where death is known without one.
    """

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self.seconds = seconds
        self._clock = clock
        self._renewed_at = clock.monotonic()

    @property
    def usable_seconds(self) -> float:
        """How long after a heartbeat work may be done."""
        if self.seconds is None:
            return float("inf")
        return self.seconds - min(ENDING_SECONDS, self.seconds / 3)

    def renewed(self, sent_at: float) -> None:
        """Extend the lease: a heartbeat was stored.

        Args:
            sent_at: When it was begun, by the monotonic clock.
        """
        self._renewed_at = max(self._renewed_at, sent_at)

    def is_over(self) -> bool:
        """Return whether other workers may be about to take the runs over."""
        return self._clock.monotonic() - self._renewed_at >= self.usable_seconds


def heartbeat_seconds(lease_seconds: float | None) -> float:
    """Return how often to send a heartbeat under a lease, in seconds."""
    return HEARTBEAT_SECONDS if lease_seconds is None else min(HEARTBEAT_SECONDS, lease_seconds / 5)
