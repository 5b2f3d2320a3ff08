"""The only file that names concrete parts: `Settings` in, a running `App` out.

Called by `cli.serve` and `cli.worker`.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from starlette.types import ASGIApp

from hookyard.callbacks.accept import Accept
from hookyard.callbacks.condition import Conditions
from hookyard.callbacks.event_types import EventTypes
from hookyard.callbacks.history import History
from hookyard.callbacks.merge import Merger
from hookyard.callbacks.model import Callbacks, ConditionErrors
from hookyard.callbacks.preview import Preview
from hookyard.clock import Clock, SystemClock
from hookyard.errors import PermanentError
from hookyard.events.model import Draft
from hookyard.ids import Ids, RunId, WorkspaceId
from hookyard.runs.model_keys import ModelKeys, ProviderEnvironment
from hookyard.settings import Settings
from hookyard.store import migrations
from hookyard.store.database import Database
from hookyard.store.live_settings import LiveSettingsStore
from hookyard.store.retention import Retention
from hookyard.store.secrets import SecretBox
from hookyard.web import otlp
from hookyard.web.agent_profiles import AgentProfiles
from hookyard.web.app import make_app
from hookyard.web.auth import Auth
from hookyard.web.pages import respond, routes
from hookyard.web.services import Services
from hookyard.web.traces import Traces
from hookyard.web.webhooks import WorkspaceWebhooks
from hookyard.workspace.accounts import Accounts, User
from hookyard.workspace.agent_tools import AgentTools, run_actor
from hookyard.workspace.comments import Comments
from hookyard.workspace.members import Members
from hookyard.workspace.sources import Sources
from hookyard.workspace.tasks import Tasks
from hookyard.workspace.tokens import Tokens
from hookyard.workspace.workspaces import Workspaces

if TYPE_CHECKING:
    from hookyard.runs.worker import Worker

log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0

_GRACE_SECONDS = 3.0
"""How long runs may go on when the process is told to stop; what is not done by then starts again elsewhere."""


@dataclass(frozen=True, slots=True)
class App:
    """A running server.

    Attributes:
        asgi: What an HTTP server serves.
        services: Its parts.
        newcomer: The administrator that this start has made, None on every later one.
    """

    asgi: ASGIApp
    services: Services
    newcomer: User | None

    async def first_link(self) -> str | None:
        """The secret of the one-time login link of a first start, None later."""
        return None if self.newcomer is None else await self.services.accounts.login_link(self.newcomer.id)


@dataclass(frozen=True, slots=True)
class Ground:
    """What a server and a worker both stand on."""

    settings: Settings
    clock: Clock
    ids: Ids
    db: Database
    box: SecretBox
    live: LiveSettingsStore
    event_types: EventTypes
    conditions: Conditions
    accept: Accept
    traces: Traces | None
    tokens: Tokens
    tasks: Tasks
    comments: Comments
    sources: Sources


@asynccontextmanager
async def running(settings: Settings, *, work: bool = True) -> AsyncIterator[App]:
    """A server with everything that works in its background; closed in the opposite order at the end.

    Args:
        settings: Where things are.
        work: Execute runs in this process too.

    Raises:
        HookyardError: It cannot start; says what is in its way.
    """
    async with AsyncExitStack() as stack:
        ground = await stack.enter_async_context(_ground(settings))
        accounts = Accounts(ground.db, ground.clock, ground.ids)
        administrator, made = await accounts.first_start()
        services = _services(ground, accounts, administrator)
        if work:
            # Beside, not before: the engine takes a second to be imported, and a server is ready without it.
            await stack.enter_async_context(in_background(lambda: _work(ground)))
        if otlp.wanted():
            await stack.enter_async_context(in_background(services.metrics.export))
        yield App(make_app(services, pages=routes(), page_error=respond), services, administrator if made else None)


@asynccontextmanager
async def working(settings: Settings) -> AsyncIterator[None]:
    """A worker without a server.

    Raises:
        HookyardError: It cannot start; says what is in its way.
    """
    async with _ground(settings) as ground, _worker(ground):
        yield


@asynccontextmanager
async def _ground(settings: Settings) -> AsyncIterator[Ground]:
    prepare_folder(settings.data)
    clock = SystemClock()
    ids = Ids(clock)
    fixed = settings.live()
    async with AsyncExitStack() as stack:
        db = stack.enter_context(Database(settings.database_url))
        migrations.upgrade(db)
        db.listen()
        live = LiveSettingsStore(db, clock, fixed)
        await live.load()
        event_types = EventTypes(db, clock)
        await event_types.load()
        conditions = Conditions(clock)
        stack.push_async_callback(conditions.close)
        await conditions.start()
        traces = await Traces.to_collector(db, clock) if otlp.wanted() else None
        if traces is not None:
            stack.push_async_callback(traces.close)
        stored = None if traces is None else traces.stored
        accept = Accept(db, clock, ids, conditions, lambda: live.current, ConditionErrors(db, clock), stored)
        box = SecretBox.open(settings.secret_key, settings.data)
        merger = Merger(db, clock, ids, conditions, lambda: event_types.current, lambda: live.current)
        retention = Retention(db, clock, lambda: live.current)
        await stack.enter_async_context(in_background(live.follow, event_types.follow, merger.run, retention.run))
        yield Ground(
            settings=settings,
            clock=clock,
            ids=ids,
            db=db,
            box=box,
            live=live,
            event_types=event_types,
            conditions=conditions,
            accept=accept,
            traces=traces,
            tokens=Tokens(db, clock, ids),
            tasks=Tasks(db, accept, clock, ids),
            comments=Comments(db, accept, clock, ids),
            sources=Sources(db, box, accept, clock, ids),
        )


def _services(ground: Ground, accounts: Accounts, administrator: User) -> Services:
    db, clock, ids = ground.db, ground.clock, ground.ids
    workspaces = Workspaces(db, clock, ids)
    return Services(
        settings=ground.settings,
        db=db,
        clock=clock,
        ids=ids,
        live=ground.live,
        auth=Auth(ground.tokens, workspaces, clock, administrator, ground.settings.admin_token),
        accounts=accounts,
        tokens=ground.tokens,
        workspaces=workspaces,
        members=Members(db, ground.accept, clock, ids),
        tasks=ground.tasks,
        comments=ground.comments,
        sources=ground.sources,
        event_types=ground.event_types,
        callbacks=Callbacks(db, clock, ids, ground.conditions, lambda: ground.event_types.current),
        history=History(db, ground.accept, ground.conditions),
        preview=Preview(ground.conditions, lambda: ground.event_types.current),
        agent_profiles=AgentProfiles(db, clock),
        webhooks=WorkspaceWebhooks(db, ground.box, clock),
        accept=ground.accept,
        model_keys=ModelKeys(db, ground.box, clock),
        conditions=ground.conditions,
    )


@asynccontextmanager
async def _worker(ground: Ground) -> AsyncIterator[Worker]:
    """The worker of this process, admitting runs."""
    # Imported here: a server is ready before it has these, and one that leaves the runs to others needs none of them.
    from hookyard.agents.base import Parts
    from hookyard.bridge.governor import Governor
    from hookyard.hooks.facade import server_sender
    from hookyard.runs.engine import TaskQueue
    from hookyard.runs.execute import Executor
    from hookyard.runs.governing import DeliveryRecords, WorkspaceHooks
    from hookyard.runs.liveness import liveness_for
    from hookyard.runs.tokens import TokensOfRuns
    from hookyard.runs.worker import Worker
    from hookyard.runs.workplaces import ProfileWorkplaces
    from hookyard.workspace.post_back import PostBack

    settings, db, clock = ground.settings, ground.db, ground.clock
    async with AsyncExitStack() as stack:
        records = DeliveryRecords(db)
        stack.push_async_callback(records.close)
        traces = ground.traces
        kept = records if traces is None else traces.beside(records)
        sender = server_sender(
            settings.data,
            allow=settings.allow_private_hosts,
            proxy=settings.egress_proxy,
            warn=log.warning,
            log=kept,
            traceparent=None if traces is None else traces.traceparent,
        )
        stack.push_async_callback(sender.aclose)
        hooks = WorkspaceHooks(
            database=db,
            box=ground.box,
            data=settings.data,
            sender=sender,
            log=kept,
        )
        stack.push_async_callback(hooks.close)
        sender.background.resume()
        tokens = TokensOfRuns(ground.tokens)
        executor = Executor(
            database=db,
            clock=clock,
            workplaces=ProfileWorkplaces(
                database=db,
                hooks=hooks,
                tools=lambda claim, name: _task_tools(ground, claim.workspace_id, claim.run_id, name),
                parts=Parts(default_model=settings.model, egress=sender.egress, governor=Governor(), clock=clock),
                scratch=settings.data / "work",
                environment=ProviderEnvironment(ModelKeys(db, ground.box, clock), os.environ).current,
            ),
            emit=lambda workspace_id, draft, apply: _emit(ground.accept, workspace_id, draft, apply),
            tokens=tokens,
            live=lambda: ground.live.current,
            api_url=lambda: settings.url,
            follow=traces,
        )
        worker_id = ground.ids.worker()
        worker = Worker(
            worker_id=worker_id,
            database=db,
            clock=clock,
            queue=TaskQueue(),
            executor=executor,
            tokens=tokens,
            live=lambda: ground.live.current,
            liveness=liveness_for(settings.database_url, clock),
        )
        await worker.start()
        try:
            post_back = PostBack(db, ground.sources, sender.egress.send, clock)
            async with in_background(post_back.run):
                yield worker
        finally:
            await worker.stop(_GRACE_SECONDS)


async def _work(ground: Ground) -> None:
    """Be a worker until cancelled."""
    async with _worker(ground):
        await asyncio.Event().wait()


async def _task_tools(ground: Ground, workspace_id: WorkspaceId, run_id: RunId, name: str) -> AgentTools:
    actor = await run_actor(ground.db, workspace_id, run_id, name)
    return AgentTools(ground.tasks, ground.comments, workspace_id, actor)


async def _emit(accept: Accept, workspace_id: WorkspaceId, draft: Draft, apply: Callable[[Connection], None]) -> None:
    await accept.accept(workspace_id, (draft,), apply=apply)


@asynccontextmanager
async def in_background(*works: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Endless works beside what happens inside; one that fails is logged and begun again."""
    tasks = [asyncio.create_task(_again_and_again(work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again_and_again(work: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await work()
        except Exception:
            log.exception("%s failed and is begun again", getattr(work, "__qualname__", work))
        await asyncio.sleep(_RESTART_SECONDS)


def prepare_folder(folder: Path) -> None:
    """Make the data folder if it is not there, and make sure that it can be written.

    Raises:
        PermanentError: It cannot.
    """
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PermanentError(
            f"the data folder cannot be written: {error.strerror}", where=str(folder), mend="give another with --data"
        ) from None
