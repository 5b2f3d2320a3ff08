"""Traces that follow an event into its runs and their webhooks, sent to a collector by OTLP.

Made by `wiring` when a collector is wanted; `intake.accept`, `runs.executor` and the hooks tell it what happens and
know nothing of OpenTelemetry. A sender's trace is continued (W3C Trace Context, https://www.w3.org/TR/trace-context/):
its place is stored with the event. All else needs no storing: the ids of a trace that an event begins, and of all
spans, follow from the ids of the event, the run and its attempt, and the delivery, so that every server and worker
gives the same ones. A span carries names, counts and states, never contents and never an address.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import select

from hookyard.core.clock import Clock
from hookyard.core.errors import HookyardError
from hookyard.core.verdicts import GateVerdict
from hookyard.events.model import Event
from hookyard.hooks.delivery.delivery_log import Delivery, DeliveryLog, DeliveryState
from hookyard.intake.pending import Accepted
from hookyard.store import schema
from hookyard.store.database import Database
from hookyard.telemetry import otlp

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from hookyard.agents.base import Usage
    from hookyard.runs.claim import AdmittedRun

_RUNS_KNOWN = 10_000
"""Attempts whose place in their trace is remembered; of others it is read from the database."""

_LAST_EXPORT_SECONDS = 3.0

# Version 00 ends after the flags; of a later one the beginning is read alike.
_TRACEPARENT = re.compile(
    rb"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?"
)

_SUCCEEDED = ("succeeded", "cancelled")


class SpanContext(NamedTuple):
    """A span within a trace: 128 and 64 bits."""

    trace: int
    span: int

    @property
    def traceparent(self) -> str:
        """As W3C Trace Context writes it, sampled."""
        return f"00-{self.trace:032x}-{self.span:016x}-01"


def sender(headers: Sequence[bytes]) -> str | None:
    """Return the sender's `traceparent` as it is stored; None when it is malformed or there are several."""
    found = _TRACEPARENT.fullmatch(headers[0].strip()) if len(headers) == 1 else None
    if found is None or (found["more"] and found["version"] == b"00"):
        return None
    trace, span = found["trace"].decode(), found["span"].decode()
    return f"{trace}-{span}" if int(trace, 16) and int(span, 16) else None


def sender_span(traceparent: str | None) -> SpanContext | None:
    """Return the sender's span from what is stored with an event."""
    if traceparent is None:
        return None
    trace, _, span = traceparent.partition("-")
    return SpanContext(int(trace, 16), int(span, 16))


def event_span(event_id: str, traceparent: str | None = None) -> SpanContext:
    """Return the span of an event: the first of its trace, unless the sender's trace is continued."""
    parent = sender_span(traceparent)
    trace = _digest("trace", event_id, 16) if parent is None else parent.trace
    return SpanContext(trace, _digest("event", event_id, 8))


def run_span(event_id: str, run_id: str, attempt: int, traceparent: str | None = None) -> SpanContext:
    """Return the span of an attempt of a run that the event started."""
    return SpanContext(event_span(event_id, traceparent).trace, _digest("run", f"{run_id}:{attempt}", 8))


def webhook_span(run: SpanContext, delivery_id: str) -> SpanContext:
    """Return the span of a delivery to a webhook, with all its attempts."""
    return SpanContext(run.trace, _digest("webhook", delivery_id, 8))


def _digest(kind: str, name: str, size: int) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=size, person=kind.encode()).digest(), "big")


