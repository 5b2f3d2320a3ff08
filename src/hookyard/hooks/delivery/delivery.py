"""One delivery to one webhook: attempts under one deadline.

Called by `dispatch` while an agent waits, and by the outbox's courier one attempt at a time. It prints each failed
attempt in the contract's form and knows nothing of what an answer means.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, NamedTuple

from hookyard.core.clock import Clock, SystemClock
from hookyard.hooks.delivery import retry, signing
from hookyard.hooks.delivery.breaker import Breaker
from hookyard.hooks.delivery.delivery_log import Attempt
from hookyard.hooks.delivery.egress import Egress, Reply, SendError, TimedOutError
from hookyard.hooks.formats.base import DeliveryVerdict, ReplyJudgement, Target, one_line
from hookyard.hooks.warning import Warn, to_stderr
from hookyard.hooks.webhook import Webhook

USER_AGENT = f"hookyard/{version('hookyard')}"
_FIXED_HEADERS = {
    "User-Agent": USER_AGENT,
    "Accept": "application/json, */*",
    "Accept-Encoding": "identity",  # nothing that has to be unpacked
}
_NOT_BROKEN = (408, 425, 429)
"""Statuses of an endpoint that works and only asks for patience."""

LONGEST_KEPT_ANSWER = 64 * 1024

_FIRST_LINE_BYTES = 4096
"""Where the first line of a plain-text answer is looked for."""


Traceparent = Callable[[str, str], Awaitable[str | None]]
"""Gives the W3C `traceparent` of a delivery, by its run's id and its own; None when nothing follows it."""


class DeliveryOutcome(NamedTuple):
    """How a delivery ended.

    Attributes:
        reply: The answer that was accepted, None when there was none.
        request: The body as it was sent.
        attempts: Every request made.
        failure: Why it failed in the end, `""` when it did not.
        duration_ms: From the first request to the end, waits included.
    """

    reply: Reply | None
    request: bytes
    attempts: tuple[Attempt, ...]
    failure: str = ""
    duration_ms: float = 0.0


