"""Spans without a collector: their ids follow from what they are of, whoever makes them."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import select

from hookyard.core.ids import EventId
from hookyard.hooks.delivery.delivery_log import Attempt, Delivery, DeliveryState
from hookyard.intake.pending import Accepted
from hookyard.store import schema
from hookyard.telemetry import otlp
from hookyard.telemetry.traces import SpanContext, Traces, event_span, run_span, sender, sender_span, webhook_span
from tests.web.conftest import Server


@given(st.text(), st.text(), st.integers(0, 100), st.text())
def test_places_fit_the_standard_and_differ(event: str, run: str, attempt: int, delivery: str) -> None:
    first = event_span(event)
    second = run_span(event, run, attempt)
    third = webhook_span(second, delivery)
    assert len({first.trace, second.trace, third.trace}) == 1
    assert len({first.span, second.span, third.span}) == 3
    assert run_span(event, run, attempt + 1).span != second.span
    for place in (first, second, third):
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", place.traceparent)


def test_the_ids_stay_what_they_are() -> None:
    # Servers of different versions follow the same event: a change of these breaks traces apart.
    assert event_span("evt_1") == SpanContext(0x1E82F77F2C6B19F5992BAA7EFF22F4F1, 0x18AD014CE7BB22A8)
    assert run_span("evt_1", "run_1", 1) == SpanContext(0x1E82F77F2C6B19F5992BAA7EFF22F4F1, 0x3E7598E5AEC7BE69)


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    "header", [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00", f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-more"]
)
def test_a_sender_s_place_is_read(header: str) -> None:
    place = sender_span(sender([header.encode()]))
    assert place == SpanContext(int(TRACE, 16), int(SPAN, 16))
    assert event_span("evt_1", sender([header.encode()])).trace == place.trace
    assert run_span("evt_1", "run_1", 1, sender([header.encode()])).trace == place.trace


@pytest.mark.parametrize(
    "header",
    [
        "", "01", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-01-more", f"ff-{TRACE}-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01more",
        f"00-{TRACE.upper()}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01", f"00-{TRACE}-{SPAN}x-01", f"00-{TRACE}-{SPAN}-1", "é" * 55,
    ],
)  # fmt: skip
def test_what_is_no_place_of_a_sender_is_left_out(header: str) -> None:
    assert sender([header.encode()]) is None


def test_of_several_senders_none_is_continued() -> None:
    assert sender([f"00-{TRACE}-{SPAN}-01".encode()] * 2) is None
    assert sender([]) is None


@given(st.lists(st.binary(max_size=70), max_size=2))
def test_any_header_can_be_looked_at(headers: list[bytes]) -> None:
    assert sender(headers) is None or len(headers) == 1


async def queued_run(server: Server) -> Any:
    """A run that waits: its row."""
    callback = {"name": "c", "events": ["task.created"], "prompt": "{{taskTitle}}"}
    assert (await server.member.post("/api/v1/workspaces/w/callbacks", callback)).status == 201
    await server.member.post("/api/v1/workspaces/w/tasks", {"title": "a"})
    return await server.services.database.read(lambda conn: conn.execute(select(schema.runs)).one())


async def test_a_run_that_began_elsewhere_is_found_in_the_database(server: Server) -> None:
    run = await queued_run(server)
    exporter = InMemorySpanExporter()
    traces = Traces(exporter, server.services.database, server.services.clock)
    place = webhook_span(run_span(run.event_id, run.id, run.attempt), "dlv_1")
    assert await traces.traceparent(run.id, "dlv_1") == place.traceparent
    assert await traces.traceparent("run_nothing", "dlv_1") is None
    owed = Delivery("dlv_1", "hook", "on_session_end", "hookyard", "http://x", "{}", 1.0, run_id=run.id)
    tried = replace(owed, attempts=(Attempt(1, 2.0, 500.0, 503, "HTTP 503"),))
    for delivery in (owed, tried, replace(owed, state=DeliveryState.DEAD), replace(tried, run_id="run_nothing")):
        traces.record(delivery)
    traces.record(replace(tried, state=DeliveryState.DEAD))
    await traces.close()
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert (span.context.trace_id, span.context.span_id) == place
    assert (span.start_time, span.end_time) == (1_000_000_000, 2_500_000_000)
    assert (span.attributes or {})["http.response.status_code"] == 503


async def test_an_event_is_told_of_once_it_is_stored_and_a_duplicate_is_not(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[EventId, Accepted]] = []
    monkeypatch.setattr(server.services.accept, "_on_stored", lambda event, what: told.append((event.id, what)))
    sent = {"eventName": "workspace.member_left", "userId": "a", "userName": "b"}
    for status in (202, 200):
        assert (await server.ingest.post("/api/v1/workspaces/w/events", sent)).status == status
    ((event_id, what),) = told
    assert (what.event_id, list(what.verdicts)) == (event_id, [])


def test_an_exporter_that_is_not_installed_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert otlp.exporter("nothing", "Exporter") is None
    assert "hookyard[otlp] is not installed" in caplog.text
