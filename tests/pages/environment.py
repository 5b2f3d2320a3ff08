"""A server with sample data for the tests of the pages: the product as `wiring` puts it together, on a real port."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import uvicorn

from hookyard.core.errors import HookyardError
from hookyard.core.ids import WorkspaceId
from hookyard.settings import Settings
from hookyard.web.services import Services
from hookyard.wiring import App, running
from scripts.sample_data import AGENTS, WEBHOOKS, Sample

T = TypeVar("T")
READY_SECONDS = 60


@dataclass
class PagesEnvironment:
    """A running server.

    Attributes:
        url: Its address.
        app: The product.
        samples: The data of its workspaces, by id.
        boss: Secret of a session of the administrator.
        member: Secret of a session of a member of the first workspace.
        stranger: Secret of a session of somebody who is a member of no workspace.
        loop: Where it runs.
    """

    url: str
    app: App
    samples: dict[str, Sample]
    boss: str
    member: str
    stranger: str
    loop: asyncio.AbstractEventLoop

    @property
    def services(self) -> Services:
        """The parts of the server."""
        return self.app.services

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(READY_SECONDS)


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config, ready: threading.Event) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class _Thread(threading.Thread):
    """The loop of a server, in a thread of its own."""

    def __init__(self, settings: Settings, *, work: bool) -> None:
        super().__init__(daemon=True)
        self.settings = settings
        self.work = work
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.error: BaseException | None = None
        self.app: App
        self.server: uvicorn.Server

    def run(self) -> None:
        try:
            self.loop.run_until_complete(self._serve())
        except BaseException as error:
            self.error = error
        finally:
            self.ready.set()
            self.loop.close()

    async def _serve(self) -> None:
        async with running(self.settings, work=self.work) as self.app:
            config = uvicorn.Config(self.app.asgi, "127.0.0.1", 0, log_level="warning", timeout_graceful_shutdown=1)
            self.server = _Server(config, self.ready)
            await self.server.serve()


@contextmanager
def world(directory: Path, *samples: Sample, work: bool = False) -> Iterator[PagesEnvironment]:
    """Serve the samples from a data folder, with a worker that executes runs or without."""
    thread = _Thread(Settings.load({"HOOKYARD_HOME": str(directory)}), work=work)
    thread.start()
    if not thread.ready.wait(READY_SECONDS) or thread.error:
        raise RuntimeError("the server did not start") from thread.error
    port = thread.server.servers[0].sockets[0].getsockname()[1]
    services = thread.app.services
    for sample in samples:
        services.database.write_sync(sample.fill)

    async def people() -> tuple[str, str, str]:
        accounts = services.accounts
        for name, config in AGENTS.items():
            with suppress(HookyardError):  # a kind that this machine cannot run
                await services.agent_profiles.create(name, config)
        for sample in samples:
            for hook in () if sample.bare else WEBHOOKS:
                await services.webhooks.put(WorkspaceId(sample.workspace), hook["name"], hook)
        boss, _ = await accounts.first_start()
        stranger = await accounts.create("stranger", "Stranger")
        member = samples[0].user_ids[0] if samples else boss.id
        return (
            await accounts.open_session(boss.id),
            await accounts.open_session(member),  # type: ignore[arg-type]
            await accounts.open_session(stranger.id),
        )

    try:
        secrets = asyncio.run_coroutine_threadsafe(people(), thread.loop).result(READY_SECONDS)
        yield PagesEnvironment(
            f"http://127.0.0.1:{port}", thread.app, {s.workspace: s for s in samples}, *secrets, thread.loop
        )
    finally:
        thread.server.should_exit = True
        thread.join(READY_SECONDS)
