"""One operation of the workspace: its rows and its events in one transaction, under one operationId.

Called by tasks, comments, members and the inbound webhooks. `accept` is the first step of the path of an event
(`intake.accept`), passed in by `wiring`; this module says what it needs of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from hookyard.core.errors import StaleError
from hookyard.core.ids import EventId, Ids, OperationId, WorkspaceId
from hookyard.events.catalog import Value
from hookyard.events.model import WORKSPACE_SOURCE, EventDraft
from hookyard.workspace.actor import Actor

T = TypeVar("T")

MAX_TRIES = 50
"""Times that an operation is decided again because another one was quicker; only a fault needs more."""


class AcceptedEvent(Protocol):
    """The outcome of one draft."""

    @property
    def event_id(self) -> EventId:
        """The id it was stored with."""
        ...

    @property
    def duplicate_of(self) -> EventId | None:
        """The event that it repeats; None = it was stored."""
        ...


class EventAcceptor(Protocol):
    """Stores events, and with them whatever `apply` writes, in one transaction."""

    async def accept(
        self,
        workspace_id: WorkspaceId,
        drafts: Sequence[EventDraft],
        *,
        apply: Callable[[Connection], None] | None = None,
    ) -> Sequence[AcceptedEvent]:
        """Accept all drafts or none. What `apply` raises comes back to the caller, and nothing is stored."""
        ...


@dataclass(frozen=True, slots=True)
class Operation:
    """What one act in a workspace gives its events in common.

    Attributes:
        id: The operationId of all its events.
        actor: Who does it.
    """

    id: OperationId
    actor: Actor

    @classmethod
    def by(cls, actor: Actor, ids: Ids) -> Operation:
        """Return a new operation of an actor."""
        return cls(ids.operation(), actor)

    def event(self, name: str, variables: Mapping[str, Value]) -> EventDraft:
        """Return one of the operation's events."""
        return EventDraft(
            name,
            variables,
            source=WORKSPACE_SOURCE,
            operation_id=self.id,
            author_trust=self.actor.trust,
            cause=self.actor.cause,
        )


async def retry_on_conflict(attempt: Callable[[], Awaitable[T]]) -> T:
    """Do an operation that reads, decides and then writes only if nothing has changed; again when something had.

    Raises:
        StaleError: It lost the race every time.
    """
    for _ in range(MAX_TRIES - 1):
        try:
            return await attempt()
        except StaleError:
            continue
    return await attempt()
