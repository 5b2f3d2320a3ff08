"""Why did it run, and why did it not: the verdict of the gates on an event, for every callback of its workspace.

Read by the API and the pages from what `gates` and `merge` stored as letters. "Not listening" is not stored: it is
every callback that existed when the event came and is not in its listener set.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, func, or_, select

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
    return read_traces(conn, [event])[0]


def read_traces(conn: Connection, events: Sequence[RowMapping]) -> list[list[Verdict]]:
    """The verdicts on each of some events, oldest callback first, in five statements at most, however many events.

    Args:
        conn: In a read.
        events: Rows of `events`, all of one workspace; about a page of them, as each is a parameter.
    """
    if not events:
        return []
    heard = _heard(conn, events)
    details: list[_Details] = [json.loads(event["details"] or "{}") for event in events]
    came = _what_came(conn, events, details)
    verdicts: list[list[Verdict]] = []
    for event, letter_of, detail_of, then in zip(events, heard, details, _versions(conn, events, heard), strict=True):
        verdicts.append([])
        for callback_id in sorted(then):
            version = then[callback_id]
            if callback_id in letter_of:
                letter = letter_of[callback_id][1]
                verdict = _verdict(callback_id, version, letter, detail_of.get(callback_id, {}), came)
            else:
                reason = _not_listening(version.spec, event["name"])
                verdict = Verdict(
                    callback_id, version.number, version.spec["name"], "stopped", letters.GATES[0], reason
                )
            verdicts[-1].append(verdict)
    return verdicts


_Heard = Mapping[CallbackId, tuple[int, str]]
"""Version and letter of each callback that heard an event."""

_Details = Mapping[CallbackId, Mapping[str, str]]
"""What an event's letters cannot say."""


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of a callback; its times in seconds since the epoch."""

    number: int
    created_at: float
    deleted_at: float | None
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Came:
    """What has come of events since: their batches, and for runs that a quota holds up, why."""

    batches: dict[BatchId, RowMapping] = field(default_factory=dict)
    held_up: dict[RunId, str] = field(default_factory=dict)

    def note(self, run_id: str | None, status: str | None, reason: str | None) -> None:
        """Look at a run."""
        if run_id is not None and (why := letters.held_up(status, reason)) is not None:
            self.held_up[RunId(run_id)] = why


def _heard(conn: Connection, events: Sequence[RowMapping]) -> list[_Heard]:
    """Who heard each event."""
    table = schema.listener_sets.c
    wanted = {event["listener_set"] for event in events if event["listener_set"] is not None}
    sets: dict[str, list[tuple[str, int]]] = {}
    if wanted:
        rows = conn.execute(select(table.id, table.listeners).where(table.id.in_(sorted(wanted))))
        sets = {row.id: json.loads(row.listeners) for row in rows}
    return [
        {
            CallbackId(name): (version, letter)
            for (name, version), letter in zip(
                sets.get(event["listener_set"], ()), event["verdicts"] or "", strict=False
            )
        }
        for event in events
    ]


def _what_came(conn: Connection, events: Sequence[RowMapping], details: Sequence[_Details]) -> _Came:
    """The batches and the runs of the events. Found by the events' ids: those are no more than a page, while each of
    them may have started a hundred runs."""
    came = _Came()
    runs, batches, members = schema.runs.c, schema.batches.c, schema.batch_events.c
    alone = [event["id"] for event, detail in zip(events, details, strict=True) if _any_has(detail, "run")]
    if alone:
        # Most runs have no reason for anything, and need not be looked at.
        query = select(runs.id, runs.status, runs.reason).where(runs.event_id.in_(alone), runs.reason.is_not(None))
        for row in conn.execute(query):
            came.note(row.id, row.status, row.reason)
    merged = [event["id"] for event, detail in zip(events, details, strict=True) if _any_has(detail, "batch")]
    if merged:
        query = (
            select(
                batches.id, batches.settled_at, batches.outcome, batches.reason, batches.run_id,
                runs.status.label("run_status"), runs.reason.label("run_reason"),
            )
            .join(schema.batch_events, members.batch_id == batches.id)
            .join(schema.runs, runs.id == batches.run_id, isouter=True)
            .where(members.event_id.in_(merged))
        )  # fmt: skip
        for batch in conn.execute(query).mappings():
            came.batches[BatchId(batch["id"])] = batch
            came.note(batch["run_id"], batch["run_status"], batch["run_reason"])
    return came


def _any_has(details: _Details, key: str) -> bool:
    return any(key in detail for detail in details.values())


def _versions(
    conn: Connection, events: Sequence[RowMapping], heard: Sequence[_Heard]
) -> list[dict[CallbackId, _Version]]:
    """For each event the versions that the callbacks of the workspace had when it came; of listeners, those that heard
    it."""
    times = [event["received_at"] for event in events]
    workspace_id = events[0]["workspace_id"]
    lived = _versions_between(conn, workspace_id, min(times), max(times))
    found = [
        {callback_id: version for callback_id, all_of in lived.items() if (version := _newest(all_of, at)) is not None}
        for at in times
    ]
    # Changed in the same moment, by a clock that is not the other server's, or replayed with callbacks of then.
    missing = {
        (callback_id, number)
        for then, listeners in zip(found, heard, strict=True)
        for callback_id, (number, _) in listeners.items()
        if callback_id not in then or then[callback_id].number != number
    }
    if missing:
        others = _versions_of(conn, workspace_id, missing)
        for then, listeners in zip(found, heard, strict=True):
            then.update(
                (callback_id, others[callback_id, number])
                for callback_id, (number, _) in listeners.items()
                if (callback_id, number) in others
            )
    return found


def _versions_between(
    conn: Connection, workspace_id: str, first: float, last: float
) -> dict[CallbackId, list[_Version]]:
    """Every version that was a callback's newest at some moment between two, newest first."""
    versions, callbacks = schema.callback_versions.c, schema.callbacks.c
    at_first = (
        select(versions.callback_id, func.max(versions.version).label("version"))
        .where(versions.workspace_id == workspace_id, versions.created_at <= first)
        .group_by(versions.callback_id)
        .subquery()
    )
    query = (
        select(versions.callback_id, versions.version, versions.created_at, versions.spec, callbacks.deleted_at)
        .join(schema.callbacks, callbacks.id == versions.callback_id)
        .join(at_first, at_first.c.callback_id == versions.callback_id, isouter=True)
        .where(
            versions.workspace_id == workspace_id,
            versions.created_at <= last,
            or_(at_first.c.version.is_(None), versions.version >= at_first.c.version),
            or_(callbacks.deleted_at.is_(None), callbacks.deleted_at > first),
        )
        .order_by(versions.callback_id, versions.version.desc())
    )
    found: dict[CallbackId, list[_Version]] = {}
    for row in conn.execute(query):
        found.setdefault(CallbackId(row.callback_id), []).append(
            _Version(row.version, row.created_at, row.deleted_at, json.loads(row.spec))
        )
    return found


