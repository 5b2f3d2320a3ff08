"""The pages with 10,000 tasks, 100,000 events and 10,000 runs stored: server time of every list page, the browser's
part, a run's timeline, and what fifty open pages cost ingest.

The browser's figures are left out where there is no Chromium.
"""

from __future__ import annotations

import asyncio
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from sqlalchemy import Connection

from benchmarks.figure import Figure
from hookyard.identity.tokens import Scope
from hookyard.settings import Settings
from hookyard.store.database import announce
from hookyard.store.schema import run_entries
from hookyard.wiring import App, running
from scripts.sample_data import Sample

LISTS = (
    "tasks",
    "tasks?view=list",
    "automations",
    "runs",
    "runs?status=failed",
    "events",
    "events?outcome=broken",
    "webhooks",
)
LIST_MS, INTERACTIVE_MS, TIMELINE_MS, KEPT = 30.0, 500.0, 300.0, 0.9
TURNS, PAGES, SECONDS, SENDERS, ROUNDS = 60, 50, 4.0, 16, 5
COOKIE = "hookyard_session"


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[tuple[App, str]]:
    """The product on a port of loopback."""
    async with running(Settings.load({"HOOKYARD_HOME": str(directory)}), work=False) as app:
        config = uvicorn.Config(app.asgi, "127.0.0.1", 0, log_level="warning", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        try:
            yield app, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


def p95(times: list[float]) -> float:
    """The 95th percentile."""
    return sorted(times)[int(len(times) * 0.95)]


async def timed(turns: int, work: Callable[[], Awaitable[Any]]) -> list[float]:
    """Milliseconds of each turn, after a few that do not count."""
    for _ in range(3):
        await work()
    times = []
    for _ in range(turns):
        begun = time.perf_counter()
        await work()
        times.append((time.perf_counter() - begun) * 1000)
    return times


async def lists(http: aiohttp.ClientSession, url: str) -> list[Figure]:
    """Server time of the list pages, client and loopback included; the floor is the smallest page."""

    async def get(path: str) -> None:
        async with http.get(url + path) as answer:
            await answer.read()
            assert answer.status == 200, path

    floor = p95(await timed(TURNS, lambda: get("/healthz")))
    figures = []
    for name in LISTS:
        ours = p95(await timed(TURNS, lambda name=name: get(f"/w/payments/{name}")))  # type: ignore[misc]
        figures.append(Figure(f"page {name}, p95", ours, None, "ms", LIST_MS, note=f"/healthz {floor:.1f} ms"))
    return figures


async def timeline(app: App, http: aiohttp.ClientSession, url: str, run: str) -> Figure:
    """From the commit of a fact to its arrival at the fiftieth reader of the run."""
    waits: list[float] = []
    queue: asyncio.Queue[float] = asyncio.Queue()

    async def read() -> None:
        async with http.get(f"{url}/live?t=run:{run}@4", timeout=aiohttp.ClientTimeout(None)) as stream:
            async for line in stream.content:
                if line.startswith(b"data:"):
                    queue.put_nowait(time.perf_counter())

    readers = [asyncio.create_task(read()) for _ in range(PAGES)]
    await asyncio.sleep(1)
    for turn in range(20):
        row = {
            "run_id": run,
            "seq": 50 + turn,
            "attempt": 1,
            "at": time.time(),
            "kind": "note",
            "data": '{"text": "x"}',
        }

        def write(conn: Connection, row: dict[str, Any] = row) -> None:
            conn.execute(run_entries.insert().values(row))
            announce(conn, f"run:{run}")

        await app.services.database.write(write)
        begun = time.perf_counter()
        arrived = [await queue.get() for _ in range(PAGES)]
        waits.append((max(arrived) - begun) * 1000)
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)
    return Figure(
        f"a fact of a run at {PAGES} pages, p95",
        p95(waits),
        None,
        "ms",
        TIMELINE_MS,
        note="besides 200 ms of gathering",
    )


