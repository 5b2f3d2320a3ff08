"""The only package that names concrete parts: `Settings` in, a running `App` out.

Called by `cli.serve` and `cli.worker`.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from starlette.types import ASGIApp

from hookyard.agents.model_keys import ModelKeys
from hookyard.automations.callbacks import Callbacks
from hookyard.automations.preview import PreviewService
from hookyard.identity.accounts import Accounts, User
from hookyard.intake.event_history import EventHistory
from hookyard.settings import Settings
from hookyard.telemetry import otlp
from hookyard.web.app import make_app
from hookyard.web.auth import Auth
from hookyard.web.lazy_app import LazyApp
from hookyard.web.pages import make_pages, respond
from hookyard.web.services import Services
from hookyard.wiring.container import Core, in_background, open_core
from hookyard.workspace.members import Members
from hookyard.workspace.workspaces import Workspaces

__all__ = ["App", "running", "working"]


@dataclass(frozen=True, slots=True)
class App:
    """A running server.

    Attributes:
        asgi: What an HTTP server serves.
        services: Its parts.
        created_admin: The administrator that this start has made, None on every later one.
    """

    asgi: ASGIApp
    services: Services
    created_admin: User | None

    async def first_link(self) -> str | None:
        """Return the secret of the one-time login link of a first start, None later."""
        return None if self.created_admin is None else await self.services.accounts.login_link(self.created_admin.id)


@asynccontextmanager
async def running(settings: Settings, *, work: bool = True, serving: asyncio.Event | None = None) -> AsyncIterator[App]:
    """Run a server with its background tasks; they are closed in the opposite order at the end.

    Args:
        settings: Where things are.
        work: Execute runs in this process too.
        serving: Set when requests are answered; the worker waits for it, so that no request waits for the worker. None:
            it begins at once.

    Raises:
        HookyardError: It cannot start; says what is in its way.
    """
    async with AsyncExitStack() as stack:
        ground = await stack.enter_async_context(open_core(settings))
        accounts = Accounts(ground.database, ground.clock, ground.ids)
        administrator, made = await accounts.first_start()
        services = _services(ground, accounts, administrator)
        if work:
            await stack.enter_async_context(in_background(lambda: _work(ground, serving)))
        if otlp.wanted():
            await stack.enter_async_context(in_background(services.metrics.export))
        asgi = make_app(services, pages=LazyApp(make_pages), page_error=respond)
        yield App(asgi, services, administrator if made else None)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """Run a worker without a server.

    Raises:
        HookyardError: It cannot start; says what is in its way.
    """
    from hookyard.wiring.worker import run_worker

    async with open_core(settings) as ground, run_worker(ground):
        yield


def _services(ground: Core, accounts: Accounts, administrator: User) -> Services:
    database, clock, ids = ground.database, ground.clock, ground.ids
    workspaces = Workspaces(database, clock, ids)
    return Services(
        settings=ground.settings,
        database=database,
        clock=clock,
        ids=ids,
        box=ground.box,
        live=ground.live,
        auth=Auth(ground.tokens, workspaces, clock, administrator, ground.settings.admin_token),
        accounts=accounts,
        tokens=ground.tokens,
        workspaces=workspaces,
        members=Members(database, ground.accept, clock, ids),
        tasks=ground.tasks,
        comments=ground.comments,
        sources=ground.sources,
        event_types=ground.event_types,
        callbacks=Callbacks(database, clock, ids, ground.conditions, lambda: ground.event_types.current),
        history=EventHistory(database, ground.accept, ground.conditions),
        preview=PreviewService(ground.conditions, lambda: ground.event_types.current),
        accept=ground.accept,
        model_keys=ModelKeys(database, ground.box, clock),
        conditions=ground.conditions,
    )


async def _work(ground: Core, serving: asyncio.Event | None) -> None:
    """Be a worker until cancelled."""
    if serving is not None:
        await serving.wait()
    # In a thread, so that requests are answered meanwhile.
    worker = await asyncio.to_thread(importlib.import_module, "hookyard.wiring.worker")
    async with worker.run_worker(ground):
        await asyncio.Event().wait()
