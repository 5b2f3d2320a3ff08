"""The row of `events` that is stored for a candidate; `stored` reads it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hookyard.callbacks.candidate import Candidate

COLUMNS = (
    "id", "workspace_id", "name", "source", "source_id", "operation_id", "occurred_at", "received_at", "variables",
    "subject", "author_trust", "cause", "replay_of", "listener_set", "verdicts", "details", "duplicates",
    "traceparent",
)  # fmt: skip


def event_row(candidate: Candidate, verdicts: str, details: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of `COLUMNS`.

    Args:
        candidate: The event, judged.
        verdicts: Its letters in the end.
        details: By callback id: what the letters cannot say.
    """
    event = candidate.event
    subject = None if candidate.event_type is None else candidate.event_type.subject_of(event.variables)
    listeners = candidate.listeners
    return (
        event.id, event.workspace_id, event.name, event.source, event.source_id, event.operation_id, event.occurred_at,
        event.received_at, candidate.variables, subject, event.author_trust.value,
        json.dumps(event.cause.as_list()) if event.cause.links else None, candidate.replay_of,
        None if listeners is None else listeners.id, None if listeners is None else verdicts,
        json.dumps(details) if details else None, 0, event.traceparent,
    )  # fmt: skip
