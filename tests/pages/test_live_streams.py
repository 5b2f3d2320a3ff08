"""The stream of live pages: it is cut, it goes silent, readers share it; the page becomes true again."""

from __future__ import annotations

import asyncio
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect

from hookyard.store.schema import run_entries
from hookyard.web import live
from hookyard.web.pages.language import language
from scripts.sample_data import Sample
from tests.pages.asking import ask
from tests.pages.conftest import WAIT_MS, OpenPage
from tests.pages.environment import PagesEnvironment, world
from tests.pages.test_live_browser import end, entry, start
from tests.pages.wire import wire

BEFORE_DEFAULT_MS = 30_000
"""Less than the silence that a browser bears when the server does not say how often it pings."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagesEnvironment]:
    """A server of this module's own, since its runs start and end."""
    with world(tmp_path_factory.mktemp("streams"), Sample(time.time(), runs=40, events=200)) as started:
        yield started


def open_through(open_page: OpenPage, server: PagesEnvironment, url: str, path: str) -> Page:
    """Open a page through a relay; the cookie is valid on every port of the host."""
    page = open_page(server, "/sign-in", server.boss)
    page.goto(f"{url}/w/payments/{path}")
    page.wait_for_load_state("load")
    return page


def row(page: Page, run: str) -> Locator:
    return page.locator(".rows .row").filter(has=page.locator(f"[href$='{run}']"))


def follows(server: PagesEnvironment, topic: str, count: int = 1) -> None:
    """Wait until a topic has as many readers."""

    async def readers() -> int:
        return len(live.feed_of(server.services, topic).readers)

    until = time.monotonic() + WAIT_MS / 1000
    while server.call(readers()) != count:
        assert time.monotonic() < until, f"{topic} has not {count} readers"
        time.sleep(0.02)


def test_a_stream_that_is_cut_comes_back_and_the_pages_become_true(
    open_page: OpenPage, server: PagesEnvironment
) -> None:
    """Two tabs share the worker's stream; what changed while the server was away is on both."""
    run = start(server)
    with wire(server) as line:
        page = open_through(open_page, server, line.url, "runs")
        assert page.evaluate("() => !!globalThis.SharedWorker")
        other = page.context.new_page()
        other.goto(f"{line.url}/w/payments/runs/{run}")
        follows(server, "runs:payments")
        follows(server, f"run:{run}")
        server.call(line.cut())
        follows(server, "runs:payments", 0)
        entry(server, run, 30, "note", text="said while the server was away")
        end(server, run)
        server.call(line.heal())
        expect(row(page, run)).to_contain_text("Succeeded")
        expect(other.locator("#timeline")).to_contain_text("said while the server was away")
        expect(other.locator(".pill")).to_contain_text("Succeeded")
        expect(other.locator("#live")).to_have_count(0)


@pytest.mark.parametrize("shared", [True, False], ids=["shared worker", "own stream"])
def test_a_stream_that_goes_silent_is_opened_again(
    open_page: OpenPage, server: PagesEnvironment, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    """The connection dies without a word: no end, no error. The browser knows from the pings that do not come."""
    monkeypatch.setattr(live, "PING_SECONDS", 0.3)
    run = start(server)
    with wire(server) as line:
        page = open_page(server, "/sign-in", server.boss)
        if not shared:
            page.add_init_script("delete globalThis.SharedWorker")
        page.goto(f"{line.url}/w/payments/runs")
        expect(row(page, run)).to_contain_text("live ")
        follows(server, "runs:payments")
        server.call(line.freeze())
        end(server, run)
        expect(row(page, run)).to_contain_text("Succeeded", timeout=BEFORE_DEFAULT_MS)


def test_a_run_page_keeps_following_until_its_end_is_shown(open_page: OpenPage, server: PagesEnvironment) -> None:
    """The page cannot be fetched when its run ends: it stays subscribed and shows the end later."""
    run = start(server)
    page = open_page(server, f"/w/payments/runs/{run}", server.boss)
    page.wait_for_load_state("load")
    follows(server, f"run:{run}")
    refused: list[str] = []

    def refuse(route: Any) -> None:
        if route.request.headers.get("x-part") and len(refused) < 2:
            refused.append(route.request.url)
            route.fulfill(status=503, body="busy")
        else:
            route.continue_()

    page.route(f"**/runs/{run}", refuse)
    end(server, run)
    expect(page.locator(".pill")).to_contain_text("Succeeded")
    assert refused


def test_a_reader_that_joins_takes_no_entries_from_the_others(server: PagesEnvironment) -> None:
    """Entries that the joining reader's look finds first are given to those who were there before it."""
    run = start(server)
    spoken = language("en", "UTC", 0.0)

    async def join_in_between() -> list[list[dict[str, Any]]]:
        feed = live.feed_of(server.services, f"run:{run}")
        readers = [live.StreamClient(spoken) for _ in range(2)]
        await feed.join(readers[0], -1)
        first = json.loads(await readers[0].messages.get() or "")
        assert feed.task
        assert not feed.task.done()
        await asyncio.to_thread(_quiet_entry, server, run)  # no signal: only the one who joins looks
        await feed.join(readers[1], -1)
        texts = [await asyncio.wait_for(reader.messages.get(), 30) for reader in readers]
        given = [json.loads(text or "") for text in texts]
        for reader in readers:
            feed.leave(reader)
        return [[first], given]

    (first,), given = server.call(join_in_between())
    assert first["items"] == []
    for message in given:
        assert [key for key, html in message["items"] if "found by the one who joins" in html], message


def _quiet_entry(server: PagesEnvironment, run: str) -> None:
    row = {"run_id": run, "seq": 40, "attempt": 1, "at": time.time(), "kind": "note"}
    row["data"] = json.dumps({"text": "found by the one who joins"})
    server.services.database.write_sync(lambda conn: conn.execute(run_entries.insert().values(row)))


def test_a_feed_that_somebody_joins_is_not_replaced(server: PagesEnvironment) -> None:
    """Another stream that begins meanwhile gets the same feed, so an item is rendered once."""
    run = start(server)

    async def joined() -> bool:
        feed = live.feed_of(server.services, f"run:{run}")
        reader = live.StreamClient(language("en", "UTC", 0.0))
        joining = asyncio.create_task(feed.join(reader, -1))
        await asyncio.sleep(0)  # it runs until it waits
        assert feed.joining
        live.feed_of(server.services, "events:payments")
        same = live.feed_of(server.services, f"run:{run}") is feed
        await joining
        feed.leave(reader)
        return same

    assert server.call(joined())


def test_a_body_that_is_too_large_is_a_413(server: PagesEnvironment) -> None:
    """With its length announced it is refused at once; in chunks a page says so."""
    parts = urlsplit(server.url)
    size = 3 * 1024 * 1024
    headers = {"Cookie": f"hookyard_session={server.boss}", "Content-Type": "application/x-www-form-urlencoded"}
    for length in (True, False):
        conn = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=30)
        conn.putrequest("POST", "/w/payments/tasks")
        for name, value in headers.items():
            conn.putheader(name, value)
        conn.putheader("Content-Length", str(size)) if length else conn.putheader("Transfer-Encoding", "chunked")
        conn.endheaders()
        if not length:
            for _ in range(size // 65536):
                conn.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        answer = conn.getresponse()
        assert answer.status == 413
        text = answer.read().decode()
        assert ("at most" in text) if length else (">413<" in text)
        conn.close()
    assert ask(server, "/w/payments/tasks", server.boss).status == 200
