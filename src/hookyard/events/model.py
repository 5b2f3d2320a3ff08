"""An event, before and after it is accepted, and what caused it.

A `EventDraft` is what an endpoint or the workspace hands to `intake.accept`; accepting gives it an id and a time of
receipt and makes it an `Event`. Neither trust nor cause is ever read from a request: endpoints and the workspace set
them. Both are named tuples, which are made in a third of the time that a frozen dataclass takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from hookyard.core.clock import iso
from hookyard.core.ids import CallbackId, EventId, RunId, WorkspaceId
from hookyard.events.catalog import Value

RESERVED_SOURCES = "hookyard:"
"""Prefix of the sources that no request may name, or a client could take the operations of others."""

WORKSPACE_SOURCE = f"{RESERVED_SOURCES}workspace"
"""Source of what happens in the workspace itself."""

API_SOURCE = "api"
"""Source of an event that arrives without one."""


def integration_source(kind: str) -> str:
    """Return the source of the events of a service's inbound webhook, such as `hookyard:github`."""
    return RESERVED_SOURCES + kind


class AuthorTrust(StrEnum):
    """Who wrote what an event carries."""

    MEMBER = "member"
    OUTSIDER = "outsider"
    UNKNOWN = "unknown"

    @classmethod
    def least(cls, trusts: Iterable[AuthorTrust]) -> AuthorTrust:
        """Return the trust of a whole whose parts have these: its least trusted part's."""
        worst_first = (cls.OUTSIDER, cls.UNKNOWN, cls.MEMBER)
        return min(trusts, key=worst_first.index, default=cls.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Link:
    """One step of a chain of causes: an event started a run of a callback, which did what came next."""

    run_id: RunId
    callback_id: CallbackId
    event_id: EventId


@dataclass(frozen=True, slots=True)
class Cause:
    """The chain of runs that led to an event, oldest first; empty when no run did.

    Attributes:
        links: The chain.
    """

    links: tuple[Link, ...] = ()

    def __len__(self) -> int:
        return len(self.links)

    @property
    def callbacks(self) -> frozenset[CallbackId]:
        """Every callback that took part."""
        return frozenset(link.callback_id for link in self.links)

    def by(self, run_id: RunId, callback_id: CallbackId, event_id: EventId) -> Cause:
        """Return this cause extended by one run."""
        return Cause((*self.links, Link(run_id, callback_id, event_id)))

    def as_list(self) -> list[dict[str, str]]:
        """Return the chain as stored and shown: `[{runId, callbackId, eventId}]`."""
        return [{"runId": link.run_id, "callbackId": link.callback_id, "eventId": link.event_id} for link in self.links]

    @classmethod
    def from_list(cls, links: Sequence[Mapping[str, str]]) -> Cause:
        """Read what `as_list` gave."""
        return cls(
            tuple(
                Link(RunId(link["runId"]), CallbackId(link["callbackId"]), EventId(link["eventId"])) for link in links
            )
        )


NO_CAUSE = Cause()


class EventDraft(NamedTuple):
    """An event that is not accepted yet; its variables have been checked against the catalog.

    Attributes:
        name: The event type's name.
        variables: Its own variables by name, common ones left out.
        source: Where it comes from; ids and operationIds are unique within it.
        source_id: Its id in the source, or None: then dedupe goes by content.
        operation_id: The operation that it is part of, or None.
        occurred_at: Seconds since the epoch, None = when it is received.
        author_trust: Who wrote what it carries.
        cause: The runs that led to it.
        traceparent: The sender's place in a trace, see `telemetry.traces`; None = it begins one.
    """

    name: str
    variables: Mapping[str, Value]
    source: str = API_SOURCE
    source_id: str | None = None
    operation_id: str | None = None
    occurred_at: float | None = None
    author_trust: AuthorTrust = AuthorTrust.UNKNOWN
    cause: Cause = NO_CAUSE
    traceparent: str | None = None

    def accepted(self, event_id: EventId, workspace_id: WorkspaceId, received_at: float) -> Event:
        """Return the event that this draft becomes."""
        return Event(
            event_id, workspace_id, self.name, self.source, self.source_id, self.operation_id,
            received_at if self.occurred_at is None else self.occurred_at, received_at, self.variables,
            self.author_trust, self.cause, self.traceparent,
        )  # fmt: skip


class Event(NamedTuple):
    """Something that happened in a workspace.

    Attributes:
        id: `evt_…`.
        workspace_id: The only workspace whose callbacks may see it.
        name: The event type's name.
        source: Where it comes from.
        source_id: Its id there, or None.
        operation_id: The operation that it is part of, or None.
        occurred_at: When it happened, seconds since the epoch.
        received_at: When it was accepted, seconds since the epoch.
        variables: Its own variables by name, common ones left out; with the batch variables when it stands for a batch.
        author_trust: Who wrote what it carries.
        cause: The runs that led to it.
        traceparent: The sender's place in a trace, see `telemetry.traces`; None = it begins one.
    """

    id: EventId
    workspace_id: WorkspaceId
    name: str
    source: str
    source_id: str | None
    operation_id: str | None
    occurred_at: float
    received_at: float
    variables: Mapping[str, Value]
    author_trust: AuthorTrust = AuthorTrust.UNKNOWN
    cause: Cause = NO_CAUSE
    traceparent: str | None = None

    @property
    def timestamp(self) -> str:
        """When it happened, as templates and conditions see it: `2026-01-15T09:00:00Z`, with milliseconds if any."""
        return iso(self.occurred_at).replace(".000Z", "Z")

    @property
    def ctx(self) -> dict[str, Value]:
        """Everything that templates and conditions may read."""
        return {
            "eventName": self.name,
            "timestamp": self.timestamp,
            "workspaceId": self.workspace_id,
            **self.variables,
        }
