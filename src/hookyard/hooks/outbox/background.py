"""Background deliveries: enqueue to the outbox and send from it.

Made by `hooks.hooks` (one for a process on the command line, one shared by all `Hooks` of a server). It looks up
webhooks by where they are configured, so that no address, header or secret is ever written down, and decides by the
rules of `retry` whether an attempt was the last. The order and the disk are the outbox's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from hookyard.core.errors import HookyardError
from hookyard.core.ids import Ids
from hookyard.hooks.config.configuration import Configuration
from hookyard.hooks.decision import Result
from hookyard.hooks.delivery import retry
from hookyard.hooks.delivery.breaker import Breaker
from hookyard.hooks.delivery.delivery import AttemptOutcome, Deliverer, report_failure
from hookyard.hooks.delivery.delivery_log import Delivery, DeliveryLog, DeliveryState
from hookyard.hooks.delivery.reply import parse_reply
from hookyard.hooks.formats.base import DeliveryVerdict, one_line
from hookyard.hooks.outbox.models import Batching, NewDelivery, QueuedDelivery, SendResult, UnknownOriginError
from hookyard.hooks.outbox.outbox import Outbox
from hookyard.hooks.payload import HookEvent, as_json, batch_entry, redacted, single_body, stored_body, whole_body
from hookyard.hooks.warning import Warn
from hookyard.hooks.webhook import Webhook

SHORT_WAIT_SECONDS = 2.0
"""How soon to ask again for an endpoint that another process is just trying."""

MOST_THROTTLED = 50
"""Attempts that a service may turn down for their rate, on top of the webhook's own."""

MOST_UNWRITTEN = 100
"""Deliveries under way at most that the outbox did not accept."""

RECORDED_WITHIN_SECONDS = 0.25

LONGEST_ASKED_WAIT = 3600.0
"""Seconds that a receiver may make a background delivery wait at a time."""


