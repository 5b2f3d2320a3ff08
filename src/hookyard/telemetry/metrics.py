"""Metrics: OpenTelemetry instruments over what the server counts and what its database says; `/metrics` shows them.

`scrape` is the route, in the Prometheus text format; `export` sends the same to a collector when the standard
`OTEL_EXPORTER_OTLP_ENDPOINT` is set (`wiring` asks) and the extra `otlp` is installed. The SDK is imported when the
first of the two needs it. On the hot path nothing but integers are counted.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, func, select
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from hookyard.core.clock import Clock, iso
from hookyard.core.errors import TemporaryError
from hookyard.core.ids import earliest
from hookyard.runs.queue_reason import ALIVE_SECONDS
from hookyard.store import schema
from hookyard.store.database import Database
from hookyard.telemetry import otlp

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader, MetricsData

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The Prometheus text format (prometheus.io/docs/instrumenting/exposition_formats)."""

logger = logging.getLogger(__name__)

_HOUR = 3600.0
_BELIEVED_SECONDS = 2.0
_LAST_EXPORT_MS = 3000.0

Sample = dict[tuple[tuple[str, str], ...], float]
"""Values by their labels."""


@dataclass(slots=True)
class IngestCounts:
    """Counts of the ingest endpoint and the inbound webhooks since the start, written by them without a lock, in
    one loop.

    Attributes:
        accepted: Events stored.
        duplicates: Events that repeat another.
        refused: Requests that were refused, by status.
        seconds: Time spent at the ingest endpoint.
    """

    accepted: int = 0
    duplicates: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Spec:
    """One metric: its OpenTelemetry name, unit and meaning; a counter or a gauge."""

    name: str
    unit: str
    meaning: str
    counter: bool = False


_EVENTS = _Spec("hookyard.events", "", "Events taken at the ingest door and the services' doors", counter=True)
_REFUSED = _Spec("hookyard.events.refused", "", "Requests refused there, by status", counter=True)
_SECONDS = _Spec("hookyard.events.time", "s", "Time spent at the ingest door", counter=True)
_WAITING = _Spec("hookyard.runs", "", "Runs that wait or execute now")
_OLDEST = _Spec("hookyard.runs.oldest.wait", "s", "How long the oldest waiting run has waited")
_HOURLY = _Spec("hookyard.runs.last_hour", "", "Runs queued in the last hour, by where they stand")
_DELIVERIES = _Spec("hookyard.deliveries.last_hour", "", "Webhook deliveries of the last hour, by state")
_TOKENS = _Spec("hookyard.tokens.today", "", "Model tokens spent today (UTC)")
_COST = _Spec("hookyard.cost.today", "USD", "Cost of the models whose price is known, today (UTC)")
_WORKERS = _Spec("hookyard.workers", "", "Workers that are alive")
_BATCHES = _Spec("hookyard.batches.open", "", "Merge windows that are open")
_COMMENTS = _Spec("hookyard.comments.owed", "", "Comments that wait to be posted to a service")

SPECS = (
    _EVENTS, _REFUSED, _SECONDS, _WAITING, _OLDEST, _HOURLY, _DELIVERIES, _TOKENS, _COST, _WORKERS, _BATCHES,
    _COMMENTS,
)  # fmt: skip
"""Every metric, in the order of `/metrics`."""


class Metrics:
    """The instruments of one server.

    Args:
        database: What it says is read when it is asked for, at most every two seconds.
        clock: Says what the last hour is.
        counts: What the ingest endpoint counts.
    """

    def __init__(self, database: Database, clock: Clock, counts: IngestCounts) -> None:
        self._database = database
        self._clock = clock
        self._counts = counts
        self._reader: InMemoryMetricReader | None = None
        self._stored: tuple[float, Mapping[_Spec, Sample]] = (-_BELIEVED_SECONDS, {})

    def text(self) -> str:
        """Return all metrics in the Prometheus text format; reads the database, so call it in a thread."""
        if self._reader is None:
            from opentelemetry.sdk.metrics.export import InMemoryMetricReader

            reader = InMemoryMetricReader()
            self._provider(reader)
            self._reader = reader
        return "".join(_lines(self._reader.get_metrics_data()))

    async def export(self) -> None:
        """Send the metrics to the collector that the environment names, until cancelled."""
        provider = await asyncio.to_thread(self._exporting)
        try:
            await asyncio.Event().wait()
        finally:
            if provider is not None:
                await asyncio.to_thread(provider.shutdown, _LAST_EXPORT_MS)

    def _exporting(self) -> MeterProvider | None:
        exporter = otlp.exporter("metric_exporter", "OTLPMetricExporter")
        if exporter is None:
            return None
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

        return self._provider(PeriodicExportingMetricReader(exporter))

    def _provider(self, reader: MetricReader) -> MeterProvider:
        from opentelemetry.sdk.metrics import MeterProvider

        provider = MeterProvider([reader], otlp.resource(), shutdown_on_exit=False)
        meter = provider.get_meter("hookyard")
        for spec in SPECS:
            make = meter.create_observable_counter if spec.counter else meter.create_observable_gauge
            make(spec.name, [self._observer(spec)], spec.unit, spec.meaning)
        return provider

    def _observer(self, spec: _Spec) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            from opentelemetry.metrics import Observation

            return [Observation(value, dict(labels)) for labels, value in self._read(spec).items()]

        return observe

    def _read(self, spec: _Spec) -> Sample:
        counts = self._counts
        if spec is _EVENTS:
            return {(("outcome", "accepted"),): counts.accepted, (("outcome", "duplicate"),): counts.duplicates}
        if spec is _REFUSED:
            return {(("status", str(status)),): n for status, n in counts.refused.copy().items()}
        if spec is _SECONDS:
            return {(): counts.seconds}
        return self._from_database().get(spec, {})

    def _from_database(self) -> Mapping[_Spec, Sample]:
        at, stored = self._stored
        if self._clock.monotonic() - at >= _BELIEVED_SECONDS:
            try:
                stored = self._database.read_sync(lambda conn: _facts(conn, self._clock.now()))
            except TemporaryError as error:
                # Nothing is better than an outdated value; asked once for all of them, and logged in one line.
                logger.warning("the metrics are without what the database knows", extra={"error": error.what})
                stored = {}
            self._stored = (self._clock.monotonic(), stored)
        return stored


