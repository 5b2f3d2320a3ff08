"""Callbacks as people keep them: made, changed, listed, compared, rolled back. Every change is a version.

Called by the API, the pages and `hookyard callbacks`. A change moves the workspace's revision, by which `intake.accept`
notices that its index is out of date, in whatever process.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, insert, select, update

from hookyard.automations.checks import check_parts
from hookyard.callbacks.spec import CallbackSpec
from hookyard.conditions.conditions import Conditions
from hookyard.core.clock import Clock
from hookyard.core.errors import ConflictError, InvalidError, NotFoundError, Problem
from hookyard.core.ids import CallbackId, Ids, WorkspaceId
from hookyard.events.catalog import Catalog
from hookyard.events.model import Event
from hookyard.intake.batches import close_batches, lock_workspaces
from hookyard.store import schema
from hookyard.store.database import Database, announce


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as it is now.

    Attributes:
        id: `cb_…`.
        workspace_id: Its workspace.
        version: From 1.
        spec: What it says.
        created_by: Who made it.
        created_at: Seconds since the epoch.
        updated_at: Seconds since the epoch.
        condition_error: The last event that its condition could not be judged on: at, eventId, message; or None.
    """

    id: CallbackId
    workspace_id: WorkspaceId
    version: int
    spec: CallbackSpec
    created_by: str
    created_at: float
    updated_at: float
    condition_error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class CallbackVersion:
    """One version of a callback.

    Attributes:
        number: From 1.
        spec: What it said.
        author: Who made it.
        created_at: Seconds since the epoch.
    """

    number: int
    spec: CallbackSpec
    author: str
    created_at: float


