"""The end of an attempt: its result stored, its place freed, its quota settled; one transaction.

Called by `executor` with what an agent's run came to, and by `recovery` and `control` for runs that end without one.
Every statement is fenced by the attempt: the end of an attempt that is not the current one any more changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, func, select, update

from hookyard.agents.base import Usage
from hookyard.core.ids import RunId
from hookyard.core.message_catalog import Message
from hookyard.core.run_status import LOST, RunStatus, check
from hookyard.runs.admission import TOPIC, RunTokens
from hookyard.runs.claim import AdmittedRun
from hookyard.runs.queue import Execution
from hookyard.runs.quota import add, day_of
from hookyard.runs.timeline import ABOUT, PROGRESS, TEXT_CHARS, Progress, progress_parameters, shorten, store_rows
from hookyard.store.database import announce
from hookyard.store.schema import attempts, runs


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What an attempt came to.

    Attributes:
        status: A final status.
        answer: The agent's last words, None when it gave none.
        error: What went wrong, None when nothing did.
        reason: Why it was cancelled, None otherwise.
    """

    status: RunStatus
    answer: str | None = None
    error: Message | None = None
    reason: Message | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """The end of one attempt, to be stored.

    Attributes:
        claim: The attempt.
        outcome: What it came to.
        progress: Entries of its timeline that are not stored yet.
        total: What the run used up, earlier attempts included.
        at: When, seconds since the epoch.
    """

    claim: AdmittedRun
    outcome: RunOutcome
    progress: Progress
    total: Usage
    at: float


_RUN_ENDS = (
    update(runs)
    .where(runs.c.id == bindparam("run"))
    .values(
        status=bindparam("ends_as"),
        finished_at=bindparam("at"),
        answer=bindparam("says"),
        error=bindparam("why"),
        reason=bindparam("because"),
        reserved_tokens=0,
        **PROGRESS,
    )
)
_ATTEMPT_ENDS = (
    update(attempts)
    .where(attempts.c.run_id == bindparam("run"), attempts.c.number == bindparam("nth"))
    .values(
        finished_at=bindparam("at"),
        outcome=bindparam("ends_as"),
        error=bindparam("why"),
        **{name: func.coalesce(bindparam(f"its_{name}"), attempts.c[name]) for name in ABOUT},
    )
)


def stored_message(message: Message | None) -> str | None:
    """Return the text of a column of reasons or errors; `Message.loads` reads it.

    A message that is too long for the column is stored as its English text, shortened: half a JSON text has no use.
    """
    if message is None:
        return None
    text = message.dumps()
    return shorten(text if len(text) <= TEXT_CHARS else message.sentence())


def complete(conn: Connection, endings: Sequence[Completion], tokens: RunTokens) -> list[bool]:
    """Store how attempts ended: all that end at one moment together, in a handful of statements.

    Args:
        conn: The transaction.
        endings: Of different attempts.
        tokens: Revokes the runs' tokens.

    Returns:
        For each ending, False when its attempt was not the current one any more; then nothing of it is stored.
    """
    current = _current(conn, endings)
    kept = [ending for ending in endings if ending.claim.execution in current]
    if kept:
        rows = [_row(ending) for ending in kept]
        conn.execute(_RUN_ENDS, rows)
        conn.execute(_ATTEMPT_ENDS, [_of_attempt(ending, row) for ending, row in zip(kept, rows, strict=True)])
        store_rows(conn, [entry for ending in kept for entry in ending.progress.rows])
        _settle_quotas(conn, kept)
        tokens.revoke(conn, [ending.claim.run_id for ending in kept])
        claims = [ending.claim for ending in kept]
        announce(conn, TOPIC, *(f"run:{c.run_id}" for c in claims), *{f"runs:{c.workspace_id}" for c in claims})
    return [ending.claim.execution in current for ending in endings]


def _current(conn: Connection, endings: Sequence[Completion]) -> set[Execution]:
    """Return which of the attempts are running, and lock them until the transaction ends."""
    under_way = (
        select(runs.c.id, runs.c.attempt)
        .where(runs.c.id.in_([ending.claim.run_id for ending in endings]), runs.c.status == RunStatus.RUNNING.value)
        .with_for_update()
    )
    return {Execution(RunId(row.id), row.attempt) for row in conn.execute(under_way)}


