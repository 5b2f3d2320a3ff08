"""The webhooks that administrators keep for one workspace: the keys of one `hooks.toml` entry each, encrypted.

Called by `web.api.webhooks` and the webhooks page; `runs.workspace_hooks` reads the rows. URL, headers and secrets go
in and are never shown again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from hookyard.core.clock import Clock
from hookyard.core.errors import ConflictError, InvalidError, NotFoundError, Problem
from hookyard.core.ids import WorkspaceId
from hookyard.core.validation import validate_name
from hookyard.hooks.config.entry import Checked, Entry, check
from hookyard.hooks.webhook import ConfigLocation, shown_url
from hookyard.store import schema
from hookyard.store.database import Database, announce
from hookyard.store.secrets import SecretBox

WRITE_ONLY = ("url", "headers", "secret")
"""Keys whose values may hold a secret; left out of a change, they stay as they are."""


@dataclass(frozen=True, slots=True)
class StoredWebhook:
    """A webhook as it may be shown.

    Attributes:
        name: Its name in its workspace.
        shown: The keys of its entry; of the URL what may be shown, of headers the names, of the secret nothing.
        has_secret: It signs its requests.
        created_at: Seconds since the epoch.
        updated_at: Seconds since the epoch.
    """

    name: str
    shown: Mapping[str, Any]
    has_secret: bool
    created_at: float
    updated_at: float


class WorkspaceWebhooks:
    """The webhooks of every workspace.

    Args:
        database: Where they are kept.
        box: Encrypts them.
        clock: Dates them.
    """

    def __init__(self, database: Database, box: SecretBox, clock: Clock) -> None:
        self._database = database
        self._box = box
        self._clock = clock

    async def list(self, workspace_id: WorkspaceId) -> Sequence[StoredWebhook]:
        """Return the webhooks of a workspace as they may be shown."""
        table = schema.webhooks
        query = select(table).where(table.c.workspace_id == workspace_id).order_by(table.c.name)
        rows = await self._database.read(lambda conn: conn.execute(query).all())
        return [self._kept(row.config, row.created_at, row.updated_at) for row in rows]

    async def entry(self, workspace_id: WorkspaceId, name: str) -> Mapping[str, Any]:
        """Return a whole entry, with its secrets, for a test delivery.

        Raises:
            NotFoundError: There is none of that name.
        """
        table = schema.webhooks
        query = select(table.c.config).where(table.c.workspace_id == workspace_id, table.c.name == name)
        sealed = await self._database.read(lambda conn: conn.execute(query).scalar())
        if sealed is None:
            raise NotFoundError("no such webhook", where=name[:100])
        entry: dict[str, Any] = json.loads(self._box.unseal(sealed))
        return entry

    async def put(
        self, workspace_id: WorkspaceId, name: str, given: Mapping[str, Any], *, new_only: bool = False
    ) -> tuple[StoredWebhook, bool]:
        """Make a webhook or change it, and whether it is new. Of `WRITE_ONLY` what is left out stays.

        Raises:
            InvalidError: It cannot be used; every problem with its key.
            ConflictError: `new_only`, and there is one of that name.
        """
        name = validate_name(name, "name")
        table, now = schema.webhooks, self._clock.now()
        mine = (table.c.workspace_id == workspace_id) & (table.c.name == name)

        def write(conn: Connection) -> tuple[StoredWebhook, bool]:
            old = conn.execute(select(table).where(mine)).first()
            if old is not None and new_only:
                raise ConflictError("there is a webhook of that name", where=name, hint="change it with PUT")
            before = {} if old is None else json.loads(self._box.unseal(old.config))
            kept = {key: before[key] for key in WRITE_ONLY if key in before and key not in given}
            entry = {**kept, **given, "name": name}
            refuse(workspace_id, entry)
            sealed = self._box.seal(json.dumps(entry))
            if old is None:
                row = {"workspace_id": workspace_id, "name": name, "created_at": now}
                conn.execute(insert(table).values(config=sealed, updated_at=now, **row))
            else:
                conn.execute(update(table).where(mine).values(config=sealed, updated_at=now))
            announce(conn, topic(workspace_id))
            return self._kept(sealed, now if old is None else old.created_at, now), old is None

        return await self._database.write(write)

    async def remove(self, workspace_id: WorkspaceId, name: str) -> None:
        """Forget a webhook.

        Raises:
            NotFoundError: There is none of that name.
        """
        table = schema.webhooks

        def write(conn: Connection) -> None:
            gone = delete(table).where(table.c.workspace_id == workspace_id, table.c.name == name)
            if conn.execute(gone).rowcount == 0:
                raise NotFoundError("no such webhook", where=name)
            announce(conn, topic(workspace_id))

        await self._database.write(write)

    def _kept(self, sealed: bytes, created_at: float, updated_at: float) -> StoredWebhook:
        entry = json.loads(self._box.unseal(sealed))
        shown = {key: value for key, value in entry.items() if key not in WRITE_ONLY}
        shown["url"] = shown_url(entry["url"])
        shown["headers"] = sorted(entry.get("headers", {}))
        return StoredWebhook(entry["name"], shown, bool(entry.get("secret")), created_at, updated_at)


def topic(workspace_id: WorkspaceId) -> str:
    """Return the topic that is signalled when a workspace's webhooks have changed."""
    return f"webhooks:{workspace_id}"


def refuse(workspace_id: str, entry: Mapping[str, Any]) -> Checked:
    """Check an entry.

    Raises:
        InvalidError: It cannot be used.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HOOKYARD_")}
    batched = "batch_size" in entry or "flush_interval_ms" in entry
    checked = check(Entry(entry, ConfigLocation(f"workspace {workspace_id}"), batched=batched), environ)
    wrong = tuple(Problem(problem.key, problem.message) for problem in checked.problems if problem.severity == "error")
    if wrong:
        raise InvalidError("the webhook cannot be used", where=str(entry.get("name", ""))[:100], problems=wrong)
    return checked
