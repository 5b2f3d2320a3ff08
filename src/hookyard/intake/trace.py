"""Why did it run, and why did it not: the verdict of the gates on an event, for every callback of its workspace.

The one reader of verdicts, for the API and the pages, from what `gates` and `merge` stored. It answers with the
callbacks of the time of the event: what was edited, renamed or deleted since changes nothing. "Not listening" is not
stored: it is every callback that existed when the event came and is not in its listener set.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, RowMapping, func, or_, select

from hookyard.core.ids import BatchId, CallbackId, RunId
from hookyard.core.verdicts import Gate, GateVerdict, Outcome, quota_hold, unpack
from hookyard.store import schema


@dataclass(frozen=True, slots=True)
class RunState:
    """Where a run stands.

    Attributes:
        status: Its status.
        started_at: Seconds since the epoch, None before.
        finished_at: Seconds since the epoch, None before.
        reason: Why it waits, failed or was skipped.
    """

    status: str
    started_at: float | None
    finished_at: float | None
    reason: str | None

    @property
    def seconds(self) -> float | None:
        """How long it took; None for one that has not ended or never started."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, self.finished_at - self.started_at)


@dataclass(frozen=True, slots=True)
class CallbackVerdict:
    """The outcome of an event for one callback.

    Attributes:
        callback_id: The callback.
        version: Its version when the event came.
        name: Its name in that version.
        events: What that version listened to.
        verdict: What the gates said, as it is now: for a settled batch the outcome of the batch.
        detail: What the verdict cannot say: `reason`, `error`, or the `event` that had come before.
        run_id: The run that it started, alone or with its batch.
        run: Where that run stands; None without one, when it was pruned, or when the reader was not asked for it.
        batch_id: The batch that it joined.
        batch_size: Events of that batch, 0 without one.
    """

    callback_id: CallbackId
    version: int
    name: str
    events: Sequence[str]
    verdict: GateVerdict
    detail: Mapping[str, str] = field(default_factory=dict)
    run_id: RunId | None = None
    run: RunState | None = None
    batch_id: BatchId | None = None
    batch_size: int = 0

    @property
    def outcome(self) -> Outcome:
        """The outcome."""
        return self.verdict.outcome

    @property
    def gate(self) -> Gate | None:
        """The gate that stopped it, or `quota` while that holds up the run; else None."""
        return self.verdict.gate

    @property
    def listened(self) -> bool:
        """Whether the callback listened to the event."""
        return self.gate is not Gate.LISTENING

    @property
    def reason(self) -> str | None:
        """Why, one sentence; None when no gate stopped it."""
        return self.detail.get("reason") or self.detail.get("error") or self._usual_reason()

    def _usual_reason(self) -> str | None:
        other = self.detail.get("event", "another event")
        match self.verdict:
            case GateVerdict.AUTHOR:
                return "its author is no member, and the agent serves members only"
            case GateVerdict.CONDITION:
                return "the condition does not hold"
            case GateVerdict.CONDITION_ERROR:
                return "the condition could not be judged"
            case GateVerdict.DUPLICATE:
                return f"it repeats {other}"
            case GateVerdict.OPERATION:
                return f"{other} of the same operation has started it"
            case _:
                return None

    def as_dict(self) -> dict[str, Any]:
        """Return it as the API shows it."""
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


def read_trace(conn: Connection, event: RowMapping, *, runs: bool = False) -> list[CallbackVerdict]:
    """Return the verdicts on an event, oldest callback first.

    Args:
        conn: In a read.
        event: A row of `events`.
        runs: Also read where the runs stand.
    """
    return read_traces(conn, [event], runs=runs)[0]