class AttemptOutcome(NamedTuple):
    """How one attempt ended.

    Attributes:
        attempt: For the record.
        judgement: What it means for the delivery.
        reply: The answer, None when none came.
    """

    attempt: Attempt
    judgement: ReplyJudgement
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class Deliverer:
    """Makes deliveries.

    Attributes:
        egress: The HTTP client.
        clock: Dates and measures.
        warn: Takes each line for the user.
        jitter: A random number from 0 to 1 for each wait.
        sleep: Waits between attempts.
        language: Of the texts of chat formats, `en` or `zh`.
        traceparent: Names the trace that a delivery of a run belongs to; None = not traced.
    """

    egress: Egress
    clock: Clock = field(default_factory=SystemClock)
    warn: Callable[[str], None] = to_stderr
    jitter: Callable[[], float] = random.random
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    language: str = "en"
    traceparent: Traceparent | None = None

    def __post_init__(self) -> None:
        """Wrap the warning function: a warning that cannot be written must not change a webhook's decision."""
        object.__setattr__(self, "warn", Warn.of(self.warn))

    async def deliver(
        self, webhook: Webhook, delivery_id: str, body: Mapping[str, Any], run_id: str = ""
    ) -> DeliveryOutcome:
        """Deliver a body: at most `retries + 1` attempts, all of them before the deadline.

        Args:
            webhook: To whom.
            delivery_id: The receiver's idempotency key, the same on every attempt.
            body: A body of the contract; the webhook's format makes the request of it.
            run_id: The run that it reports, `""` outside one.
        """
        start = self.clock.monotonic()
        remaining = webhook.deadline_secs or math.inf
        attempts: list[Attempt] = []
        while True:
            sent, tried = await self.attempt(webhook, delivery_id, body, len(attempts) + 1, remaining, run_id)
            attempts.append(tried.attempt)
            if tried.judgement.outcome is DeliveryVerdict.OK:
                return DeliveryOutcome(tried.reply, sent, tuple(attempts), "", self._since(start))
            wait = None
            if tried.judgement.outcome is not DeliveryVerdict.REFUSED:
                # Without a deadline of its own the waits are limited by what all attempts may take together; each
                # attempt still has its whole time.
                limit = webhook.deadline_secs or retry.whole_deadline(webhook.timeout_secs, webhook.retries)
                left = limit - (self.clock.monotonic() - start)
                wait = retry.next_wait(len(attempts), webhook.retries, left, self.jitter(), tried.judgement.retry_after)
            if wait is None:
                return DeliveryOutcome(None, sent, tuple(attempts), tried.attempt.error or "failed", self._since(start))
            await self.sleep(wait)
            if webhook.deadline_secs:
                remaining = webhook.deadline_secs - (self.clock.monotonic() - start)

    async def attempt(
        self,
        webhook: Webhook,
        delivery_id: str,
        body: Mapping[str, Any],
        number: int,
        remaining: float,
        run_id: str = "",
    ) -> tuple[bytes, AttemptOutcome]:
        """Make one attempt and print its failure.

        Args:
            webhook: To whom.
            delivery_id: The receiver's idempotency key.
            body: A body of the contract.
            number: Of this attempt, from 1.
            remaining: Seconds until the delivery's deadline.
            run_id: The run that it reports, `""` outside one.

        Returns:
            The body as sent, and how it ended.
        """
        at, start = self.clock.now(), self.clock.monotonic()
        target = Target(webhook.url, webhook.secrets, self.language, at, delivery_id)
        request = webhook.wire_format.build(body, target)
        of_format = request.headers
        if self.traceparent is not None and run_id:
            parent = await self.traceparent(run_id, delivery_id)
            of_format = of_format if parent is None else {**of_format, "traceparent": parent}
        headers = request_headers(webhook, of_format, delivery_id, at, request.body)
        seconds = max(min(webhook.timeout_secs, remaining), 0.001)
        try:
            reply = await self.egress.send(webhook.method, request.url, headers, request.body, seconds)
        except TimedOutError:
            return request.body, self._failed(webhook, number, at, start, f"timeout after {round(seconds, 3):g} s")
        except SendError as error:
            return request.body, self._failed(webhook, number, at, start, error.what, retryable=error.retryable)
        judgement = webhook.wire_format.judge(reply.status, reply.headers, reply.body, at)
        complaint = None
        if judgement.outcome is not DeliveryVerdict.OK:
            complaint, line = (webhook.scrub(text) for text in _complaint(reply, judgement, number))
            self.warn(f"[Hook Warning] {webhook.name}: {line}")
        answer = webhook.scrub(reply.body[:LONGEST_KEPT_ANSWER].decode("utf-8", "replace"))
        attempt = Attempt(number, at, self._since(start), reply.status, complaint, answer)
        return request.body, AttemptOutcome(attempt, judgement, reply)

    def _failed(
        self, webhook: Webhook, number: int, at: float, start: float, text: str, *, retryable: bool = True
    ) -> AttemptOutcome:
        text = webhook.scrub(one_line(text))
        self.warn(f"[Hook Warning] {webhook.name}: {text} at attempt {number}")
        judgement = ReplyJudgement(DeliveryVerdict.RETRY if retryable else DeliveryVerdict.REFUSED, text)
        return AttemptOutcome(Attempt(number, at, self._since(start), None, text), judgement)

    def _since(self, start: float) -> float:
        return (self.clock.monotonic() - start) * 1000


def report_failure(breaker: Breaker, webhook: Webhook, last: Attempt, warn: Callable[[str], None]) -> None:
    """Tell the breaker of a delivery that failed with all its attempts, and the user if that switched it off."""
    if last.status in _NOT_BROKEN:
        return
    off = breaker.failure(webhook.breaker_key, webhook.shown_url, last.error or "failed", last.status)
    if off is not None and not webhook.fails_closed:
        warn(f"[Hook Warning] {webhook.name}: {off}")


def request_headers(
    webhook: Webhook, of_format: Mapping[str, str], delivery_id: str, now: float, body: bytes
) -> dict[str, str]:
    """Return all headers of a request: a configured one replaces ours, except those of Standard Webhooks."""
    headers = {**_FIXED_HEADERS, **of_format}
    if webhook.headers:
        configured = {name.lower() for name, _ in webhook.headers}
        headers = {name: value for name, value in headers.items() if name.lower() not in configured}
        headers.update((name, value) for name, value in webhook.headers if not name.lower().startswith("webhook-"))
    if webhook.secrets and not webhook.wire_format.chat:  # a chat service has a sign of its own
        headers.update(signing.headers(webhook.secrets, delivery_id, int(now), body))
    else:
        headers[signing.ID], headers[signing.TIMESTAMP] = delivery_id, str(int(now))
    return headers


def _complaint(reply: Reply, judgement: ReplyJudgement, number: int) -> tuple[str, str]:
    """Return why a reply is a failure: for the record, and in the seed's printed form."""
    if 200 <= reply.status < 300:
        return judgement.reason, f"{judgement.reason} at attempt {number}"
    first = ""
    if reply.content_type == "text/plain":
        first = reply.text(_FIRST_LINE_BYTES).strip().partition("\n")[0]
    text = one_line(first) or one_line(reply.reason)
    tail = f": {text}" if text else ""
    return f"HTTP {reply.status}{tail}", f"HTTP {reply.status} at attempt {number}{tail}"
