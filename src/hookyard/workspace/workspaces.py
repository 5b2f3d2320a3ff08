"""Workspaces: made, listed, renamed.

Called by `web.api.workspaces` and the pages. A workspace is the border of everything: rows carry its id, and events of
one are never seen by another.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from hookyard.core.clock import Clock
from hookyard.core.errors import ConflictError, InvalidError, NotFoundError, Problem
from hookyard.core.ids import Ids, WorkspaceId
from hookyard.core.validation import validate_name
from hookyard.store import schema
from hookyard.store.database import Database

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Workspace:
    """One workspace.

    Attributes:
        id: As in its addresses; chosen by who made it, or `ws_…`.
        name: What people call it.
        created_at: Seconds since the epoch.
    """

    id: WorkspaceId
    name: str
    created_at: float


class Workspaces:
    """The workspaces of an installation.

    Args:
        database: Where they are kept.
        clock: Dates them.
        ids: Makes the ids of workspaces without one.
    """

    def __init__(self, database: Database, clock: Clock, ids: Ids) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids

    async def create(self, name: str, workspace_id: str | None = None) -> Workspace:
        """Create a workspace and return it.

        Args:
            name: What people will call it.
            workspace_id: The id to give it; one is made when None.

        Raises:
            InvalidError: A name or an id that cannot be used.
            ConflictError: The id is taken.
        """
        name = validate_name(name, "name")
        if workspace_id is not None and not _ID.fullmatch(workspace_id):
            message = "is no id; use up to 64 letters, digits, - and _, beginning with a letter or a digit"
            raise InvalidError(f"id {message}", problems=(Problem("id", message),))
        made = Workspace(WorkspaceId(workspace_id or self._ids.workspace()), name, self._clock.now())
        row = insert(schema.workspaces).values(id=made.id, name=made.name, created_at=made.created_at)
        try:
            await self._database.write(lambda conn: conn.execute(row))
        except IntegrityError:
            raise ConflictError("this id is taken", where=made.id, hint="choose another id") from None
        return made

    async def get(self, workspace_id: WorkspaceId) -> Workspace:
        """Return one workspace.

        Raises:
            NotFoundError: There is none of that id.
        """
        query = select(schema.workspaces).where(schema.workspaces.c.id == workspace_id)
        row = await self._database.read(lambda conn: conn.execute(query).first())
        if row is None:
            raise NotFoundError("no such workspace", where=workspace_id)
        return _workspace(row)

    async def exists(self, workspace_id: str) -> bool:
        """Return whether there is a workspace of an id."""
        query = select(schema.workspaces.c.id).where(schema.workspaces.c.id == workspace_id)
        return await self._database.read(lambda conn: conn.execute(query).first()) is not None

    async def list(
        self, only: Collection[str] | None = None, *, after: str = "", limit: int = 100
    ) -> Sequence[Workspace]:
        """Return workspaces in the order of their ids.

        Args:
            only: Ids of those that the asker may see, None = all.
            after: Begin behind this id.
            limit: At most so many.
        """
        table = schema.workspaces
        query = select(table).where(table.c.id > after).order_by(table.c.id).limit(limit)
        if only is not None:
            query = query.where(table.c.id.in_(only))
        return await self._database.read(lambda conn: [_workspace(row) for row in conn.execute(query)])

    async def rename(self, workspace_id: WorkspaceId, name: str) -> Workspace:
        """Give a workspace another name.

        Raises:
            InvalidError: A name that cannot be used.
            NotFoundError: There is none of that id.
        """
        name = validate_name(name, "name")
        table = schema.workspaces

        def write(conn: Connection) -> Row[tuple[object, ...]] | None:
            return conn.execute(
                update(table).where(table.c.id == workspace_id).values(name=name).returning(*table.c)
            ).first()

        row = await self._database.write(write)
        if row is None:
            raise NotFoundError("no such workspace", where=workspace_id)
        return _workspace(row)


def _workspace(row: Row[tuple[object, ...]]) -> Workspace:
    return Workspace(WorkspaceId(row.id), row.name, row.created_at)