def read_traces(conn: Connection, events: Sequence[RowMapping], *, runs: bool = False) -> list[list[CallbackVerdict]]:
    """Return the verdicts on each of some events, oldest callback first; takes five statements at most.

    Args:
        conn: In a read.
        events: Rows of `events`, all of one workspace; about a page of them, as each is a parameter.
        runs: Also read where the runs stand: one event may have started a hundred.
    """
    if not events:
        return []
    heard = _listening_sets(conn, events)
    details: list[_Details] = [json.loads(event["details"] or "{}") for event in events]
    came = _follow_ups(conn, events, details, every_run=runs)
    verdicts: list[list[CallbackVerdict]] = []
    for event, listeners, detail_of, then in zip(events, heard, details, _versions(conn, events, heard), strict=True):
        verdicts.append([])
        for callback_id in sorted(then):
            version = then[callback_id]
            if callback_id in listeners:
                verdict = listeners[callback_id][1]
                read = _verdict(callback_id, version, verdict, detail_of.get(callback_id, {}), came)
            else:
                read = _not_listening(callback_id, version, event["name"])
            verdicts[-1].append(read)
    return verdicts


_Listening = Mapping[CallbackId, tuple[int, GateVerdict]]
"""Version of each callback that listened to an event, and the stored verdict."""

_Details = Mapping[CallbackId, Mapping[str, str]]
"""By callback: what an event's verdicts cannot say."""


@dataclass(frozen=True, slots=True)
class _CallbackVersion:
    """A version of a callback; its times in seconds since the epoch."""

    number: int
    created_at: float
    deleted_at: float | None
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _FollowUp:
    """What has come of events since: their batches and their runs, as far as they were asked for."""

    batches: dict[BatchId, RowMapping] = field(default_factory=dict)
    runs: dict[RunId, RunState] = field(default_factory=dict)

    def note(self, row: RowMapping) -> None:
        """Note the run of a row."""
        if row["run_id"] is not None and row["run_status"] is not None:
            self.runs[RunId(row["run_id"])] = RunState(
                row["run_status"], row["started_at"], row["finished_at"], row["run_reason"]
            )


def _listening_sets(conn: Connection, events: Sequence[RowMapping]) -> list[_Listening]:
    """Return which callbacks listened to each event."""
    table = schema.listener_sets.c
    wanted = {event["listener_set"] for event in events if event["listener_set"] is not None}
    sets: dict[str, list[tuple[str, int]]] = {}
    if wanted:
        rows = conn.execute(select(table.id, table.listeners).where(table.id.in_(sorted(wanted))))
        sets = {row.id: json.loads(row.listeners) for row in rows}
    return [
        {
            CallbackId(name): (version, verdict)
            for (name, version), verdict in zip(
                sets.get(event["listener_set"], ()), unpack(event["verdicts"]), strict=False
            )
        }
        for event in events
    ]


def _follow_ups(
    conn: Connection, events: Sequence[RowMapping], details: Sequence[_Details], *, every_run: bool
) -> _FollowUp:
    """Read the batches and the runs of the events. Found by the events' ids: those are no more than a page, while each
    of them may have started a hundred runs."""
    came = _FollowUp()
    runs, batches, members = schema.runs.c, schema.batches.c, schema.batch_events.c
    state = (runs.status.label("run_status"), runs.reason.label("run_reason"), runs.started_at, runs.finished_at)
    alone = [event["id"] for event, detail in zip(events, details, strict=True) if _any_has(detail, "run")]
    if alone:
        query = select(runs.id.label("run_id"), *state).where(runs.event_id.in_(alone))
        if not every_run:  # a quota that holds up a run says so in its reason, and most runs have none
            query = query.where(runs.reason.is_not(None))
        for row in conn.execute(query).mappings():
            came.note(row)
    merged = [event["id"] for event, detail in zip(events, details, strict=True) if _any_has(detail, "batch")]
    if merged:
        query = (
            select(
                batches.id, batches.settled_at, batches.outcome, batches.reason, batches.size, batches.run_id, *state
            )
            .join(schema.batch_events, members.batch_id == batches.id)
            .join(schema.runs, runs.id == batches.run_id, isouter=True)
            .where(members.event_id.in_(merged))
        )
        for batch in conn.execute(query).mappings():
            came.batches[BatchId(batch["id"])] = batch
            came.note(batch)
    return came