def _facts(conn: Connection, now: float) -> dict[_Spec, Sample]:
    runs, deliveries, spend = schema.runs.c, schema.deliveries.c, schema.spend.c
    out, workers, batches = schema.outgoing_comments.c, schema.workers.c, schema.batches.c
    # Ids begin with their time: a range of the primary key is the last hour, however many rows there are.
    hour_ago = now - _HOUR
    waiting = {"queued": 0.0, "running": 0.0} | _counted(conn, runs.status, runs.status.in_(("queued", "running")))
    oldest = conn.execute(select(func.min(runs.queued_at)).where(runs.status == "queued")).scalar()
    today = select(func.sum(spend.tokens), func.sum(spend.cost_usd)).where(spend.day == _day(now))
    tokens, cost = conn.execute(today).one()
    alive = select(func.count()).where(workers.heartbeat_at > now - ALIVE_SECONDS)
    return {
        _WAITING: _labelled("status", waiting),
        _OLDEST: {(): 0.0 if oldest is None else max(0.0, now - oldest)},
        _HOURLY: _labelled("status", _counted(conn, runs.status, runs.id >= earliest("run", hour_ago))),
        _DELIVERIES: _labelled("state", _counted(conn, deliveries.state, deliveries.id >= earliest("dlv", hour_ago))),
        _TOKENS: {(): float(tokens or 0)},
        _COST: {(): float(cost or 0)},
        _WORKERS: {(): float(conn.execute(alive).scalar_one())},
        _BATCHES: {(): float(conn.execute(select(func.count()).where(batches.closed_at.is_(None))).scalar_one())},
        _COMMENTS: _labelled("state", _counted(conn, out.state, out.state != "posted")),
    }


def _counted(conn: Connection, column: Any, which: Any) -> dict[str, float]:
    return {value: float(n) for value, n in conn.execute(select(column, func.count()).where(which).group_by(column))}


def _labelled(label: str, values: Mapping[str, float]) -> Sample:
    return {((label, value),): n for value, n in values.items()}


def _day(at: float) -> str:
    return iso(at)[:10]


def _lines(data: MetricsData | None) -> Iterator[str]:
    for resource in () if data is None else data.resource_metrics:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                counter = type(metric.data).__name__ == "Sum"
                unit = {"s": "_seconds", "USD": "_usd"}.get(metric.unit or "", "")
                name = re.sub(r"[^a-zA-Z0-9_]", "_", metric.name) + unit + ("_total" if counter else "")
                yield f"# HELP {name} {metric.description}\n# TYPE {name} {'counter' if counter else 'gauge'}\n"
                for point in metric.data.data_points:
                    yield f"{name}{_labels(point.attributes or {})} {getattr(point, 'value', 0)}\n"


def _labels(labels: Mapping[str, object]) -> str:
    if not labels:
        return ""
    escaped = {
        key: str(value).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for key, value in labels.items()
    }
    return "{" + ",".join(f'{key}="{value}"' for key, value in escaped.items()) + "}"


async def scrape(request: Request) -> Response:
    """Serve `/metrics`: open on loopback, elsewhere with an administrator's token."""
    services = request.app.state.services
    if not _from_loopback(request):
        principal = await services.auth.bearer(request.headers.get("authorization", ""))
        principal.require()
    return PlainTextResponse(await asyncio.to_thread(services.metrics.text), media_type=MEDIA_TYPE)


def _from_loopback(request: Request) -> bool:
    """Return whether the connection comes from this machine and not from a proxy on it."""
    if request.client is None or any(name in request.headers for name in ("forwarded", "x-forwarded-for", "via")):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
