"""What firing a point does: gates are asked in order, notifications go out at once.

Called by `hooks`. It decides what each answer counts for and what all of them together mean; how a request is made is
`delivery.delivery`'s business, when it is made later is the outbox's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from hookyard.core.errors import PermanentError
from hookyard.hooks.config.configuration import ConfiguredHook
from hookyard.hooks.decision import GO_ON, Decision, Result, Verdict
from hookyard.hooks.delivery.breaker import Breaker
from hookyard.hooks.delivery.delivery import Deliverer, DeliveryOutcome, report_failure
from hookyard.hooks.delivery.delivery_log import Delivery, DeliveryLog, DeliveryState
from hookyard.hooks.delivery.reply import WebhookReply, invalid_reply, parse_reply
from hookyard.hooks.formats.base import one_line
from hookyard.hooks.payload import HookEvent, redacted, whole_body
from hookyard.hooks.points import Modifies
from hookyard.hooks.webhook import InvalidFailClosedHook, Webhook

if TYPE_CHECKING:
    from hookyard.hooks.redaction.redactor import Marks, Redactor

_NO_ANSWER = "no valid answer from a gate that fails closed"

_BETWEEN = "\n\n"
"""What stands between a system prompt and what is appended to it."""


class BackgroundQueue(Protocol):
    """Takes background deliveries."""

    async def put(self, webhook: Webhook, occasion: HookEvent) -> None:
        """Owe the webhook a delivery; under a millisecond."""
        ...

    async def is_rate_limited(self, webhook: Webhook) -> bool:
        """Return whether the webhook's service accepts no more messages now; reserve a slot when it does."""
        ...