class BackgroundSender:
    """The outbox and its sender.

    Args:
        path: The outbox's file.
        deliverer: Makes the attempts.
        breaker: Says which endpoints are left alone for a while.
        ids: Makes ids.
        warn: Takes each line for the user.
        log: Keeps the deliveries and their outcome too.
    """

    def __init__(
        self,
        path: Path,
        deliverer: Deliverer,
        breaker: Breaker,
        ids: Ids,
        warn: Callable[[str], None],
        log: DeliveryLog | None = None,
    ) -> None:
        self.path = path
        self._deliverer = deliverer
        self._breaker = breaker
        self._log = log
        self._ids = ids
        self._warn = Warn.of(warn)
        self._outbox: Outbox | None = None
        self._running: asyncio.Task[None] | None = None
        self._unwritten: set[asyncio.Task[Any]] = set()
        self._crowded_until: dict[str, float] = {}
        self._recorded: list[Delivery] = []
        self._writing: asyncio.TimerHandle | None = None
        self._known: WeakKeyDictionary[object, Configuration] = WeakKeyDictionary()
        self.on_unknown_origin: Callable[[str], Awaitable[None]] | None = None
        """Asked to make the webhooks of a place known; a server knows those of a workspace once it had a run."""

    @property
    def outbox(self) -> Outbox:
        """The outbox; its file is opened with the first work."""
        if self._outbox is None:
            self._outbox = Outbox(
                self.path,
                clock=self._deliverer.clock,
                ids=self._ids,
                send=self.send,
                warn=lambda text: self._warn(f"[Hook Warning] {text}"),
            )
        return self._outbox

    def register(self, owner: object, configuration: Configuration) -> None:
        """Make these webhooks available for sending, until they are replaced or their owner is gone."""
        self._known[owner] = configuration

    def start(self) -> None:
        """Send pending deliveries from now on, in the running event loop."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self.outbox.run())

    def resume(self) -> None:
        """Send what an earlier process left, if there is anything."""
        if self.path.exists():
            self.start()

    async def put(self, webhook: Webhook, occasion: HookEvent) -> None:
        """Owe a webhook a delivery. What the disk does not take is tried at once, without anyone waiting."""
        self.start()
        try:
            owed = self._new_delivery(webhook, occasion)
        except (TypeError, ValueError, RecursionError) as error:
            self._warn(f"[Hook Warning] {webhook.name}: the event cannot be written as JSON: {one_line(str(error))}")
            return
        try:
            await self.outbox.put(owed)
            if self._log is not None and owed.batching is None:
                self._log.record(owed.delivery)
        except HookyardError as error:
            self._warn(f"[Hook Warning] {webhook.name}: not kept on disk: {error}")
            if len(self._unwritten) < MOST_UNWRITTEN:
                task = asyncio.create_task(
                    self._deliverer.deliver(
                        webhook,
                        self._ids.delivery(),
                        redacted(whole_body(webhook, occasion), webhook.redactor)[0],
                        occasion.run_id,
                    )
                )
                self._unwritten.add(task)
                task.add_done_callback(self._unwritten.discard)

    async def is_rate_limited(self, webhook: Webhook) -> bool:
        """Return whether a service's limits are reached; further messages then queue too, so that none overtakes."""
        now = self._deliverer.clock.monotonic()
        if now < self._crowded_until.get(webhook.endpoint, 0.0):
            return True
        rates = webhook.wire_format.rates
        try:
            wait = await self.outbox.reserve(webhook.endpoint, rates)
        except HookyardError:
            return False  # without the disk nothing counts; the service itself says when it is too much
        if wait > 0:
            self._crowded_until[webhook.endpoint] = now + max(rate.seconds for rate in rates)
        return wait > 0

    def _new_delivery(self, webhook: Webhook, occasion: HookEvent) -> NewDelivery:
        batch = webhook.batch
        body, _ = redacted(
            batch_entry(webhook, occasion) if batch else single_body(webhook, occasion), webhook.redactor
        )
        delivery = Delivery(
            id=self._ids.delivery(),
            webhook=webhook.name,
            event="" if batch else occasion.spec.event,
            format=webhook.format,
            url=webhook.shown_url,
            request=as_json(body),
            created_at=occasion.at,
            session_id=occasion.session_id or "",
            run_id=occasion.run_id,
            workspace_id=occasion.workspace_id,
        )
        return NewDelivery(
            delivery,
            origin=webhook.place.file,
            batching=Batching(batch.size, batch.flush_interval_ms / 1000) if batch else None,
            rates=webhook.wire_format.rates,
            endpoint=webhook.endpoint,
        )

    async def send(self, parcel: QueuedDelivery) -> SendResult:
        """Make one attempt for a parcel of the outbox.

        Raises:
            NotHereError: The webhook is not known to this process.
        """
        sent = await self._send(parcel)
        if self._log is not None:
            self._log.record(sent.delivery)
        return sent

    async def _send(self, parcel: QueuedDelivery) -> SendResult:
        delivery = parcel.delivery
        if self.on_unknown_origin is not None and not any(
            parcel.origin in known.origins for known in self._known.values()
        ):
            await self.on_unknown_origin(parcel.origin)
        webhook = self._find(parcel.origin, delivery.webhook)
        if webhook is None:
            gone = "the webhook is no longer configured, or switched off"
            return SendResult(replace(delivery, state=DeliveryState.DEAD, message=gone))
        off = self._breaker.off(webhook.breaker_key)
        if off is not None:
            left = max(off.left_seconds(self._deliverer.clock.monotonic()), SHORT_WAIT_SECONDS)
            return SendResult(replace(delivery, message=f"waits: {off}"), again_in=left)
        body = stored_body(webhook, delivery.request)
        remaining = math.inf
        if webhook.deadline_secs and delivery.attempts:
            remaining = webhook.deadline_secs - (self._deliverer.clock.now() - delivery.attempts[0].at)
        _, tried = await self._deliverer.attempt(
            webhook, delivery.id, body, len(delivery.attempts) + 1, remaining, delivery.run_id
        )
        if tried.judgement.outcome is DeliveryVerdict.OK:
            self._breaker.success(webhook.breaker_key)
            return SendResult(self._answered(webhook, delivery, tried))
        tried_so_far = replace(delivery, attempts=(*delivery.attempts, tried.attempt))
        wait = self._next_wait(webhook, tried_so_far, tried)
        if wait is None:
            report_failure(self._breaker, webhook, tried.attempt, self._warn)
            return SendResult(replace(tried_so_far, state=DeliveryState.DEAD, message=tried.attempt.error or ""))
        return SendResult(tried_so_far, again_in=wait)

    def _find(self, origin: str, name: str) -> Webhook | None:
        """Return a webhook by where it is configured; None when it no longer exists."""
        broken = False
        known = False
        for configuration in self._known.values():
            for webhook in configuration.webhooks:
                if webhook.name == name and webhook.place.file == origin:
                    return webhook
            known = known or origin in configuration.origins
            broken = broken or any(
                problem.place.file == origin and problem.hook in (name, "") for problem in configuration.problems
            )
        if broken or not known:
            raise UnknownOriginError(f"{name} cannot be sent to from this process", where=origin)
        return None

    def _answered(self, webhook: Webhook, delivery: Delivery, tried: AttemptOutcome) -> Delivery:
        """Return an accepted delivery with the reply's verdict."""
        assert tried.reply is not None
        result, message = Result.OK, ""
        if not webhook.wire_format.chat:
            answer = parse_reply(tried.reply.body, tried.reply.headers.get("content-type", ""), None, may_modify=False)
            if answer.result is Result.WARNING:
                result, message = answer.result, webhook.scrub(answer.message)
                self._warn(f"[Hook Warning] {webhook.name}: {one_line(message)}")
        attempts = (*delivery.attempts, tried.attempt)
        state = DeliveryState.DELIVERED
        return replace(delivery, attempts=attempts, state=state, result=result.value, message=message)

    def _next_wait(self, webhook: Webhook, delivery: Delivery, tried: AttemptOutcome) -> float | None:
        """Return the seconds until the next attempt, None when that was the last."""
        outcome = tried.judgement.outcome
        if outcome is DeliveryVerdict.REFUSED:
            return None
        remaining = math.inf
        if webhook.deadline_secs:
            remaining = webhook.deadline_secs - (self._deliverer.clock.now() - delivery.attempts[0].at)
        asked = tried.judgement.retry_after
        asked = None if asked is None else min(asked, LONGEST_ASKED_WAIT)
        throttled = sum(attempt.status == 429 for attempt in delivery.attempts)
        counted = len(delivery.attempts) - min(throttled, MOST_THROTTLED)
        return retry.next_wait(max(counted, 1), webhook.retries, remaining, self._deliverer.jitter(), asked)

    def record(self, delivery: Delivery) -> None:
        """Keep a delivery that was waited for (`hooks.delivery.delivery_log.DeliveryLog`): soon, so that no agent feels
        the disk."""
        self._recorded.append(delivery)
        if len(self._recorded) == 1:
            self._writing = asyncio.get_running_loop().call_later(RECORDED_WITHIN_SECONDS, self._write_records)

    def _write_records(self) -> None:
        recorded, self._recorded = self._recorded, []
        self.outbox.record_all(recorded)

    async def aclose(self, seconds: float) -> int:
        """Send what can be sent within a time; what is left stays on disk for the next process.

        Returns:
            How many deliveries are left.
        """
        if self._unwritten:
            await asyncio.wait(self._unwritten, timeout=seconds)
        if self._writing is not None:
            self._writing.cancel()
            self._write_records()
        left = 0
        if self._running is not None:
            await asyncio.sleep(0)  # it may have been started just now
            with contextlib.suppress(HookyardError):
                left = await self.outbox.drain(seconds)
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            self._running = None
        if self._outbox is not None:
            self._outbox.close()
            self._outbox = None
        return left
