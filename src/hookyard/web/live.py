"""Live pages: one stream of server-sent events a browser, with the topics that its open tabs follow.

`GET /live?t=run:ID@SEQ&t=runs:WS` follows a run's timeline from an entry on, and hears that a workspace's runs or
events have changed. What a page is sent comes from the database; signals only say when to look (another server may have
written it). One feed a topic serves all streams of the process: an item is rendered once a language, however many
watch. A stream that cannot keep up is closed; its reader comes back and goes on where it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from hookyard.core.errors import HookyardError, UnauthenticatedError
from hookyard.web import sessions
from hookyard.web.pages import render
from hookyard.web.pages.language import Language, language
from hookyard.web.pages.page_context import PageContext
from hookyard.web.pages.queries import runs as queries
from hookyard.web.pages.timeline import Assembly, TimelineItem
from hookyard.web.services import Services
from hookyard.web.sessions import PageSession

HINT_SECONDS = 2.0
"""Least time between two hints to one reader that a list has changed."""

SPREAD_SECONDS = 0.25
"""Between the hints to two readers: each asks for its list again, and fifty must not ask at once."""

STREAM_SECONDS = 300.0
"""A stream ends after this; the browser opens the next one, and its session is looked at again."""

MISSED = 500
"""Items of a run that a reader is given when it comes, the newest; its page shows no more either."""

PING_SECONDS = 15.0
"""Between two signs of life, which carry it in milliseconds; a browser that waits three times as long opens its stream
again."""

_WAITING = 500
_TOPICS = 50
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}


@dataclass(eq=False)
class StreamClient:
    """One stream.

    Attributes:
        language: Of what it is sent.
        messages: What waits to be sent; None ends the stream.
    """

    language: Language
    messages: asyncio.Queue[str | None] = field(default_factory=lambda: asyncio.Queue(_WAITING))

    def give(self, message: str) -> None:
        """Send something; a reader that does not read is let go."""
        try:
            self.messages.put_nowait(message)
        except asyncio.QueueFull:
            with contextlib.suppress(asyncio.QueueEmpty):
                self.messages.get_nowait()
            self.messages.put_nowait(None)


class Feed:
    """Hints that the rows behind a topic have changed.

    Args:
        services: The parts of the server.
        topic: `runs:WS` or `events:WS`.
    """

    def __init__(self, services: Services, topic: str) -> None:
        self.services = services
        self.topic = topic
        self.readers: set[StreamClient] = set()
        self.task: asyncio.Task[None] | None = None
        self.subscribed = asyncio.Event()
        self.joining = 0

    async def join(self, reader: StreamClient, after: int) -> None:
        """Add a reader and ask it to look once: what changed after its page was rendered was not sent to it."""
        self.readers.add(reader)
        await self.watch()
        reader.give(json.dumps({"topic": self.topic}))

    async def watch(self) -> None:
        """Start the task that waits for signals, unless it runs; return when no later signal can be missed."""
        if self.task is None or self.task.done():
            self.subscribed.clear()
            self.task = asyncio.create_task(self.run())
        await self.subscribed.wait()

    def leave(self, reader: StreamClient) -> None:
        """Let a reader go; the last one ends the feed."""
        self.readers.discard(reader)
        if not self.readers and not self.joining and self.task is not None:
            self.task.cancel()
            self.task = None

    async def run(self) -> None:
        """Watch until no reader is left."""
        message = json.dumps({"topic": self.topic})
        with self.services.database.signals.subscribe(self.topic) as woken:
            self.subscribed.set()
            while True:
                if await woken.wait(60):
                    begun = asyncio.get_running_loop().time()
                    for reader in list(self.readers):
                        reader.give(message)
                        await asyncio.sleep(SPREAD_SECONDS)
                    await asyncio.sleep(begun + HINT_SECONDS - asyncio.get_running_loop().time())


class RunFeed(Feed):
    """The timeline of one run, as it grows.

    Args:
        services: The parts of the server.
        topic: `run:ID`.
    """

    def __init__(self, services: Services, topic: str) -> None:
        super().__init__(services, topic)
        self.run_id = topic.partition(":")[2]
        self.assembly = Assembly()
        self.begun = 0.0
        self.base = ""
        self.over = False
        self.looking = asyncio.Lock()

    async def join(self, reader: StreamClient, after: int) -> None:
        """Take in a reader, and give it what it has not seen."""
        self.joining += 1
        try:
            await self.watch()
            over = self.over
            news = await self.look()
        finally:
            self.joining -= 1
        if news or self.over != over:
            self.tell_all(news)  # the task will not find again what this look has found
        missed = [item for item in self.assembly.items.values() if item.seq > after][-MISSED:]
        reader.give(self.message(missed, reader.language))
        self.readers.add(reader)

    async def look(self) -> list[TimelineItem]:
        """Read what is new; the items that it changed."""
        async with self.looking:
            seq = self.assembly.seq

            def read(conn: Any) -> tuple[queries.RunProgress | None, list[queries.TimelineEntry]]:
                # The standing first: a run that has ended has all its entries.
                return queries.standing(conn, self.run_id), queries.entries(conn, self.run_id, seq)

            standing, entries = await self.services.database.read(read)
            if standing is None:
                self.over = True
                return []
            self.begun = standing.started_at or standing.queued_at
            self.base = f"/w/{standing.workspace_id}"
            self.over = standing.status not in queries.ALIVE
            return self.assembly.add(entries)

    def message(self, items: list[TimelineItem], spoken: Language) -> str:
        """Return a message with items as they are on the page."""
        context = {"l": spoken, "t": spoken.t, "csrf": "", "base": self.base}
        drawn = [
            (item.key, str(render.part("timeline.html", "item", item, self.begun, False, **context))) for item in items
        ]
        return json.dumps(
            {"topic": self.topic, "seq": self.assembly.seq, "items": drawn, "over": self.over}, ensure_ascii=False
        )

    async def run(self) -> None:
        """Watch until the run is over or no reader is left."""
        with self.services.database.signals.subscribe(self.topic) as woken:
            self.subscribed.set()
            while not self.over:
                await woken.wait(30)
                before = self.over
                items = await self.look()
                if not items and self.over == before:
                    self.tell_all(None)
                    continue
                self.tell_all(items)

    def tell_all(self, items: list[TimelineItem] | None) -> None:
        """Send items to every reader; None says only that something about the run has changed."""
        drawn: dict[tuple[str, str], str] = {}
        for reader in list(self.readers):
            key = (reader.language.code, reader.language.zone.key)
            if key not in drawn:
                drawn[key] = self.message(items or [], reader.language)
            reader.give(drawn[key])


_FEEDS: WeakKeyDictionary[object, dict[str, Feed]] = WeakKeyDictionary()


def feed_of(services: Services, topic: str) -> Feed:
    """Return the one feed of a topic in this process."""
    feeds = _FEEDS.setdefault(services.database, {})
    for name in [name for name, feed in feeds.items() if not feed.readers and not feed.joining and name != topic]:
        del feeds[name]
    if topic not in feeds:
        feeds[topic] = RunFeed(services, topic) if topic.startswith("run:") else Feed(services, topic)
    return feeds[topic]


async def stream(request: Request) -> Response:
    """Serve the stream of a page."""
    visit = PageContext(request)
    visit.session = await sessions.find(request)
    if visit.session is None:
        raise UnauthenticatedError("sign in to follow this")
    reader = StreamClient(language(visit.language.code, visit.language.zone.key, 0.0))
    feeds = []
    for asked in request.query_params.getlist("t")[:_TOPICS]:
        topic, _, after = asked.partition("@")
        if await _may_follow(visit.services, visit.session, topic):
            feeds.append((feed_of(visit.services, topic), int(after) if after.isascii() and after.isdigit() else -1))
    return StreamingResponse(_events(reader, feeds), media_type="text/event-stream", headers=_HEADERS)


async def _may_follow(services: Services, session: PageSession, topic: str) -> bool:
    """Return whether the reader may know of a topic's subject."""
    kind, _, key = topic.partition(":")
    try:
        if kind == "run":
            standing = await services.database.read(lambda conn: queries.standing(conn, key))
            if standing is None:
                return False
            key = standing.workspace_id
        elif kind not in ("runs", "events"):
            return False
        await services.auth.workspace(session.principal, key)
    except HookyardError:
        return False
    return True


async def _events(reader: StreamClient, feeds: list[tuple[Feed, int]]) -> AsyncIterator[str]:
    try:
        for feed, after in feeds:
            await feed.join(reader, after)
        ping = f"event: ping\ndata: {round(PING_SECONDS * 1000)}\n\n"
        yield f"retry: 1000\n\n{ping}"
        loop = asyncio.get_running_loop()
        end = loop.time() + STREAM_SECONDS
        while (left := end - loop.time()) > 0:
            try:
                message = await asyncio.wait_for(reader.messages.get(), min(PING_SECONDS, left))
            except TimeoutError:
                yield ping
                continue
            if message is None:
                return
            yield f"data: {message}\n\n"
    finally:
        for feed, _ in feeds:
            feed.leave(reader)
