"""The webhooks that govern the runs of each workspace, and the record of what was delivered to them.

Made by `wiring`, used by `environments` for every run. A workspace's `Hooks` stay warm from run to run and are made
again when an administrator changes the workspace's webhooks; a run keeps those that it began with.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from hookyard.core.errors import HookyardError
from hookyard.core.ids import WorkspaceId
from hookyard.hooks.delivery.delivery_log import Delivery, DeliveryLog
from hookyard.hooks.delivery.sender import Sender
from hookyard.hooks.hooks import Hooks
from hookyard.store.database import Database, announce
from hookyard.store.schema import deliveries, webhooks
from hookyard.store.secrets import SecretBox

logger = logging.getLogger(__name__)


class _CachedHooks:
    """One workspace's hooks, and how many runs use them."""

    __slots__ = ("hooks", "stale", "users", "version")

    def __init__(self, hooks: Hooks, version: object) -> None:
        self.hooks = hooks
        self.version = version
        self.users = 0
        self.stale = False


@dataclass(frozen=True, slots=True)
class _Configured:
    """A workspace's webhooks as stored: what tells a change, and the entries."""

    version: tuple[tuple[str, float], ...]
    entries: tuple[dict[str, Any], ...]


class WorkspaceHooks:
    """The webhooks of every workspace.

    Args:
        database: Where administrators' webhooks are kept.
        box: Decrypts them.
        data: The data folder, whose `hooks.toml` applies to all workspaces.
        sender: What sends for the whole server.
        log: Keeps the deliveries.
    """

    def __init__(
        self,
        *,
        database: Database,
        box: SecretBox,
        data: Path,
        sender: Sender,
        log: DeliveryLog,
    ) -> None:
        self._database = database
        self._box = box
        self._data = data
        self._sender = sender
        self._log = log
        self._kept: dict[WorkspaceId, _CachedHooks] = {}
        self._for_all: Hooks | None = None  # the data folder's file alone, while no workspace had a run
        sender.background.on_unknown_origin = self._learn

    @asynccontextmanager
    async def using(self, workspace_id: WorkspaceId) -> AsyncIterator[Hooks]:
        """Open the hooks that apply to a run of a workspace, for as long as it lasts.

        Raises:
            HookyardError: Its webhooks cannot be read; a run must not start without its gates.
        """
        kept = await self._current(workspace_id)
        kept.users += 1
        try:
            yield kept.hooks
        finally:
            kept.users -= 1
            if kept.stale and kept.users == 0:
                await kept.hooks.aclose()

    async def _learn(self, origin: str) -> None:
        """Register the webhooks of background deliveries that an earlier process left pending."""
        workspace = origin.removeprefix("workspace ")
        if workspace != origin:
            await self._current(WorkspaceId(workspace))
        elif not self._kept and self._for_all is None:
            self._for_all = Hooks.for_server(self._data, self._sender, warn=logger.warning, log=self._log)

    async def close(self) -> None:
        """Deliver what is under way."""
        kept = list(self._kept.values())
        self._kept.clear()
        await asyncio.gather(*(one.hooks.aclose() for one in kept))

    async def _current(self, workspace_id: WorkspaceId) -> _CachedHooks:
        configured = await self._database.read(lambda conn: self._read(conn, workspace_id))
        kept = self._kept.get(workspace_id)
        if kept is not None and kept.version == configured.version:
            return kept
        hooks = Hooks.for_server(
            self._data,
            self._sender,
            webhooks=configured.entries,
            workspace_id=workspace_id,
            warn=logger.warning,
            log=self._log,
        )
        fresh = self._kept[workspace_id] = _CachedHooks(hooks, configured.version)
        if kept is not None:
            kept.stale = True
            if kept.users == 0:
                await kept.hooks.aclose()
        return fresh

    def _read(self, conn: Connection, workspace_id: WorkspaceId) -> _Configured:
        rows = conn.execute(
            select(webhooks.c.name, webhooks.c.updated_at, webhooks.c.config)
            .where(webhooks.c.workspace_id == workspace_id)
            .order_by(webhooks.c.created_at, webhooks.c.name)
        ).all()
        version = tuple((row.name, row.updated_at) for row in rows)
        kept = self._kept.get(workspace_id)
        if kept is not None and kept.version == version:
            return _Configured(version, ())
        return _Configured(version, tuple(json.loads(self._box.unseal(row.config)) for row in rows))


class DeliveryRecords:
    """Keeps the deliveries of runs in the database, for the pages. Implements
    `hooks.delivery.delivery_log.DeliveryLog`.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writing: set[asyncio.Task[None]] = set()

    def record(self, delivery: Delivery) -> None:
        """Keep a delivery, or its newer state; what is no run's is not kept here."""
        if not delivery.workspace_id:
            return
        task = asyncio.get_running_loop().create_task(self._store(delivery))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def close(self) -> None:
        """Wait until everything received is stored."""
        await asyncio.gather(*self._writing)

    async def _store(self, delivery: Delivery) -> None:
        try:
            await self._database.write_grouped(_store_all, delivery)
        except HookyardError as error:
            # The agent goes on: what a webhook decided is in the run's own timeline too.
            logger.warning("a delivery could not be recorded", extra={"delivery": delivery.id, "error": str(error)})


def _store_all(conn: Connection, kept: Sequence[Delivery]) -> Sequence[None]:
    newest = {delivery.id: delivery for delivery in kept}
    conn.execute(delete(deliveries).where(deliveries.c.id.in_(newest)))
    conn.execute(
        insert(deliveries),
        [
            {
                "id": delivery.id,
                "workspace_id": delivery.workspace_id,
                "webhook": delivery.webhook,
                "event": delivery.event,
                "run_id": delivery.run_id or None,
                "state": delivery.state.value,
                "result": delivery.result,
                "created_at": delivery.created_at,
                "duration_ms": sum(attempt.duration_ms for attempt in delivery.attempts),
                "details": json.dumps(asdict(delivery), ensure_ascii=False),
            }
            for delivery in newest.values()
        ],
    )
    announce(conn, *{f"deliveries:{delivery.workspace_id}" for delivery in newest.values()})
    return [None] * len(kept)