@dataclass(frozen=True, slots=True)
class Dispatch:
    """Fires points.

    Attributes:
        deliverer: Makes the deliveries that are waited for.
        background: Takes the others.
        breaker: Says which endpoints are left alone for a while.
        new_id: Makes delivery ids.
        log: Keeps finished deliveries, None = not kept.
    """

    deliverer: Deliverer
    background: BackgroundQueue
    breaker: Breaker
    new_id: Callable[[], str]
    log: DeliveryLog | None = None

    def fire(self, gates: Sequence[ConfiguredHook], occasion: HookEvent) -> Coroutine[Any, Any, Decision]:
        """Call the webhooks of a point.

        Args:
            gates: Those that listen, in order.
            occasion: What happened.
        """
        return self._gate(gates, occasion) if occasion.spec.gating else self._notify(gates, occasion)

    async def _notify(self, gates: Sequence[ConfiguredHook], occasion: HookEvent) -> Decision:
        """Call all webhooks concurrently; no reply can change what happens."""
        waited = [gate for gate in gates if isinstance(gate, Webhook) and gate.waits]
        for gate in gates:
            if isinstance(gate, Webhook) and not gate.waits:
                await self._put_off(gate, occasion)
        if len(waited) == 1:
            return _decision([await self.call(waited[0], occasion)], None)
        verdicts = await asyncio.gather(*(self.call(webhook, occasion) for webhook in waited))
        return _decision(verdicts, None)

    async def _gate(self, gates: Sequence[ConfiguredHook], occasion: HookEvent) -> Decision:
        """Call the webhooks one after the other, each with the result of the one before; the first deny stops."""
        verdicts: list[Verdict] = []
        content: str | None = None
        asked: list[Webhook] = []
        left = list(reversed(gates))
        while left:
            gate = left.pop()
            if isinstance(gate, Webhook) and not gate.waits:
                await self._put_off(gate, occasion)
                continue
            if isinstance(gate, InvalidFailClosedHook):
                verdicts.append(self._closed(gate, occasion))
                await self._notify_denied(left, occasion)
                break
            verdict = await self.call(gate, occasion)
            verdicts.append(verdict)
            if verdict.result is Result.DENY:
                await self._notify_denied(left, occasion)
                break
            if verdict.result is Result.MODIFY and verdict.after is not None:
                occasion = occasion.with_content(verdict.after)
                content = _appended(content, verdict) if _appends(occasion) else verdict.after
                if gate.place.project:
                    # A repository may add webhooks but not get past the user's: those are asked again.
                    left[:0] = reversed(asked)
                    asked = []
            if not gate.place.project and isinstance(gate, Webhook):
                asked.append(gate)
        return _decision(verdicts, content)

    async def _notify_denied(self, left: Sequence[ConfiguredHook], occasion: HookEvent) -> None:
        """Notify recording webhooks of a denied step; the remaining gates are not called."""
        for gate in reversed(left):
            if isinstance(gate, Webhook) and not gate.waits:
                await self._put_off(gate, occasion)

    async def _put_off(self, webhook: Webhook, occasion: HookEvent) -> None:
        """Leave a delivery to the outbox; one that it cannot take is lost with a warning, never the agent's step."""
        try:
            await self.background.put(webhook, occasion)
        except Exception as error:
            reason = one_line(f"not sent: {type(error).__name__}: {error}")
            self.deliverer.warn(f"[Hook Warning] {webhook.name}: {webhook.scrub(reason)}")

    def _keep(self, record: Delivery) -> None:
        """Keep a record; a log that fails must not change the verdict."""
        if self.log is None:
            return
        try:
            self.log.record(record)
        except Exception as error:
            reason = one_line(f"not recorded: {type(error).__name__}: {error}")
            self.deliverer.warn(f"[Hook Warning] {record.webhook}: {reason}")

    def _closed(self, gate: InvalidFailClosedHook, occasion: HookEvent) -> Verdict:
        """Deny: the hook is misconfigured and fails closed."""
        self.deliverer.warn(f"[Hook] {gate.name}: deny at {occasion.spec.event}: {one_line(gate.reason)}")
        return Verdict(gate.name, Result.DENY, gate.reason, failed=True)

    async def call(self, webhook: Webhook, occasion: HookEvent) -> Verdict:
        """Deliver to one webhook and judge what it says. Whatever goes wrong, the agent gets a verdict."""
        try:
            off = self.breaker.off(webhook.breaker_key, fails_closed=webhook.fails_closed)
            if off is not None:
                return Verdict(webhook.name, Result.WARNING, f"not called: {off}", failed=True)
            if (
                webhook.wire_format.rates
                and not webhook.fails_closed
                and await self.background.is_rate_limited(webhook)
            ):
                # Waiting for a place would hold the agent up, and one message too many gets the webhook blocked.
                await self._put_off(webhook, occasion)
                return Verdict(webhook.name, Result.OK, "sent later: the service takes no more messages just now")
            return (await self.ask(webhook, occasion))[0]
        except Exception as error:  # the outermost place: a fault of ours must not become one of the agent's
            reason = f"hookyard could not call it: {type(error).__name__}: {error}"
            self.deliverer.warn(f"[Hook Warning] {webhook.name}: {webhook.scrub(one_line(reason))}")
            return _verdict_of_failure(webhook, occasion, webhook.scrub(reason))

    async def ask(self, webhook: Webhook, occasion: HookEvent) -> tuple[Verdict, Delivery]:
        """Deliver to one webhook now, and judge what it says."""
        delivery_id = self.new_id()
        body, marks = redacted(whole_body(webhook, occasion), webhook.redactor)
        delivered = await self.deliverer.deliver(webhook, delivery_id, body, occasion.run_id)
        if delivered.failure:
            report_failure(self.breaker, webhook, delivered.attempts[-1], self.deliverer.warn)
        else:
            self.breaker.success(webhook.breaker_key)
        answer = _judged(webhook, occasion, delivered, marks)
        if answer.message and answer.result is Result.WARNING and not delivered.failure:
            self.deliverer.warn(f"[Hook Warning] {webhook.name}: {webhook.scrub(one_line(answer.message))}")
        elif answer.result is Result.DENY:
            text = webhook.scrub(one_line(answer.message))
            self.deliverer.warn(f"[Hook] {webhook.name}: deny at {occasion.spec.event}: {text}")
        modified = answer.result is Result.MODIFY
        record = _record(webhook, occasion, delivery_id, delivered, answer)
        self._keep(record)
        verdict = Verdict(
            webhook=webhook.name,
            result=answer.result,
            message=webhook.scrub(answer.message),
            delivery_id=delivery_id,
            attempts=len(delivered.attempts),
            duration_ms=delivered.duration_ms,
            failed=bool(delivered.failure) or not answer.well_formed,
            before=(occasion.content or "") if modified else None,
            after=_made(occasion, answer) if modified else None,
        )
        return verdict, record


