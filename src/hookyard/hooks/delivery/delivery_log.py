"""What is stored of every delivery: its webhook, its state, and each request that was made for it.

Written by `dispatch` and `hooks.outbox.outbox`, read by the command line and the pages. Everything here may be shown:
no header value, no secret, no credential of a URL ever gets in.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import Protocol

from hookyard.hooks.values import value


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up while an agent waited for it
    DEAD = "dead"  # given up in the background: kept as a dead letter


@value
class Attempt:
    """One request.

    Attributes:
        number: From 1.
        at: Seconds since the epoch.
        duration_ms: Connect, send and read, milliseconds.
        status: HTTP status, None when no answer came.
        error: Why it failed, in the words of the warning; None when it did not.
        answer: The body answered, as text, at most 64 KiB.
    """

    number: int
    at: float
    duration_ms: float
    status: int | None = None
    error: str | None = None
    answer: str = ""


@value
class Delivery:
    """A delivery to one webhook, and its state.

    Attributes:
        id: `dlv_…`; sent as `webhook-id`, the receiver's idempotency key.
        webhook: The webhook's name.
        event: The point's name on the wire, `""` for a batch.
        format: `hookyard` or the chat service's.
        url: As it may be shown: no credentials, no key in path or query.
        request: The body as sent (after redaction), text.
        created_at: Seconds since the epoch.
        state: Where it stands.
        attempts: Every request made, oldest first.
        result: The verdict of the answer: `ok`, `warning`, `deny`, `modify`, or None while there is none.
        message: The answer's message, or the reason of the failure.
        session_id: The agent's session, `""` when unknown.
        run_id: The run that the session belongs to, `""` outside one.
        workspace_id: The workspace of that run, `""` outside one.
    """

    id: str
    webhook: str
    event: str
    format: str
    url: str
    request: str
    created_at: float
    state: DeliveryState = DeliveryState.PENDING
    attempts: tuple[Attempt, ...] = field(default=())
    result: str | None = None
    message: str = ""
    session_id: str = ""
    run_id: str = ""
    workspace_id: str = ""


class DeliveryLog(Protocol):
    """Where finished deliveries are kept. The command line keeps them with the outbox, the server in its database."""

    def record(self, delivery: Delivery) -> None:
        """Keep a delivery, or its newer state. Returns at once and never fails the caller."""
        ...


class NoLog:
    """Keeps nothing."""

    def record(self, delivery: Delivery) -> None:
        """Forget it."""
