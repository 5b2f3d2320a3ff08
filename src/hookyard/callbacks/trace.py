"""Why did it run, and why did it not: the verdict of the gates on an event, for every callback of its workspace.

Read by the API and the pages from what `gates` and `merge` stored as letters. "Not listening" is not stored: it is
every callback that existed when the event came and is not in its listener set.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, func, or_, select

from hookyard.callbacks import letters
from hookyard.ids import BatchId, CallbackId, RunId
from hookyard.store import schema


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an event for one callback.

    Attributes:
        callback_id: The callback.
        version: Its version when the event came.
        name: Its name in that version.
        outcome: `run`, `merged` (its batch is still open or being settled) or `stopped`.
        gate: The gate that stopped it, one of `letters.GATES`, or `quota` while that holds up the run; else None.
        reason: Why, one sentence; None when no gate stopped it.
        run_id: The run that it started, alone or with its batch.
        batch_id: The batch that it joined.
    """

    callback_id: CallbackId
    version: int
    name: str
    outcome: str
    gate: str | None = None
    reason: str | None = None
    run_id: RunId | None = None
    batch_id: BatchId | None = None

    def as_dict(self) -> dict[str, Any]:
        """As the API shows it."""
        shown: dict[str, Any] = {
            "callbackId": self.callback_id,
            "version": self.version,
            "name": self.name,
            "outcome": self.outcome,
            "gate": self.gate,
            "reason": self.reason,
        }
        if self.run_id is not None:
            shown["runId"] = self.run_id
        if self.batch_id is not None:
            shown["batchId"] = self.batch_id
        return shown


def read_trace(conn: Connection, event: RowMapping) -> list[Verdict]:
    """The verdicts on an event, oldest callback first.

    Args:
        conn: In a read.
        event: A row of `events`.
    """
    heard: dict[CallbackId, tuple[int, str]] = {}
    if event["listener_set"] is not None:
        stored = conn.execute(
            select(schema.listener_sets.c.listeners).where(schema.listener_sets.c.id == event["listener_set"])
        ).scalar_one_or_none()
        listeners = json.loads(stored or "[]")
        heard = {CallbackId(cb): (v, letter) for (cb, v), letter in zip(listeners, event["verdicts"], strict=False)}
    details: Mapping[CallbackId, Mapping[str, str]] = json.loads(event["details"] or "{}")
    batches = _batches(conn, [BatchId(one["batch"]) for one in details.values() if "batch" in one])
    verdicts = []
    for row in _versions(conn, event, heard):
        spec = json.loads(row.spec)
        callback_id = CallbackId(row.callback_id)
        if callback_id in heard:
            letter = heard[callback_id][1]
            verdicts.append(_heard(callback_id, row.version, spec, letter, details.get(callback_id, {}), batches))
        else:
            reason = _not_listening(spec, event["name"])
            verdicts.append(Verdict(callback_id, row.version, spec["name"], "stopped", "listening", reason))
    return _with_those_held_up(conn, verdicts)


def _with_those_held_up(conn: Connection, verdicts: list[Verdict]) -> list[Verdict]:
    """The verdicts, with gate and reason where a quota holds up the run."""
    ids = [one.run_id for one in verdicts if one.run_id is not None]
    if not ids:
        return verdicts
    runs = schema.runs.c
    query = select(runs.id, runs.reason).where(runs.id.in_(ids), runs.status == "queued", runs.reason.is_not(None))
    reasons = {row.id: row.reason for row in conn.execute(query) if row.reason.startswith(letters.WAITS)}
    return [
        replace(one, gate=letters.gate(letters.QUOTA), reason=reasons[one.run_id]) if one.run_id in reasons else one
        for one in verdicts
    ]


def _versions(conn: Connection, event: RowMapping, heard: Mapping[CallbackId, tuple[int, str]]) -> Sequence[Any]:
    """The versions that the callbacks of the workspace had when the event came; of listeners, those that heard it."""
    versions, callbacks = schema.callback_versions, schema.callbacks
    newest = (
        select(versions.c.callback_id, func.max(versions.c.version).label("version"))
        .where(versions.c.workspace_id == event["workspace_id"], versions.c.created_at <= event["received_at"])
        .group_by(versions.c.callback_id)
        .subquery()
    )
    then = conn.execute(
        select(versions.c.callback_id, versions.c.version, versions.c.spec)
        .join(newest, and_(versions.c.callback_id == newest.c.callback_id, versions.c.version == newest.c.version))
        .join(callbacks, callbacks.c.id == versions.c.callback_id)
        .where(or_(callbacks.c.deleted_at.is_(None), callbacks.c.deleted_at > event["received_at"]))
    ).all()
    found = {row.callback_id: row for row in then}
    missing = [cb for cb, (version, _) in heard.items() if cb not in found or found[cb].version != version]
    if missing:
        # Changed in the same moment, by a clock that is not the other server's, or replayed with callbacks of then.
        rows = conn.execute(
            select(versions.c.callback_id, versions.c.version, versions.c.spec).where(
                versions.c.workspace_id == event["workspace_id"], versions.c.callback_id.in_(missing)
            )
        )
        found.update((row.callback_id, row) for row in rows if heard[CallbackId(row.callback_id)][0] == row.version)
    return [found[name] for name in sorted(found)]


def _not_listening(spec: Mapping[str, Any], event_name: str) -> str:
    if event_name not in spec["events"]:
        return f"it does not listen to {event_name}"
    return "it was disabled" if not spec["enabled"] else "it was changed in the same moment"


def _heard(
    callback_id: CallbackId,
    version: int,
    spec: Mapping[str, Any],
    letter: str,
    detail: Mapping[str, str],
    batches: Mapping[BatchId, RowMapping],
) -> Verdict:
    run_id = RunId(detail["run"]) if "run" in detail else None
    batch_id = BatchId(detail["batch"]) if "batch" in detail else None
    reason = _reason(letter, detail)
    if batch_id is not None:
        batch = batches.get(batch_id)
        if batch is None or batch["settled_at"] is None:
            return Verdict(callback_id, version, spec["name"], "merged", batch_id=batch_id)
        letter, run_id = batch["outcome"], None if batch["run_id"] is None else RunId(batch["run_id"])
        reason = _reason(letter, {} if batch["reason"] is None else {"reason": batch["reason"]})
    gate = letters.gate(letter)
    outcome = "run" if gate is None else "stopped"
    return Verdict(callback_id, version, spec["name"], outcome, gate, reason, run_id, batch_id)


def _reason(letter: str, detail: Mapping[str, str]) -> str | None:
    given = detail.get("reason") or detail.get("error")
    if given is not None:
        return given
    other = detail.get("event", "another event")
    return {
        letters.AUTHOR: "its author is no member, and the agent serves members only",
        letters.CONDITION: "the condition does not hold",
        letters.CONDITION_ERROR: "the condition could not be judged",
        letters.DUPLICATE: f"it repeats {other}",
        letters.OPERATION: f"{other} of the same operation has started it",
    }.get(letter)


def _batches(conn: Connection, ids: Sequence[BatchId]) -> dict[BatchId, RowMapping]:
    if not ids:
        return {}
    table = schema.batches
    rows = conn.execute(
        select(table.c.id, table.c.settled_at, table.c.outcome, table.c.reason, table.c.run_id).where(
            table.c.id.in_(ids)
        )
    ).mappings()
    return {BatchId(row["id"]): row for row in rows}
