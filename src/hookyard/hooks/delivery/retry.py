"""When a failed attempt is tried again, and when not: pure rules, called by `delivery` and the outbox's courier.

Contract, section 5: 100, 200, 400, … ms with at most 10 % jitter; what the receiver asks for with `Retry-After` is
respected within the deadline; what cannot succeed is not tried again.
"""

from __future__ import annotations

FIRST_WAIT = 0.1
"""Seconds before the second attempt."""

LONGEST_WAIT = 300.0
"""Seconds that the doubling stops at."""

MOST_JITTER = 0.1
"""Share of a wait that is added at random at most, so that clients that failed together do not return together."""


def wait_after(attempt: int, jitter: float, retry_after: float | None = None) -> float:
    """Return the seconds between a failed attempt and the next.

    Args:
        attempt: Number of the failed attempt, from 1.
        jitter: A random number from 0 to 1.
        retry_after: What the receiver asked for, seconds.
    """
    wait = min(FIRST_WAIT * 2.0 ** min(attempt - 1, 32), LONGEST_WAIT) * (1 + MOST_JITTER * jitter)
    return wait if retry_after is None else max(wait, retry_after)


def whole_deadline(timeout_secs: float, retries: int) -> float:
    """Return the seconds that all attempts and the waits between them take at most: the default deadline."""
    waits = sum(wait_after(attempt, 1.0) for attempt in range(1, retries + 1))
    return timeout_secs * (retries + 1) + waits


def next_wait(
    attempt: int, retries: int, remaining: float, jitter: float, retry_after: float | None = None
) -> float | None:
    """Return the seconds to wait before the next attempt, or None when there is to be none.

    Args:
        attempt: Number of the failed attempt, from 1.
        retries: Attempts after the first.
        remaining: Seconds until the deadline.
        jitter: A random number from 0 to 1.
        retry_after: What the receiver asked for, seconds.
    """
    if attempt > retries:
        return None
    wait = wait_after(attempt, jitter, retry_after)
    return wait if wait < remaining else None