def _newest(versions: Sequence[_Version], at: float) -> _Version | None:
    """The one that a callback had at a moment; None when it had none yet, or was deleted."""
    for one in versions:
        if one.created_at <= at:
            return one if one.deleted_at is None or one.deleted_at > at else None
    return None


def _versions_of(
    conn: Connection, workspace_id: str, wanted: Collection[tuple[CallbackId, int]]
) -> dict[tuple[CallbackId, int], _Version]:
    """Versions by callback and number, as far as they are there."""
    versions = schema.callback_versions.c
    query = select(versions.callback_id, versions.version, versions.created_at, versions.spec).where(
        versions.workspace_id == workspace_id,
        versions.callback_id.in_(sorted({callback_id for callback_id, _ in wanted})),
        versions.version.in_(sorted({number for _, number in wanted})),
    )
    return {
        (CallbackId(row.callback_id), row.version): _Version(row.version, row.created_at, None, json.loads(row.spec))
        for row in conn.execute(query)
        if (row.callback_id, row.version) in wanted
    }


def _not_listening(spec: Mapping[str, Any], event_name: str) -> str:
    if event_name not in spec["events"]:
        return f"it does not listen to {event_name}"
    return "it was disabled" if not spec["enabled"] else "it was changed in the same moment"


def _verdict(
    callback_id: CallbackId, version: _Version, letter: str, detail: Mapping[str, str], came: _Came
) -> Verdict:
    """The verdict for a callback that heard the event."""
    name = version.spec["name"]
    run_id = RunId(detail["run"]) if "run" in detail else None
    batch_id = BatchId(detail["batch"]) if "batch" in detail else None
    reason = _reason(letter, detail)
    if batch_id is not None:
        batch = came.batches.get(batch_id)
        if batch is None or batch["settled_at"] is None:
            return Verdict(callback_id, version.number, name, "merged", batch_id=batch_id)
        letter, run_id = batch["outcome"], None if batch["run_id"] is None else RunId(batch["run_id"])
        reason = _reason(letter, {} if batch["reason"] is None else {"reason": batch["reason"]})
    gate = letters.gate(letter)
    outcome = "run" if gate is None else "stopped"
    if run_id is not None and run_id in came.held_up:
        gate, reason = letters.gate(letters.QUOTA), came.held_up[run_id]
    return Verdict(callback_id, version.number, name, outcome, gate, reason, run_id, batch_id)


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
