"""The verdicts of the gates on one event for one callback, and how a row of `events` or `intake.batches` stores them.

`intake.accept`, `intake.gates` and `intake.merge` decide with `GateVerdict`; `intake.trace` reads the verdicts back for
the API and the pages. Only `pack` and `unpack` know the stored form: one character per listener, in the order of the
event's listener set.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Self

from hookyard.core.errors import PermanentError
from hookyard.core.message_catalog import Message
from hookyard.core.run_status import RunStatus


class Gate(StrEnum):
    """The gates that an event passes on its way to a callback, in their order (contract, section 7)."""

    LISTENING = "listening"
    AUTHOR = "author"
    CONDITION = "condition"
    DUPLICATE = "duplicate"
    OPERATION = "operation"
    MERGE = "merge"
    LOOP = "loop"
    QUOTA = "quota"
    QUEUE = "queue"


GATES = tuple(Gate)


class Outcome(StrEnum):
    """The outcome of an event for a callback, as the API shows it."""

    RUN = "run"
    MERGED = "merged"
    STOPPED = "stopped"
    PENDING = "pending"


class GateVerdict(StrEnum):
    """What the gates said about one event for one callback.

    The value is one character where the verdict is stored, a word where it is only derived on reading.

    Attributes:
        outcome: The outcome for the event.
        gate: The gate that stopped it or holds its run up; None when none did.
        reason: A stable code of the reason, such as `condition_false`; None when no gate stopped it.
    """

    outcome: Outcome
    gate: Gate | None
    reason: str | None

    def __new__(cls, code: str, outcome: Outcome, gate: Gate | None = None, reason: str | None = None) -> Self:
        """Attach the facts of a verdict to its stored code."""
        verdict = str.__new__(cls, code)
        verdict._value_ = code
        verdict.outcome, verdict.gate, verdict.reason = outcome, gate, reason
        return verdict

    QUEUED = "q", Outcome.RUN
    MERGED = "m", Outcome.MERGED
    AUTHOR = "a", Outcome.STOPPED, Gate.AUTHOR, "author_not_member"
    CONDITION = "c", Outcome.STOPPED, Gate.CONDITION, "condition_false"
    CONDITION_ERROR = "e", Outcome.STOPPED, Gate.CONDITION, "condition_error"
    DUPLICATE = "d", Outcome.STOPPED, Gate.DUPLICATE, "duplicate_event"
    OPERATION = "o", Outcome.STOPPED, Gate.OPERATION, "operation_taken"
    LOOP = "l", Outcome.STOPPED, Gate.LOOP, "loop_limit"
    SKIPPED = "s", Outcome.STOPPED, Gate.QUEUE, "callback_inactive"  # stored for batches only

    PENDING = "pending", Outcome.PENDING  # the gates of the transaction have yet to decide
    NOT_LISTENING = "not_listening", Outcome.STOPPED, Gate.LISTENING, "not_listening"
    DISABLED = "disabled", Outcome.STOPPED, Gate.LISTENING, "callback_disabled"
    CHANGED = "changed", Outcome.STOPPED, Gate.LISTENING, "callback_changed"  # in the moment of the event
    QUOTA = "quota", Outcome.RUN, Gate.QUOTA, "quota_exhausted"  # while a quota holds up the queued run


STARTED = frozenset({GateVerdict.QUEUED, GateVerdict.MERGED})
"""The stored verdicts that let an event through."""

_BY_CODE = {verdict.value: verdict for verdict in GateVerdict if len(verdict.value) == 1}


def pack(verdicts: Collection[GateVerdict]) -> str:
    """Return the stored form of verdicts.

    Raises:
        ValueError: One of them is never stored.
    """
    packed = "".join(verdicts)
    if len(packed) != len(verdicts):
        raise ValueError(f"a verdict that is never stored: {[verdict.name for verdict in verdicts]}")
    return packed


def unpack(packed: str | None) -> tuple[GateVerdict, ...]:
    """Return the verdicts of a stored form; none for an event that no callback listened to.

    Raises:
        PermanentError: An unknown code: a newer hookyard wrote the database.
    """
    try:
        return tuple([_BY_CODE[code] for code in packed or ""])
    except KeyError as error:
        raise PermanentError("verdict_unknown", verdict=str(error.args[0])) from None


def packed_has(packed: str | None, wanted: Iterable[GateVerdict]) -> bool:
    """Return whether a stored form has one of the verdicts; cheaper than to unpack it, for scans over many events."""
    return packed is not None and any(verdict.value in packed for verdict in wanted)


WAITS = "waits: "
"""Begins the reason of a queued run that a quota holds up, where a version without codes stored it."""

QUOTA_CODES = frozenset({"waits_runs_per_hour", "waits_tokens_per_day"})
"""Codes of the reasons of a queued run that a quota holds up."""


def quota_hold(run_status: str | None, run_reason: str | None) -> str | None:
    """Return why a quota holds up a run, in English; None while none does.

    Args:
        run_status: Status of the run.
        run_reason: Its reason as stored.
    """
    if run_status != RunStatus.QUEUED or run_reason is None:
        return None
    reason = Message.loads(run_reason)
    return reason.text() if reason.code in QUOTA_CODES or reason.text().startswith(WAITS) else None
