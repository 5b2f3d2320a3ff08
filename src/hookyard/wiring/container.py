"""What a server and a worker both stand on: the database at its newest version, the evaluators, the path of an event.

Opened by `wiring.running` and `wiring.working`.
"""

from __future__ import annotations

import asyncio
import logging
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hookyard.automations.callbacks import ConditionErrors
from hookyard.conditions.conditions import Conditions
from hookyard.core.clock import Clock, SystemClock
from hookyard.core.errors import PermanentError, UnavailableError
from hookyard.core.ids import Ids
from hookyard.events import integrations
from hookyard.events.event_types import EventTypes
from hookyard.hooks import formats
from hookyard.identity.tokens import Tokens
from hookyard.intake.accept import EventIntake
from hookyard.intake.merge import BatchMerger
from hookyard.settings import Settings
from hookyard.store import migrations
from hookyard.store.database import Database
from hookyard.store.live_settings import LiveSettingsStore
from hookyard.store.retention import Retention
from hookyard.store.secrets import SecretBox
from hookyard.telemetry import otlp
from hookyard.telemetry.traces import Traces
from hookyard.workspace.comments import Comments
from hookyard.workspace.integrations import Integrations
from hookyard.workspace.tasks import Tasks

logger = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0

START_SECONDS = 60.0
"""How long a server or a worker waits at its start for a PostgreSQL that cannot be reached."""

_WRONG = re.compile(r"does not exist|authentication|pg_hba|permission")  # no waiting helps against these


@dataclass(frozen=True, slots=True)
class Core:
    """The parts."""

    settings: Settings
    clock: Clock
    ids: Ids
    database: Database
    box: SecretBox
    live: LiveSettingsStore
    event_types: EventTypes
    conditions: Conditions
    accept: EventIntake
    traces: Traces | None
    tokens: Tokens
    tasks: Tasks
    comments: Comments
    sources: Integrations


def _log_unusable_plugins() -> None:
    """Name the third parties' formats and integrations that are left out; what relies on them fails closed."""
    for problem in (*formats.discovered().problems, *integrations.discovered().problems):
        logger.warning("%s", problem.message.sentence())


@asynccontextmanager
async def open_core(settings: Settings) -> AsyncIterator[Core]:
    """Open the core parts with their background tasks; they are closed in the opposite order at the end.

    Raises:
        HookyardError: What is in the way.
    """
    prepare_directory(settings.data)
    clock = SystemClock()
    ids = Ids(clock)
    fixed = settings.live()
    async with AsyncExitStack() as stack:
        database = stack.enter_context(Database(settings.database_url))
        await _when_there(database)
        database.listen()
        live = LiveSettingsStore(database, clock, fixed, settings.live)
        await live.load()
        event_types = EventTypes(database, clock)
        await event_types.load()
        conditions = Conditions(clock)
        stack.push_async_callback(conditions.close)
        await conditions.start()
        traces = await Traces.to_collector(database, clock) if otlp.wanted() else None
        if traces is not None:
            stack.push_async_callback(traces.close)
        stored = None if traces is None else traces.stored
        accept = EventIntake(
            database, clock, ids, conditions, lambda: live.current, ConditionErrors(database, clock), stored
        )
        box = SecretBox.open(settings.secret_key, settings.data)
        merger = BatchMerger(database, clock, ids, conditions, lambda: event_types.current, lambda: live.current)
        retention = Retention(database, clock, lambda: live.current)
        _log_unusable_plugins()
        await stack.enter_async_context(in_background(live.follow, event_types.follow, merger.run, retention.run))
        yield Core(
            settings=settings,
            clock=clock,
            ids=ids,
            database=database,
            box=box,
            live=live,
            event_types=event_types,
            conditions=conditions,
            accept=accept,
            traces=traces,
            tokens=Tokens(database, clock, ids),
            tasks=Tasks(database, accept, clock, ids),
            comments=Comments(database, accept, clock, ids),
            sources=Integrations(database, box, accept, clock, ids),
        )


async def _when_there(database: Database) -> None:
    """Bring the database to its newest version; one that is only away is waited for, as after the start of a machine.

    Raises:
        HookyardError: It cannot be used, or not within `START_SECONDS`.
    """
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            migrations.upgrade(database)
        except UnavailableError as error:
            if database.sqlite or _WRONG.search(error.what) or time.monotonic() >= until:
                raise
            logger.warning("the start waits for the database: %s", error)
            await asyncio.sleep(_RESTART_SECONDS)
        else:
            return


@asynccontextmanager
async def in_background(*works: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Run endless tasks around the block; one that fails is logged and restarted."""
    tasks = [asyncio.create_task(_supervise(work)) for work in works]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _supervise(work: Callable[[], Awaitable[object]]) -> None:
    while True:
        try:
            await work()
        except Exception:
            logger.exception("%s failed and is begun again", getattr(work, "__qualname__", work))
        await asyncio.sleep(_RESTART_SECONDS)


def prepare_directory(directory: Path) -> None:
    """Make the data folder if it is not there, and make sure that it can be written.

    Raises:
        PermanentError: It cannot.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".probe-"):
            pass
    except OSError as error:
        raise PermanentError(
            f"the data folder cannot be written: {error.strerror}",
            where=str(directory),
            hint="give another with --data",
        ) from None