class Traces:
    """Makes spans of what it receives and hands them to an exporter, in batches and in a thread of its own.

    Implements `runs.executor.RunObserver` and `hooks.delivery.delivery_log.DeliveryLog`.

    Args:
        exporter: Sends spans.
        database: Knows the runs that were begun elsewhere.
        clock: Dates the ends.
    """

    def __init__(self, exporter: SpanExporter, database: Database, clock: Clock) -> None:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._processor = BatchSpanProcessor(exporter)
        self._resource = otlp.resource()
        self._scope = InstrumentationScope("hookyard")
        self._database = database
        self._clock = clock
        self._runs: OrderedDict[str, SpanContext] = OrderedDict()

    @classmethod
    async def to_collector(cls, database: Database, clock: Clock) -> Traces | None:
        """Return traces for the collector that the environment names; None when there is no exporter."""

        def make() -> Traces | None:
            exporter = otlp.exporter("trace_exporter", "OTLPSpanExporter")
            return None if exporter is None else cls(exporter, database, clock)

        return await asyncio.to_thread(make)

    def stored(self, event: Event, accepted: Accepted) -> None:
        """Record that an event was stored, with the verdicts of the gates."""
        attributes: dict[str, Any] = {
            "hookyard.workspace.id": event.workspace_id,
            "hookyard.event.id": event.id,
            "hookyard.event.name": event.name,
            "hookyard.event.runs": len(accepted.runs),
        }
        for name, count in Counter(map(_verdict_name, accepted.verdicts)).items():
            attributes[f"hookyard.verdicts.{name}"] = count
        if event.cause.links:
            attributes["hookyard.caused_by.run.id"] = event.cause.links[-1].run_id
        place, times = event_span(event.id, event.traceparent), (event.received_at, self._clock.now())
        self._span("event", place, sender_span(event.traceparent), times, attributes)

    def began(self, claim: AdmittedRun) -> None:
        """Record that an attempt begins: its webhooks are called from now on."""
        self._know(claim.run_id, run_span(claim.event_id, claim.run_id, claim.attempt, claim.traceparent))

    def ended(self, claim: AdmittedRun, agent: str, status: str, used: Usage) -> None:
        """Record that an attempt has ended."""
        attributes = {
            "hookyard.workspace.id": claim.workspace_id,
            "hookyard.run.id": claim.run_id,
            "hookyard.callback.id": claim.callback_id,
            "hookyard.run.status": status,
            "hookyard.run.attempt": claim.attempt,
            "hookyard.agent.kind": agent,
            "gen_ai.usage.input_tokens": used.input_tokens,
            "gen_ai.usage.output_tokens": used.output_tokens,
        }
        place = run_span(claim.event_id, claim.run_id, claim.attempt, claim.traceparent)
        times = (claim.started_at, self._clock.now())
        self._span(
            "run",
            place,
            event_span(claim.event_id, claim.traceparent),
            times,
            attributes,
            failed=status not in _SUCCEEDED,
        )

    async def traceparent(self, run_id: str, delivery_id: str) -> str | None:
        """Return the header of a delivery to a webhook of a run; None when the run cannot be found."""
        run = self._runs.get(run_id)
        if run is None:
            table, events = schema.runs.c, schema.events.c
            query = (
                select(table.event_id, table.attempt, events.traceparent)
                .outerjoin(schema.events, events.id == table.event_id)
                .where(table.id == run_id)
            )
            try:
                row = await self._database.read(lambda conn: conn.execute(query).one_or_none())
            except HookyardError:
                return None
            if row is None:
                return None
            run = run_span(row.event_id, run_id, row.attempt, row.traceparent)
            self._know(run_id, run)
        return webhook_span(run, delivery_id).traceparent

    def record(self, delivery: Delivery) -> None:
        """Record the state of a delivery; one that was never sent has no span."""
        run = self._runs.get(delivery.run_id)
        if run is None or not delivery.attempts or delivery.state is DeliveryState.PENDING:
            return
        last = delivery.attempts[-1]
        attributes: dict[str, Any] = {
            "hookyard.workspace.id": delivery.workspace_id,
            "hookyard.run.id": delivery.run_id,
            "hookyard.delivery.id": delivery.id,
            "hookyard.webhook.name": delivery.webhook,
            "hookyard.webhook.point": delivery.event,
            "hookyard.webhook.state": delivery.state.value,
            "hookyard.webhook.result": delivery.result or "",
            "hookyard.webhook.attempts": len(delivery.attempts),
        }
        if last.status is not None:
            attributes["http.response.status_code"] = last.status
        place = webhook_span(run, delivery.id)
        times = (delivery.created_at, last.at + last.duration_ms / 1000)
        failed = delivery.state is not DeliveryState.DELIVERED
        self._span("webhook", place, run, times, attributes, failed=failed)

    def combined_with(self, log: DeliveryLog) -> DeliveryLog:
        """Return a log that stores deliveries where another does, and traces them."""
        return _CombinedLog(log, self)

    async def close(self) -> None:
        """Send what is left, if the collector takes it soon."""
        ending = threading.Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, _LAST_EXPORT_SECONDS)

    def _know(self, run_id: str, place: SpanContext) -> None:
        self._runs[run_id] = place
        self._runs.move_to_end(run_id)
        if len(self._runs) > _RUNS_KNOWN:
            self._runs.popitem(last=False)

    def _span(
        self,
        name: str,
        place: SpanContext,
        parent: SpanContext | None,
        times: tuple[float, float],
        attributes: Mapping[str, Any],
        *,
        failed: bool = False,
    ) -> None:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanKind, Status, StatusCode

        begin, end = times
        self._processor.on_end(
            ReadableSpan(
                name,
                _context(place),
                None if parent is None else _context(parent),
                self._resource,
                attributes,
                kind=SpanKind.CLIENT if name == "webhook" else SpanKind.INTERNAL,
                status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
                start_time=int(begin * 1e9),
                end_time=int(max(begin, end) * 1e9),
                instrumentation_scope=self._scope,
            )
        )


class _CombinedLog:
    """Keeps deliveries and follows them."""

    def __init__(self, log: DeliveryLog, traces: Traces) -> None:
        self._log = log
        self._traces = traces

    def record(self, delivery: Delivery) -> None:
        """Keep a delivery, or its newer state."""
        self._log.record(delivery)
        self._traces.record(delivery)


def _context(place: SpanContext) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    return SpanContext(place.trace, place.span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _verdict_name(verdict: GateVerdict) -> str:
    """Return `queued`, `merged`, or the gate that stopped it."""
    return verdict.name.lower() if verdict.gate is None else verdict.gate.value
