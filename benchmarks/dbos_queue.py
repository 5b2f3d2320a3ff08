"""DBOS behind the port `RunQueue`: what decision 0501 measured, and why it was not taken.

Used by the contract suite of the port, which it passes, and nowhere in hookyard. One execution is one DBOS workflow,
started directly, noted before its body begins and again when it has ended. On SQLite DBOS has a file of its own beside
ours, so that its writes never wait for our writer; on PostgreSQL its tables stand in the schema `dbos` of the same
database. DBOS is one to a process, so there may be one open `DbosQueue` at a time.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from hookyard.core.errors import TemporaryError
from hookyard.core.ids import RunId, WorkerId
from hookyard.runs.queue import Body, Execution
from hookyard.store.engine import database_url, is_sqlite, make_engine

if TYPE_CHECKING:
    from dbos import DBOSConfig

APPLICATION_VERSION = "1"
"""Fixed: DBOS would take a hash of the source, and an upgrade would strand what the older version had started."""

_THREADS = 8
"""DBOS makes its pool the loop's default one, and would let it grow without end."""

_CONNECTIONS = 4
_LISTENER_SECONDS = 0.2
"""How long DBOS's listener, for which there is nothing to hear, may hold up the end of the process."""

Workflow = Callable[[str, int], Coroutine[Any, Any, None]]


def engine_url(url: str) -> URL:
    """Where the engine keeps its notes: `NAME.engine.db` beside a SQLite file, else the same database.

    The file may be deleted while no server runs: what is to be done stands in our own tables.
    """
    ours = database_url(url)
    if not is_sqlite(ours):
        return ours
    path = Path(ours.database or "")
    return ours.set(database=str(path.with_name(f"{path.stem}.engine.db")))


class DbosQueue:
    """Executes runs as DBOS workflows.

    Args:
        url: Our database.
        worker_id: Unique to this process and its start; DBOS's `executor_id`.
    """

    def __init__(self, url: str, worker_id: WorkerId) -> None:
        self._url = engine_url(url)
        self._worker_id = worker_id
        self._body: Body | None = None
        self._workflow: Workflow | None = None
        self._engine: Engine | None = None
        self._closing = False
        self._bodies: dict[Execution, asyncio.Task[Any]] = {}
        self._ended = asyncio.Event()

    async def open(self, body: Body) -> None:
        """Import and launch DBOS in a thread; see the port."""
        self._body = body
        try:
            await asyncio.to_thread(self._launch)
        except SQLAlchemyError as error:
            raise TemporaryError(
                "the engine's tables cannot be used", where=self._url.render_as_string(hide_password=True)
            ) from error

    def _launch(self) -> None:
        from dbos import DBOS, WorkflowSerializationFormat

        self._engine = open_notes(self._url)
        DBOS(config=self._config(self._engine))

        @DBOS.workflow(name="run", serialization_type=WorkflowSerializationFormat.PORTABLE)
        async def run(run_id: str, attempt: int) -> None:
            await self._run(Execution(RunId(run_id), attempt))

        self._workflow = run
        DBOS.launch()

    def _config(self, engine: Engine) -> DBOSConfig:
        return {
            "name": "hookyard",
            "system_database_url": self._url.render_as_string(hide_password=False),
            "system_database_engine": engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": self._worker_id,
            "max_executor_threads": _THREADS,
            # It serves messages between workflows, of which there are none.
            "use_listen_notify": False,
            "notification_listener_polling_interval_sec": _LISTENER_SECONDS,
            "enable_otlp": False,
            "log_level": "CRITICAL",  # what goes wrong in a body is told by the body, and else by what we raise
        }

    async def start(self, execution: Execution) -> bool:
        """Start a workflow under the execution's key; see the port."""
        from dbos import DBOS, SetWorkflowID
        from dbos import error as refusals

        if self._closing or self._workflow is None:
            raise TemporaryError("this worker does not take runs now", hint="try again", retry_after=2.0)
        try:
            with SetWorkflowID(execution.key, workflow_id_reuse_policy="reject"):
                await DBOS.start_workflow_async(self._workflow, execution.run_id, execution.attempt)
        except refusals.DBOSWorkflowIDInUseError:
            return False
        except (refusals.DBOSException, SQLAlchemyError) as error:
            raise TemporaryError(f"the engine could not note a run: {type(error).__name__}") from error
        return True

    async def _run(self, execution: Execution) -> None:
        """The workflow. It returns when the body has, cancelled or not: how it ended stands in our tables."""
        assert self._body is not None
        body = asyncio.ensure_future(self._body(execution))
        self._bodies[execution] = body
        try:
            await asyncio.wait([body])
        finally:
            del self._bodies[execution]
            self._ended.set()
        if not body.cancelled() and (error := body.exception()) is not None:
            raise error

    def cancel(self, run_id: RunId) -> bool:
        """Cancel the task of the body; see the port."""
        bodies = [body for execution, body in self._bodies.items() if execution.run_id == run_id]
        for body in bodies:
            body.cancel()
        return bool(bodies)

    def executing(self) -> Collection[Execution]:
        """What this worker executes; see the port."""
        return tuple(self._bodies)

    async def close(self, grace_seconds: float) -> None:
        """Drain, then destroy DBOS; see the port."""
        self._closing = True
        try:
            async with asyncio.timeout(grace_seconds):
                await self._drained()
        except TimeoutError:
            for body in list(self._bodies.values()):
                body.cancel()
            await self._drained()
        if self._engine is not None:
            await _in_a_thread(self._destroy)
            self._engine = None

    async def _drained(self) -> None:
        while self._bodies:
            self._ended.clear()
            await self._ended.wait()

    def _destroy(self) -> None:
        from dbos import DBOS

        assert self._engine is not None
        DBOS.destroy(destroy_registry=True)
        self._engine.dispose()


def open_notes(url: URL, synchronous: str = "NORMAL") -> Engine:
    """The database of the engine's notes, opened as DBOS needs it.

    On SQLite the driver begins the transactions (DBOS's migrations issue a BEGIN of their own), and a commit need not
    reach the disk before the next: after a loss of power our own tables say what is to be started again.
    """
    if not is_sqlite(url):
        return make_engine(url, connections=_CONNECTIONS)
    engine = create_engine(url, pool_size=_CONNECTIONS, max_overflow=0, pool_timeout=60)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = "IMMEDIATE"
        for pragma in ("journal_mode = WAL", f"synchronous = {synchronous}", "busy_timeout = 30000"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("PRAGMA foreign_keys = ON")

    return engine


async def _in_a_thread(call: Callable[[], None]) -> None:
    """Run in a thread that is not DBOS's, and give the loop back a default pool of its own."""
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4))
    loop.set_default_executor(pool)
    await loop.run_in_executor(pool, functools.partial(call))
