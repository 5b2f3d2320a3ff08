"""A match becomes a run: what it is made of, and its row, waiting to be admitted by `runs`.

`prepare` is called by `accept` and `merge` outside the transaction (it renders the prompt), `queue_runs` inside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from hookyard.core.ids import BatchId, ConversationId, Ids, RunId
from hookyard.core.run_status import RunStatus
from hookyard.core.validation import sanitize_text
from hookyard.events.catalog import EventType
from hookyard.events.model import Event
from hookyard.intake.match import CallbackListener
from hookyard.store import schema
from hookyard.store.database import announce
from hookyard.store.fast_sql import insert_rows

TOPIC = "runs"
"""Announced when a run was queued; admission listens."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run that may be queued.

    Attributes:
        run_id: Its id.
        conversation_id: Of the agent's session.
        listener: The version of the callback that starts it.
        event: The event, or the merged one.
        prompt: Rendered.
        context: JSON of the variables that the prompt was made from.
        subject: The task or conversation that it is about, or None.
        concurrency_key: Runs with the same one wait for each other; None = no limit.
    """

    run_id: RunId
    conversation_id: ConversationId
    listener: CallbackListener
    event: Event
    prompt: str
    context: str
    subject: str | None
    concurrency_key: str | None


def prepare(listener: CallbackListener, event: Event, event_type: EventType | None, ids: Ids) -> RunRequest:
    """Make a run of a match.

    Args:
        listener: The callback.
        event: The event, or the merged one.
        event_type: Its type; None when it is declared no more.
        ids: Makes the run's ids.
    """
    spec = listener.spec
    ctx = event.ctx
    prompt = listener.template.render(
        ctx,
        fence=spec.fence,
        author_trust=event.author_trust,
        by_people=frozenset(ctx) if event_type is None else event_type.by_people,
    )
    value = None if spec.concurrency_key is None else ctx.get(spec.concurrency_key)
    return RunRequest(
        run_id=ids.run(),
        conversation_id=ids.conversation(),
        listener=listener,
        event=event,
        prompt=sanitize_text(prompt),
        context=json.dumps(ctx),
        subject=None if event_type is None else event_type.subject_of(event.variables),
        concurrency_key=None if value is None else sanitize_text(f"{listener.callback_id}:{value}")[:500],
    )


_COLUMNS = (
    "id", "workspace_id", "callback_id", "callback_version", "event_id", "batch_id", "conversation_id", "status",
    "reason", "prompt", "context", "agent", "timeout_seconds", "concurrency_key", "subject", "cause", "queued_at",
    "finished_at", "attempt", "input_tokens", "output_tokens", "tool_calls", "denied", "modified", "reserved_tokens",
)  # fmt: skip


def queue_runs(
    conn: Connection,
    starts: Sequence[RunRequest],
    now: float,
    *,
    batch_id: BatchId | None = None,
    skipped: str | None = None,
) -> None:
    """Insert runs and wake admission.

    Args:
        conn: In the transaction of the event or the batch.
        starts: The runs.
        now: When.
        batch_id: The batch that they stand for.
        skipped: They are not to be started, for this reason.
    """
    if not starts:
        return
    status = RunStatus.SKIPPED if skipped else RunStatus.QUEUED
    rows = []
    for one in starts:
        cause = json.dumps(one.event.cause.as_list()) if one.event.cause.links else None
        rows.append(
            (
                one.run_id, one.event.workspace_id, one.listener.callback_id, one.listener.version, one.event.id,
                batch_id, one.conversation_id, status.value, skipped, one.prompt, one.context,
                one.listener.agent, one.listener.spec.timeout_seconds, one.concurrency_key, one.subject, cause, now,
                now if skipped else None, 0, 0, 0, 0, 0, 0, 0,
            )
        )  # fmt: skip
    insert_rows(conn, schema.runs, _COLUMNS, rows)
    announce(conn, TOPIC, *{f"runs:{one.event.workspace_id}" for one in starts})
