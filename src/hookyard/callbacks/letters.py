"""The verdict of the gates on one event for one callback, as one letter.

Written by `callbacks.accept` and `callbacks.merge`, read by `callbacks.trace`. An event's letters stand in the order
of its listener set; "not listening" is not stored, it is everybody else.
"""

from __future__ import annotations

from hookyard.errors import PermanentError

MATCHED = "-"
"""Only while it is decided; never stored."""

AUTHOR = "a"
CONDITION = "c"
CONDITION_ERROR = "e"
DUPLICATE = "d"
OPERATION = "o"
LOOP = "l"
QUOTA = "u"  # never stored: what a run reads as while a quota holds it up, see `held_up`
MERGED = "m"
QUEUED = "q"
SKIPPED = "s"  # of a batch: its callback was disabled or deleted before it closed

GATES = ("listening", "author", "condition", "duplicate", "operation", "merge", "loop", "quota", "queue")
"""The gates in their order (contract, section 7)."""

WAITS = "waits: "
"""Begins the reason of a queued run that a quota holds up."""

_GATE = {
    AUTHOR: "author",
    CONDITION: "condition",
    CONDITION_ERROR: "condition",
    DUPLICATE: "duplicate",
    OPERATION: "operation",
    LOOP: "loop",
    QUOTA: "quota",
    SKIPPED: "queue",
}


def gate(letter: str) -> str | None:
    """The gate that stopped it; None when it was let through.

    Raises:
        PermanentError: No such letter: the database was written by a newer hookyard.
    """
    if letter in (MERGED, QUEUED):
        return None
    try:
        return _GATE[letter]
    except KeyError:
        raise PermanentError(f"an unknown verdict {letter!r}", mend="use the newest hookyard") from None


def held_up(run_status: str | None, run_reason: str | None) -> str | None:
    """Why a quota holds up a run, one sentence; None while none does."""
    return run_reason if run_status == "queued" and (run_reason or "").startswith(WAITS) else None


def as_it_stands(letter: str, run_status: str | None, run_reason: str | None) -> str:
    """The letter, or `QUOTA` while a quota holds up the run that came of it."""
    return letter if held_up(run_status, run_reason) is None else QUOTA