async def ingest(http: aiohttp.ClientSession, url: str, token: str) -> float:
    """Events a second through the ingest door."""
    end = time.perf_counter() + SECONDS
    sent = 0

    async def send(sender: int) -> None:
        nonlocal sent
        number = 0
        while time.perf_counter() < end:
            number += 1
            event = {
                "eventName": "task.created", "id": f"{url}-{sender}-{number}-{end}", "taskId": "task-1",
                "taskDBId": "x", "taskType": "bug", "taskTitle": "t", "taskStatus": "todo", "createdBy": "b",
            }  # fmt: skip
            headers = {"Authorization": f"Bearer {token}"}
            async with http.post(f"{url}/api/v1/workspaces/payments/events", json=event, headers=headers) as answer:
                await answer.read()
                assert answer.status in (200, 202), await answer.text()
            sent += 1

    begun = time.perf_counter()
    await asyncio.gather(*(send(n) for n in range(SENDERS)))
    return sent / (time.perf_counter() - begun)


async def open_pages(http: aiohttp.ClientSession, url: str) -> None:
    """Fifty pages that follow the events: each hears a hint and asks for the list again, as the module does."""

    async def follow() -> None:
        async with http.get(f"{url}/live?t=events:payments@0", timeout=aiohttp.ClientTimeout(None)) as stream:
            async for line in stream.content:
                if line.startswith(b"data:"):
                    async with http.get(f"{url}/w/payments/events", headers={"X-Part": "main"}) as answer:
                        await answer.read()

    await asyncio.gather(*(follow() for _ in range(PAGES)))


async def beside_ingest(http: aiohttp.ClientSession, url: str, token: str) -> Figure:
    """What fifty open pages leave of the rate of ingest: without and with, in turn, as the machine wanders."""
    alone, beside = [], []
    await ingest(http, url, token)
    for _ in range(ROUNDS):
        alone.append(await ingest(http, url, token))
        pages = asyncio.create_task(open_pages(http, url))
        await asyncio.sleep(1)
        beside.append(await ingest(http, url, token))
        pages.cancel()
        await asyncio.gather(pages, return_exceptions=True)
    name = f"ingest with {PAGES} open event streams"
    return Figure(
        name,
        statistics.mean(beside),
        statistics.mean(alone),
        "events/s",
        KEPT,
        higher_is_better=True,
        note="floor: no page open",
    )


async def in_browser(url: str, secret: str, run: str) -> list[Figure]:
    """First load and readiness in Chromium, one page after the other with an empty cache."""
    path = shutil.which("chromium")
    if path is None:
        return []
    from playwright.async_api import async_playwright

    figures = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name in ("tasks", "automations", "runs", f"runs/{run}", "events", "dashboard"):
            ready, size = [], 0.0
            for _ in range(5):
                context = await browser.new_context()
                await context.add_cookies([{"name": COOKIE, "value": secret, "url": url}])
                page = await context.new_page()
                await page.goto(f"{url}/w/payments/{name}", wait_until="load")
                timing = "() => performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
                ready.append(await page.evaluate(timing))
                whole = "() => performance.getEntries().reduce((sum, e) => sum + (e.transferSize ?? 0), 0)"
                size = await page.evaluate(whole)
                await context.close()
            shown = name.split("/")[0] + ("/ID" if "/" in name else "")
            figures.append(
                Figure(f"{shown} interactive, median of 5", statistics.median(ready), None, "ms", INTERACTIVE_MS)
            )
            figures.append(Figure(f"{shown} first load", size / 1000, None, "kB", 100.0))
        await browser.close()
    return figures


async def measure() -> list[Figure]:
    """All of them, on one database."""
    with tempfile.TemporaryDirectory() as directory:
        async with served(Path(directory)) as (app, url):
            services = app.services
            sample = Sample(time.time(), tasks=10_000, events=100_000, runs=10_000, deliveries=5_000)
            await services.database.write(sample.fill)
            boss, _ = await services.accounts.first_start()
            secret = await services.accounts.open_session(boss.id)
            _, token = await services.tokens.create("bench", Scope.INGEST, sample.workspace, boss.id)  # type: ignore[arg-type]
            jar = aiohttp.CookieJar(unsafe=True)
            connector = aiohttp.TCPConnector(limit=0)
            async with aiohttp.ClientSession(cookie_jar=jar, connector=connector, cookies={COOKIE: secret}) as http:
                figures = await lists(http, url)
                figures.append(await timeline(app, http, url, sample.run_rows[-1]["id"]))
                figures += await in_browser(url, secret, sample.story["id"])
                figures.append(await beside_ingest(http, url, token))
    return figures
