"""A run that has been admitted to this worker: all that its execution needs to know, so that it reads nothing more.

Made by `admission`, carried by `worker` to `executor`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row

from hookyard.agents.base import Usage
from hookyard.core.ids import CallbackId, ConversationId, EventId, RunId, WorkspaceId
from hookyard.events.model import Cause
from hookyard.runs.queue import Execution
from hookyard.store.schema import events, runs

COLUMNS = (
    runs.c.id,
    runs.c.workspace_id,
    runs.c.callback_id,
    runs.c.callback_version,
    runs.c.event_id,
    runs.c.batch_id,
    runs.c.conversation_id,
    runs.c.prompt,
    runs.c.context,
    runs.c.agent,
    runs.c.timeout_seconds,
    runs.c.concurrency_key,
    runs.c.subject,
    runs.c.cause,
    runs.c.attempt,
    runs.c.input_tokens,
    runs.c.output_tokens,
    runs.c.cost_usd,
    events.c.traceparent,
)
"""What is read of a run, and of its event, when it is admitted."""


@dataclass(frozen=True, slots=True)
class AdmittedRun:
    """An admitted run, and this attempt of it.

    Attributes:
        run_id: The run.
        workspace_id: Its workspace.
        callback_id: The callback that started it.
        callback_version: That version of it.
        event_id: The event that started it, the newest of a batch.
        batch_id: The batch, if it was one.
        conversation_id: The agent's session.
        prompt: Rendered.
        context: The variables of the event or batch.
        agent: A profile's name, or the JSON of an inline agent.
        timeout_seconds: The callback's limit, None = the setting's.
        subject: Task or conversation that it is about, None when there is none.
        cause: The chain up to and with the event that started it, this run left out.
        attempt: This attempt, from 1.
        started_at: When this attempt was admitted, seconds since the epoch.
        day: The UTC day that its tokens count for.
        token_limit: Tokens reserved for it; None = no limit.
        spent: What earlier attempts used up.
        first_entry: `seq` of the next entry of its timeline.
        traceparent: The place in a trace that its event continues, None when that began one.
        run_token: Token of scope `run`, `""` when the agent needs none.
    """

    run_id: RunId
    workspace_id: WorkspaceId
    callback_id: CallbackId
    callback_version: int
    event_id: EventId
    batch_id: str | None
    conversation_id: ConversationId
    prompt: str
    context: Mapping[str, Any]
    agent: str
    timeout_seconds: float | None
    subject: str | None
    cause: Cause
    attempt: int
    started_at: float
    day: str
    token_limit: int | None = None
    spent: Usage = field(default_factory=Usage)
    first_entry: int = 0
    traceparent: str | None = None
    run_token: str = field(default="", repr=False)

    @property
    def execution(self) -> Execution:
        """What the engine is given."""
        return Execution(self.run_id, self.attempt)

    @property
    def chain(self) -> Cause:
        """The chain of whatever this run causes."""
        return self.cause.by(self.run_id, self.callback_id, self.event_id)


def claimed(row: Row[Any], *, started_at: float, day: str, token_limit: int | None, first_entry: int) -> AdmittedRun:
    """Return the admitted run of a row of `COLUMNS` that was read before the attempt was counted."""
    return AdmittedRun(
        run_id=RunId(row.id),
        workspace_id=WorkspaceId(row.workspace_id),
        callback_id=CallbackId(row.callback_id),
        callback_version=row.callback_version,
        event_id=EventId(row.event_id),
        batch_id=row.batch_id,
        conversation_id=ConversationId(row.conversation_id),
        prompt=row.prompt,
        context=json.loads(row.context),
        agent=row.agent,
        timeout_seconds=row.timeout_seconds,
        subject=row.subject,
        cause=Cause.from_list(json.loads(row.cause or "[]")),
        attempt=row.attempt + 1,
        started_at=started_at,
        day=day,
        token_limit=token_limit,
        spent=Usage(input_tokens=row.input_tokens, output_tokens=row.output_tokens, cost_usd=row.cost_usd),
        first_entry=first_entry,
        traceparent=row.traceparent,
    )