class Callbacks:
    """The callbacks of all workspaces.

    Args:
        database: Where they are.
        clock: Dates changes.
        ids: Makes ids.
        conditions: Checks them.
        catalog: The event types known now.
    """

    def __init__(
        self, database: Database, clock: Clock, ids: Ids, conditions: Conditions, catalog: Callable[[], Catalog]
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._conditions = conditions
        self._catalog = catalog

    async def check(self, spec: CallbackSpec) -> list[Problem]:
        """Return the problems of a callback: errors, and warnings about what is odd."""
        return await self.check_parts(spec.events, spec.prompt, spec.condition, spec.concurrency_key)

    async def check_parts(
        self, events: Sequence[str], prompt: str, condition: str, concurrency_key: str | None = None
    ) -> list[Problem]:
        """Return the problems of the parts of a callback that is being edited."""
        return await check_parts(events, prompt, condition, concurrency_key, self._conditions, self._catalog())

    async def create(self, workspace_id: WorkspaceId, spec: CallbackSpec, *, author: str) -> Callback:
        """Make a callback.

        Raises:
            InvalidError: It cannot be saved; every problem with its place.
            NotFoundError: No such workspace.
        """
        await self.reject_invalid(spec)
        now = self._clock.now()
        made = Callback(self._ids.callback(), workspace_id, 1, spec, author, now, now)

        def store(conn: Connection) -> None:
            announce_change(conn, workspace_id)
            conn.execute(
                insert(schema.callbacks).values(
                    id=made.id, workspace_id=workspace_id, name=spec.name, enabled=spec.enabled, version=1,
                    spec=spec.dump(), created_by=author, created_at=now, updated_at=now,
                )
            )  # fmt: skip
            _store_version(conn, made, author)

        await self._database.write(store)
        return made

    async def replace(
        self,
        workspace_id: WorkspaceId,
        callback_id: CallbackId,
        spec: CallbackSpec,
        *,
        author: str,
        expected_version: int | None = None,
    ) -> Callback:
        """Change a callback; the same text again changes nothing.

        Args:
            workspace_id: Its workspace.
            callback_id: The callback.
            spec: What it is to say.
            author: Who changes it.
            expected_version: Reject the change if another one was made since that version.

        Raises:
            InvalidError: It cannot be saved.
            NotFoundError: No such callback in the workspace.
            ConflictError: It is of another version than expected.
        """
        await self.reject_invalid(spec)
        now = self._clock.now()

        def store(conn: Connection) -> Callback:
            announce_change(conn, workspace_id)
            before = get_callback(conn, workspace_id, callback_id)
            if expected_version is not None and before.version != expected_version:
                raise ConflictError(
                    f"somebody else has changed it: it is version {before.version} now",
                    where=callback_id,
                    hint="look at the newest version and change that",
                )
            if before.spec == spec:
                return before
            after = Callback(
                before.id, workspace_id, before.version + 1, spec, before.created_by, before.created_at, now
            )
            table = schema.callbacks
            conn.execute(
                update(table).where(table.c.id == callback_id).values(
                    name=spec.name, enabled=spec.enabled, version=after.version, spec=spec.dump(), updated_at=now,
                    condition_error=None,
                )
            )  # fmt: skip
            _store_version(conn, after, author)
            close_batches(conn, callback_id, now, "edited")
            return after

        return await self._database.write(store)

    async def delete(self, workspace_id: WorkspaceId, callback_id: CallbackId) -> None:
        """Delete a callback; its runs and versions stay until they are pruned.

        Raises:
            NotFoundError: No such callback in the workspace.
        """
        now = self._clock.now()

        def store(conn: Connection) -> None:
            announce_change(conn, workspace_id)
            get_callback(conn, workspace_id, callback_id)
            conn.execute(update(schema.callbacks).where(schema.callbacks.c.id == callback_id).values(deleted_at=now))
            close_batches(conn, callback_id, now, "edited")

        await self._database.write(store)

    async def get(self, workspace_id: WorkspaceId, callback_id: CallbackId) -> Callback:
        """Return one callback.

        Raises:
            NotFoundError: No such callback in the workspace.
        """
        return await self._database.read(lambda conn: get_callback(conn, workspace_id, callback_id))

    async def list(
        self, workspace_id: WorkspaceId, *, limit: int = 1000, after: str | None = None
    ) -> Sequence[Callback]:
        """Return the callbacks of a workspace, oldest first.

        Args:
            workspace_id: The workspace.
            limit: At most so many.
            after: Only those with a larger id.
        """

        def read(conn: Connection) -> Sequence[Callback]:
            table = schema.callbacks
            query = select(table).where(table.c.workspace_id == workspace_id, table.c.deleted_at.is_(None))
            if after is not None:
                query = query.where(table.c.id > after)
            return [_callback(row) for row in conn.execute(query.order_by(table.c.id).limit(limit)).mappings()]

        return await self._database.read(read)

    async def versions(self, workspace_id: WorkspaceId, callback_id: CallbackId) -> Sequence[CallbackVersion]:
        """Return all versions, newest first; of deleted callbacks too.

        Raises:
            NotFoundError: No such callback in the workspace.
        """

        def read(conn: Connection) -> Sequence[CallbackVersion]:
            table = schema.callback_versions
            rows = conn.execute(
                select(table)
                .where(table.c.workspace_id == workspace_id, table.c.callback_id == callback_id)
                .order_by(table.c.version.desc())
            ).mappings()
            return [
                CallbackVersion(row["version"], CallbackSpec.load(row["spec"]), row["author"], row["created_at"])
                for row in rows
            ]

        found = await self._database.read(read)
        if not found:
            raise NotFoundError("there is no such callback", where=callback_id)
        return found

    async def version(self, workspace_id: WorkspaceId, callback_id: CallbackId, number: int) -> CallbackVersion:
        """Return one version.

        Raises:
            NotFoundError: No such version.
        """
        for version in await self.versions(workspace_id, callback_id):
            if version.number == number:
                return version
        raise NotFoundError(f"there is no version {number}", where=callback_id)

    async def diff(self, workspace_id: WorkspaceId, callback_id: CallbackId, old: int, new: int) -> str:
        """Return the changes between two versions as a unified diff of their YAML; empty when they are equal.

        Raises:
            NotFoundError: No such callback or version.
        """
        before = await self.version(workspace_id, callback_id, old)
        after = await self.version(workspace_id, callback_id, new)
        return diff_specs(before.spec, after.spec, f"version {old}", f"version {new}")

    async def roll_back(
        self, workspace_id: WorkspaceId, callback_id: CallbackId, number: int, *, author: str
    ) -> Callback:
        """Make a new version that says what an old one said.

        Raises:
            NotFoundError: No such callback or version.
            ConflictError: The callback is deleted; its versions are still there to be read.
            InvalidError: What it said cannot be saved any more.
        """
        version = await self.version(workspace_id, callback_id, number)
        try:
            return await self.replace(workspace_id, callback_id, version.spec, author=author)
        except NotFoundError:
            hint = "make a new one of what its version says"
            raise ConflictError("the callback is deleted", where=callback_id, hint=hint) from None

    async def reject_invalid(self, spec: CallbackSpec) -> None:
        """Let only a callback pass that can be saved.

        Raises:
            InvalidError: It cannot; every problem with its place.
        """
        wrong = [problem for problem in await self.check(spec) if problem.severity == "error"]
        if wrong:
            raise InvalidError("the callback has mistakes", where=spec.name, problems=tuple(wrong))


class ConditionErrors:
    """Keeps the last error of each callback's condition for its page; at most one every ten seconds.

    Args:
        database: Where to.
        clock: Counts the seconds.
    """

    SECONDS = 10.0

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._told: dict[CallbackId, float] = {}

    async def __call__(self, event: Event, errors: Mapping[CallbackId, str]) -> None:
        """Keep the errors of one event."""
        now = self._clock.monotonic()
        due = {cb: text for cb, text in errors.items() if now - self._told.get(cb, -self.SECONDS) >= self.SECONDS}
        if not due:
            return
        if len(self._told) > 10_000:
            self._told.clear()
        self._told.update(dict.fromkeys(due, now))

        def store(conn: Connection) -> None:
            table = schema.callbacks
            for callback_id, message in due.items():
                kept = json.dumps({"at": event.received_at, "eventId": event.id, "message": message})
                conn.execute(
                    update(table)
                    .where(table.c.id == callback_id, table.c.workspace_id == event.workspace_id)
                    .values(condition_error=kept)
                )

        await self._database.write(store)


def diff_specs(before: CallbackSpec, after: CallbackSpec, old: str, new: str) -> str:
    """Return a unified diff of two callbacks as YAML."""
    import yaml

    texts = [yaml.safe_dump(one.as_dict(), allow_unicode=True, sort_keys=False, width=1000) for one in (before, after)]
    lines = difflib.unified_diff(texts[0].splitlines(), texts[1].splitlines(), old, new, lineterm="")
    return "\n".join(lines)


def announce_change(conn: Connection, workspace_id: WorkspaceId) -> None:
    """Move the workspace's revision, first thing in a transaction that changes what can match.

    Raises:
        NotFoundError: No such workspace.
    """
    lock_workspaces(conn, (workspace_id,), changing=True)
    table = schema.workspaces
    moved = conn.execute(update(table).where(table.c.id == workspace_id).values(revision=table.c.revision + 1))
    if moved.rowcount == 0:
        raise NotFoundError("there is no such workspace", where=workspace_id)
    announce(conn, f"callbacks:{workspace_id}", "runs")


def get_callback(conn: Connection, workspace_id: WorkspaceId, callback_id: CallbackId) -> Callback:
    """Return one callback that is not deleted.

    Raises:
        NotFoundError: No such callback in the workspace.
    """
    table = schema.callbacks
    row = (
        conn.execute(
            select(table).where(
                table.c.id == callback_id, table.c.workspace_id == workspace_id, table.c.deleted_at.is_(None)
            )
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotFoundError("there is no such callback", where=callback_id)
    return _callback(row)


def _callback(row: RowMapping) -> Callback:
    error = row["condition_error"]
    return Callback(
        CallbackId(row["id"]), WorkspaceId(row["workspace_id"]), row["version"], CallbackSpec.load(row["spec"]),
        row["created_by"], row["created_at"], row["updated_at"], None if error is None else json.loads(error),
    )  # fmt: skip


def _store_version(conn: Connection, callback: Callback, author: str) -> None:
    conn.execute(
        insert(schema.callback_versions).values(
            callback_id=callback.id, version=callback.version, workspace_id=callback.workspace_id,
            spec=callback.spec.dump(), author=author, created_at=callback.updated_at,
        )
    )  # fmt: skip
