"""`/metrics`, `/healthz`, `/readyz`."""

import asyncio
import re

import pytest

from hookyard.core.errors import TemporaryError
from hookyard.telemetry.metrics import SPECS, IngestCounts, Metrics
from tests.web.conftest import Server

EVENT = {"eventName": "workspace.member_left", "userId": "a", "userName": "b"}


async def test_the_metrics_count_what_happened(server: Server) -> None:
    for _ in range(3):
        await server.ingest.post("/api/v1/workspaces/w/events", EVENT)
    await server.ingest.post("/api/v1/workspaces/w/events", {})
    await server.nobody.post("/api/v1/workspaces/w/events", EVENT)
    await server.member.post(
        "/api/v1/workspaces/w/callbacks", {"name": "c", "events": ["task.created"], "prompt": "{{taskTitle}}"}
    )
    await server.member.post("/api/v1/workspaces/w/tasks", {"title": "a"})
    answer = await server.nobody.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = set(answer.text.splitlines())
    assert lines >= {
        'hookyard_events_total{outcome="accepted"} 1',
        'hookyard_events_total{outcome="duplicate"} 2',
        'hookyard_events_refused_total{status="422"} 1',
        'hookyard_events_refused_total{status="401"} 1',
        'hookyard_runs{status="queued"} 1.0',
        'hookyard_runs{status="running"} 0.0',
        'hookyard_runs_last_hour{status="queued"} 1.0',
    }
    samples = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r'[a-z_]+(\{[a-z]+="[a-z0-9_]+"\})? [0-9.e+-]+', line) for line in samples), samples


async def test_without_a_database_the_counters_are_left_and_the_log_has_one_line(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*_: object) -> None:
        raise TemporaryError("the database cannot be reached")

    metrics = Metrics(server.services.database, server.services.clock, IngestCounts(accepted=3))
    monkeypatch.setattr(server.services.database, "read_sync", away)
    lines = (await asyncio.to_thread(metrics.text)).splitlines()
    assert 'hookyard_events_total{outcome="accepted"} 3' in lines
    assert not [line for line in lines if line.startswith(("hookyard_runs", "hookyard_workers"))]
    assert [record.message for record in caplog.records] == ["the metrics are without what the database knows"]


async def test_every_metric_is_described_and_none_twice(server: Server) -> None:
    text = (await server.nobody.get("/metrics")).text
    helped = re.findall(r"^# HELP (\w+) (.+)$", text, re.MULTILINE)
    assert len({name for name, _ in helped}) == len(helped)
    assert len({spec.name for spec in SPECS}) == len(SPECS)


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded"])
async def test_behind_a_proxy_the_metrics_want_an_administrator(server: Server, header: str) -> None:
    for client, expected in ((server.nobody, 401), (server.member, 403), (server.admin, 200)):
        answer = await client.request("GET", "/metrics", headers={header: "203.0.113.7"})
        assert answer.status == expected


async def test_health_says_nothing_that_a_stranger_may_not_know(server: Server) -> None:
    assert (await server.nobody.get("/healthz")).json() == {"status": "ok"}
    assert (await server.nobody.get("/readyz")).json() == {"status": "ready"}


async def test_a_server_without_an_evaluator_is_not_ready(server: Server) -> None:
    await server.services.conditions.close()
    assert (await server.nobody.get("/readyz")).status == 503
    assert (await server.nobody.get("/healthz")).status == 200