def _any_has(details: _Details, key: str) -> bool:
    return any(key in detail for detail in details.values())


def _versions(
    conn: Connection, events: Sequence[RowMapping], heard: Sequence[_Listening]
) -> list[dict[CallbackId, _CallbackVersion]]:
    """Return for each event the versions of the workspace's callbacks at its arrival; of listeners, those that
    listened."""
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
) -> dict[CallbackId, list[_CallbackVersion]]:
    """Return every version that was a callback's newest at some moment between two, newest first."""
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
    found: dict[CallbackId, list[_CallbackVersion]] = {}
    for row in conn.execute(query):
        found.setdefault(CallbackId(row.callback_id), []).append(
            _CallbackVersion(row.version, row.created_at, row.deleted_at, json.loads(row.spec))
        )
    return found


def _newest(versions: Sequence[_CallbackVersion], at: float) -> _CallbackVersion | None:
    """Return the version of a callback at a moment; None when it had none yet, or was deleted."""
    for one in versions:
        if one.created_at <= at:
            return one if one.deleted_at is None or one.deleted_at > at else None
    return None


def _versions_of(
    conn: Connection, workspace_id: str, wanted: Collection[tuple[CallbackId, int]]
) -> dict[tuple[CallbackId, int], _CallbackVersion]:
    """Return versions by callback and number, as far as they exist."""
    versions = schema.callback_versions.c
    query = select(versions.callback_id, versions.version, versions.created_at, versions.spec).where(
        versions.workspace_id == workspace_id,
        versions.callback_id.in_(sorted({callback_id for callback_id, _ in wanted})),
        versions.version.in_(sorted({number for _, number in wanted})),
    )
    return {
        (CallbackId(row.callback_id), row.version): _CallbackVersion(
            row.version, row.created_at, None, json.loads(row.spec)
        )
        for row in conn.execute(query)
        if (row.callback_id, row.version) in wanted
    }


def _not_listening(callback_id: CallbackId, version: _CallbackVersion, event_name: str) -> CallbackVerdict:
    spec = version.spec
    if event_name not in spec["events"]:
        verdict, reason = GateVerdict.NOT_LISTENING, f"it does not listen to {event_name}"
    elif not spec["enabled"]:
        verdict, reason = GateVerdict.DISABLED, "it was disabled"
    else:
        verdict, reason = GateVerdict.CHANGED, "it was changed in the same moment"
    return CallbackVerdict(callback_id, version.number, spec["name"], spec["events"], verdict, {"reason": reason})


def _verdict(
    callback_id: CallbackId, version: _CallbackVersion, verdict: GateVerdict, detail: Mapping[str, str], came: _FollowUp
) -> CallbackVerdict:
    """Return the verdict for a callback that listened to the event."""
    run_id = RunId(detail["run"]) if "run" in detail else None
    batch_id = BatchId(detail["batch"]) if "batch" in detail else None
    batch = None if batch_id is None else came.batches.get(batch_id)
    if batch is not None and batch["settled_at"] is not None:
        (verdict,) = unpack(batch["outcome"])
        run_id = None if batch["run_id"] is None else RunId(batch["run_id"])
        detail = {} if batch["reason"] is None else {"reason": batch["reason"]}
    run = None if run_id is None else came.runs.get(run_id)
    if run is not None and (waits := quota_hold(run.status, run.reason)) is not None:
        verdict, detail = GateVerdict.QUOTA, {"reason": waits}
    return CallbackVerdict(
        callback_id, version.number, version.spec["name"], version.spec["events"], verdict, detail, run_id, run,
        batch_id, 0 if batch is None else batch["size"],
    )  # fmt: skip