def _verdict_of_failure(webhook: Webhook, occasion: HookEvent, reason: str) -> Verdict:
    """Return the verdict when no reply arrived."""
    closed = webhook.fails_closed and occasion.spec.may_deny
    result, message = (Result.DENY, f"{_NO_ANSWER}: {reason}") if closed else (Result.WARNING, reason)
    return Verdict(webhook.name, result, message, failed=True)


def _appends(occasion: HookEvent) -> bool:
    return occasion.spec.modifies is Modifies.SYSTEM_PROMPT


def _made(occasion: HookEvent, answer: WebhookReply) -> str | None:
    """Return the content of the point as a reply left it."""
    if _appends(occasion):
        return f"{occasion.content or ''}{_BETWEEN}{answer.content}"
    return answer.content


def _appended(content: str | None, verdict: Verdict) -> str:
    """Return everything that is to be appended, after one more webhook appended to it."""
    added = (verdict.after or "").removeprefix((verdict.before or "") + _BETWEEN)
    return added if content is None else f"{content}{_BETWEEN}{added}"


def _judged(webhook: Webhook, occasion: HookEvent, delivered: DeliveryOutcome, marks: Marks | None) -> WebhookReply:
    """Return the verdict of a delivery: the reply's word, except that a fail-closed gate lets nothing else pass."""
    if delivered.reply is None:
        answer = WebhookReply(Result.WARNING, delivered.failure, well_formed=False)
    elif webhook.wire_format.chat:
        return WebhookReply(Result.OK)
    else:
        answer = parse_reply(
            delivered.reply.body,
            delivered.reply.headers.get("content-type", ""),
            occasion.spec,
            may_modify=webhook.may_modify,
        )
        if marks is not None and webhook.redactor and answer.content is not None:
            answer = _restored(answer, webhook.redactor, marks, occasion)
    if answer.well_formed or answer.result is Result.DENY or not (webhook.fails_closed and occasion.spec.may_deny):
        # An answer that says nothing is no failure of a webhook that need not say anything.
        return answer if answer.result is not Result.OK or answer.well_formed else WebhookReply(Result.OK)
    return WebhookReply(Result.DENY, f"{_NO_ANSWER}: {answer.message}", well_formed=False)


def _restored(answer: WebhookReply, redactor: Redactor, marks: Marks, occasion: HookEvent) -> WebhookReply:
    """Return a modification with its redaction marks restored; one that cannot be restored exactly is not used."""
    try:
        return answer._replace(content=redactor.restore(answer.content, marks))
    except PermanentError as error:
        return invalid_reply(str(error), occasion.spec)


def _decision(verdicts: Sequence[Verdict], content: str | None) -> Decision:
    """Return the decision that all verdicts give together."""
    if not verdicts:
        return GO_ON
    kept = tuple(verdicts)
    last = kept[-1]
    if last.result is Result.DENY:
        return Decision(Result.DENY, last.message, None, kept)
    if len(kept) == 1 and last.result is Result.OK:
        return Decision(Result.OK, verdicts=kept)
    warnings = "\n".join(verdict.message for verdict in kept if verdict.result is Result.WARNING and verdict.message)
    if content is not None:
        return Decision(Result.MODIFY, warnings, content, kept)
    warned = any(verdict.result is Result.WARNING for verdict in kept)
    return Decision(Result.WARNING if warned else Result.OK, warnings, None, kept)


def _record(
    webhook: Webhook, occasion: HookEvent, delivery_id: str, delivered: DeliveryOutcome, answer: WebhookReply
) -> Delivery:
    return Delivery(
        id=delivery_id,
        webhook=webhook.name,
        event=occasion.spec.event,
        format=webhook.format,
        url=webhook.shown_url,
        request=delivered.request.decode("utf-8", "replace"),
        created_at=occasion.at,
        state=DeliveryState.FAILED if delivered.failure else DeliveryState.DELIVERED,
        attempts=delivered.attempts,
        result=answer.result.value,
        message=webhook.scrub(answer.message),
        session_id=occasion.session_id or "",
        run_id=occasion.run_id,
        workspace_id=occasion.workspace_id,
    )
