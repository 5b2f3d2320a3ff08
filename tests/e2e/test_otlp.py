"""Traces and metrics as a collector gets them: real OTLP over HTTP from a real server, parsed as protobuf."""

from __future__ import annotations

import gzip
import importlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.e2e.server import ServerProcess, eventually

SECRET = "a-password-in-an-address"
PROMPT = "the-contents-of-a-prompt"


class Receiver(ThreadingHTTPServer):
    """Takes every POST: a collector and a webhook receiver in one."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.taken: list[tuple[str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def at(self, path: str) -> list[tuple[dict[str, str], bytes]]:
        return [(headers, body) for where, headers, body in list(self.taken) if where.partition("?")[0] == path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Receiver)
        self.server.taken.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def parsed(receiver: Receiver, signal: str) -> list[Any]:
    """The requests that a collector got for `trace` or `metrics`."""
    protocol = importlib.import_module(f"opentelemetry.proto.collector.{signal}.v1.{signal}_service_pb2")
    kind = getattr(protocol, f"Export{signal.capitalize()}ServiceRequest")
    path = "/v1/traces" if signal == "trace" else "/v1/metrics"
    return [kind.FromString(body) for _, body in receiver.at(path)]


def spans(receiver: Receiver) -> list[Any]:
    return [
        span
        for request in parsed(receiver, "trace")
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def metrics(receiver: Receiver) -> dict[str, dict[str, float]]:
    """The newest values by metric and label."""
    found: dict[str, dict[str, float]] = {}
    for request in parsed(receiver, "metrics"):
        (of_resource,) = request.resource_metrics
        names = {one.key: one.value.string_value for one in of_resource.resource.attributes}
        assert names["service.name"] == "hookyard"
        (scope,) = of_resource.scope_metrics
        for metric in scope.metrics:
            points = getattr(metric, metric.WhichOneof("data")).data_points
            found[metric.name] = {
                ",".join(one.value.string_value for one in point.attributes): point.as_double or float(point.as_int)
                for point in points
            }
    return found


def facts(span: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def named(found: list[Any], name: str, **wanted: object) -> list[Any]:
    """Spans of a name whose attributes `hookyard.…` have these values; `__` stands for a dot."""
    asked = {f"hookyard.{key.replace('__', '.')}": value for key, value in wanted.items()}
    return [span for span in found if span.name == name and asked.items() <= facts(span).items()]


def start(make: Callable[..., ServerProcess], collector: Receiver | None) -> ServerProcess:
    environment = {"HOOKYARD_ALLOW_PRIVATE_HOSTS": "127.0.0.0/8"}
    if collector is not None:
        environment |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        }
    server = make(environment)
    server.start()
    server.api("POST", "/workspaces", {"name": "W", "id": "w"})
    return server


def run_once(server: ServerProcess, receiver: Receiver) -> tuple[str, str]:
    """Three webhooks, one run of the dry-run agent; the event and the run, when everything is delivered."""
    address = receiver.url.replace("//", f"//user:{SECRET}@")
    hooks = "/workspaces/w/webhooks"
    server.api("POST", hooks, {"name": "gate", "trigger": "message", "url": f"{address}/gate?key={SECRET}"})
    own = {"name": "own", "trigger": "message", "url": f"{receiver.url}/own", "headers": {"TraceParent": "mine"}}
    server.api("POST", hooks, own)
    broken = {"name": "broken", "trigger": "post_turn", "url": f"{receiver.url}/broken", "retries": 1}
    server.api("POST", hooks, broken)
    callback = {"name": "c", "events": ["task.created"], "prompt": f"{PROMPT} {{{{taskTitle}}}}"}
    server.api("POST", "/workspaces/w/callbacks", callback)
    deaf = callback | {"name": "deaf", "condition": "ctx.taskTitle === 'other'"}
    server.api("POST", "/workspaces/w/callbacks", deaf)
    server.api("POST", "/workspaces/w/tasks", {"title": "t"})
    (event,) = server.everything("/workspaces/w/events?name=task.created")

    def ended() -> Any:
        runs = server.everything("/workspaces/w/runs")
        return runs[0] if runs and runs[0]["status"] == "succeeded" else None

    run = eventually(ended, "the run succeeds")
    eventually(lambda: len(receiver.at("/broken")) == 2, "the broken webhook is given up")
    return event["id"], run["id"]


def test_an_event_its_run_and_its_webhooks_are_one_trace(
    make_server: Callable[..., ServerProcess], receiver: Receiver
) -> None:
    server = start(make_server, receiver)
    event_id, run_id = run_once(server, receiver)
    found = eventually(lambda: all_there(spans(receiver), event_id, run_id), "every span arrives")
    event, run, gate, own, broken = found
    assert {span.trace_id for span in found} == {event.trace_id}
    assert len({span.span_id for span in found}) == 5
    assert event.parent_span_id == b""
    assert run.parent_span_id == event.span_id
    assert {span.parent_span_id for span in (gate, own, broken)} == {run.span_id}
    assert all(0 < span.start_time_unix_nano <= span.end_time_unix_nano for span in found)
    assert facts(event)["hookyard.event.name"] == "task.created"
    assert (facts(event)["hookyard.verdicts.queued"], facts(event)["hookyard.verdicts.condition"]) == (1, 1)
    assert (facts(run)["hookyard.agent.kind"], facts(run)["hookyard.run.attempt"]) == ("dry-run", 1)
    assert (facts(run)["gen_ai.usage.input_tokens"], run.status.code) == (0, 0)
    assert (facts(gate)["hookyard.webhook.attempts"], facts(gate)["hookyard.webhook.point"]) == (
        1,
        "on_message_received",
    )
    assert (facts(broken)["hookyard.webhook.attempts"], broken.status.code) == (2, 2)
    sent = [headers["traceparent"] for path in ("/gate", "/broken") for headers, _ in receiver.at(path)]
    expected = [f"00-{event.trace_id.hex()}-{span.span_id.hex()}-01" for span in (gate, broken, broken)]
    assert sent == expected
    assert [headers["traceparent"] for headers, _ in receiver.at("/own")] == ["mine"]
    everything = b"".join(body for _, body in receiver.at("/v1/traces"))
    assert SECRET.encode() not in everything
    assert PROMPT.encode() not in everything
    assert receiver.url.encode() not in everything
    wanted = {"hookyard.runs", "hookyard.events", "hookyard.deliveries.last_hour"}
    eventually(lambda: wanted <= set(metrics(receiver)), "metrics arrive")
    ended = {"delivered": 2.0, "failed": 1.0}
    eventually(lambda: metrics(receiver)["hookyard.deliveries.last_hour"] == ended, "the deliveries are counted")
    assert server.stop() == 0


def test_a_sender_s_trace_is_continued(make_server: Callable[..., ServerProcess], receiver: Receiver) -> None:
    server = start(make_server, receiver)
    gate = {"name": "gate", "trigger": "message", "url": f"{receiver.url}/gate"}
    server.api("POST", "/workspaces/w/webhooks", gate)
    callback = {"name": "c", "events": ["workspace.member_left"], "prompt": "{{userName}}"}
    server.api("POST", "/workspaces/w/callbacks", callback)
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    ids = {}
    for user, traceparent in (("good", f"00-{trace}-{span}-01"), ("bad", f"00-{trace}-{span}")):
        sent = {"eventName": "workspace.member_left", "userId": user, "userName": user}
        status, answer = server.request("POST", "/api/v1/workspaces/w/events", sent, traceparent=traceparent)
        assert status == 202
        ids[user] = answer["id"]

    def found(user: str) -> Any:
        there = named(spans(receiver), "event", event__id=ids[user])
        mine = [one for one in spans(receiver) if there and one.trace_id == there[0].trace_id]
        by_name = {one.name: one for one in mine}
        return by_name if {"event", "run", "webhook"} <= set(by_name) else None

    good, bad = (eventually(lambda user=user: found(user), "every span arrives") for user in ids)  # type: ignore[misc]
    assert (good["event"].trace_id.hex(), good["event"].parent_span_id.hex()) == (trace, span)
    assert good["run"].parent_span_id == good["event"].span_id
    assert good["webhook"].parent_span_id == good["run"].span_id
    assert bad["event"].trace_id.hex() != trace
    assert bad["event"].parent_span_id == b""
    traces = {headers["traceparent"].split("-")[1] for headers, _ in receiver.at("/gate")}
    assert traces == {trace, bad["event"].trace_id.hex()}


def all_there(found: list[Any], event_id: str, run_id: str) -> list[Any] | None:
    """Event, run and the three webhooks of the run, as soon as there is one of each."""
    wanted = [
        named(found, "event", event__id=event_id),
        named(found, "run", run__id=run_id, run__status="succeeded"),
        *(named(found, "webhook", run__id=run_id, webhook__name=name) for name in ("gate", "own", "broken")),
    ]
    return [one for (one,) in wanted] if all(len(one) == 1 for one in wanted) else None


def test_without_a_collector_nothing_is_said(make_server: Callable[..., ServerProcess], receiver: Receiver) -> None:
    server = start(make_server, None)
    run_once(server, receiver)
    assert all("traceparent" not in headers for headers, _ in receiver.at("/gate"))
    assert receiver.at("/gate")
    assert not [path for path, _, _ in receiver.taken if re.match("/v1/", path)]


def test_what_is_left_is_sent_when_the_server_stops(
    make_server: Callable[..., ServerProcess], receiver: Receiver
) -> None:
    server = make_server({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_SERVICE_NAME": "mine"})
    server.start()
    server.api("POST", "/workspaces", {"name": "W", "id": "w"})
    server.api("POST", "/workspaces/w/tasks", {"title": "t"})
    assert server.stop() == 0
    assert named(spans(receiver), "event", event__name="task.created")
    (request, *_) = parsed(receiver, "trace")
    names = {one.key: one.value.string_value for one in request.resource_spans[0].resource.attributes}
    assert names["service.name"] == "mine"
    assert parsed(receiver, "metrics")