def _row(ending: Completion) -> dict[str, Any]:
    """Return the parameters of `_RUN_ENDS`."""
    outcome = ending.outcome
    check(RunStatus.RUNNING, outcome.status)
    return {
        "run": ending.claim.run_id,
        "ends_as": outcome.status.value,
        "at": ending.at,
        "says": None if outcome.answer is None else shorten(outcome.answer),
        "why": stored_message(outcome.error),
        "because": stored_message(outcome.reason),
        **progress_parameters(ending.progress, ending.total),
    }


def _of_attempt(ending: Completion, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of `_ATTEMPT_ENDS`."""
    shared = {name: row[name] for name in ("run", "at", "ends_as", "why")}
    return {"nth": ending.claim.attempt, **shared, **_known(ending.progress.about)}


def _known(about: Mapping[str, str]) -> dict[str, str | None]:
    return {f"its_{name}": about.get(name) for name in ABOUT}


def _settle_quotas(conn: Connection, endings: Sequence[Completion]) -> None:
    """Turn reservations into what was really used, on the day on which they were made."""
    for ending in endings:
        claim, total = ending.claim, ending.total
        add(
            conn,
            claim.workspace_id,
            claim.day,
            tokens=total.input_tokens + total.output_tokens,
            reserved=-(claim.token_limit or 0),
            cost_usd=total.cost_usd or 0.0,
        )


@dataclass(frozen=True, slots=True)
class OrphanedAttempt:
    """A running run whose worker is gone, read within the transaction that ends the attempt.

    Attributes:
        row: Columns `id`, `workspace_id`, `attempt`, `reserved_tokens`, `input_tokens`, `output_tokens`, `cost_usd`
            and `attempt_started_at`.
        why: What happened to the attempt.
    """

    row: Any
    why: Message


def requeue(conn: Connection, lost: OrphanedAttempt, now: float, tokens: RunTokens) -> bool:
    """End a lost attempt and queue its run again; False when the attempt has ended meanwhile.

    What it used up stays in the run's own figures and is counted as the workspace's when the run ends.
    """
    changed = conn.execute(
        update(runs)
        .where(*_still_running(lost))
        .values(status=RunStatus.QUEUED.value, worker_id=None, reserved_tokens=0, reason=lost.why.dumps())
    ).rowcount
    if changed:
        _leave(conn, lost, now, LOST, tokens)
    return bool(changed)


def fail_orphaned(conn: Connection, lost: OrphanedAttempt, outcome: RunOutcome, now: float, tokens: RunTokens) -> bool:
    """End a lost attempt and its run with it; False when the attempt has ended meanwhile."""
    changed = conn.execute(
        update(runs)
        .where(*_still_running(lost))
        .values(
            status=outcome.status.value,
            finished_at=now,
            error=stored_message(outcome.error),
            reason=stored_message(outcome.reason),
            reserved_tokens=0,
        )
    ).rowcount
    if changed:
        row = lost.row
        day = day_of(row.attempt_started_at)
        add(conn, row.workspace_id, day, tokens=row.input_tokens + row.output_tokens, cost_usd=row.cost_usd or 0.0)
        _leave(conn, lost, now, LOST, tokens)
    return bool(changed)


def _still_running(lost: OrphanedAttempt) -> tuple[Any, ...]:
    row = lost.row
    return (runs.c.id == row.id, runs.c.attempt == row.attempt, runs.c.status == RunStatus.RUNNING.value)


def _leave(conn: Connection, lost: OrphanedAttempt, now: float, result: str, tokens: RunTokens) -> None:
    row = lost.row
    _end_attempt(conn, row.id, row.attempt, now, result, lost.why.dumps())
    add(conn, row.workspace_id, day_of(row.attempt_started_at), reserved=-row.reserved_tokens)
    tokens.revoke(conn, [RunId(row.id)])
    announce(conn, TOPIC, f"run:{row.id}", f"runs:{row.workspace_id}")


def _end_attempt(conn: Connection, run_id: str, attempt: int, now: float, result: str, why: str | None) -> None:
    ends = {"run": run_id, "nth": attempt, "at": now, "ends_as": result, "why": why}
    conn.execute(_ATTEMPT_ENDS, {**ends, **_known({})})
