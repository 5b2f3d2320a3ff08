"""Members of a workspace: they join, they leave, each with its event.

Called by `web.api.members` and the pages. A member who leaves loses the tokens that act for them there, in the same
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from hookyard.core.clock import Clock
from hookyard.core.errors import ConflictError, NotFoundError, StaleError
from hookyard.core.ids import Ids, UserId, WorkspaceId
from hookyard.core.validation import validate_name
from hookyard.store import schema
from hookyard.store.database import Database
from hookyard.workspace.actor import Actor
from hookyard.workspace.operation import EventAcceptor, Operation, retry_on_conflict


@dataclass(frozen=True, slots=True)
class Member:
    """One member.

    Attributes:
        user_id: Whose account.
        user_name: The name they have in this workspace.
        joined_at: Seconds since the epoch.
    """

    user_id: UserId
    user_name: str
    joined_at: float


class Members:
    """The members of every workspace.

    Args:
        database: Where they are kept.
        accept: Stores the events.
        clock: Dates them.
        ids: Names the operations.
    """

    def __init__(self, database: Database, accept: EventAcceptor, clock: Clock, ids: Ids) -> None:
        self._database = database
        self._accept = accept
        self._clock = clock
        self._ids = ids

    async def add(self, workspace_id: WorkspaceId, user_id: str, user_name: str, actor: Actor) -> Member:
        """Add a member: `workspace.member_joined`. An unknown id becomes an account that cannot sign in.

        Raises:
            InvalidError: An id or name that cannot be used.
            ConflictError: They are a member already.
        """
        made = Member(UserId(validate_name(user_id, "userId")), validate_name(user_name, "userName"), self._clock.now())
        joined = Operation.by(actor, self._ids).event("workspace.member_joined", _variables(made))

        def apply(conn: Connection) -> None:
            if _find(conn, workspace_id, made.user_id) is not None:
                raise StaleError("joined meanwhile")
            users = schema.users
            if conn.execute(select(users.c.id).where(users.c.id == made.user_id)).first() is None:
                conn.execute(
                    insert(users).values(
                        id=made.user_id, name=made.user_name, is_admin=False, created_at=made.joined_at
                    )
                )
            conn.execute(
                insert(schema.members).values(
                    workspace_id=workspace_id,
                    user_id=made.user_id,
                    user_name=made.user_name,
                    joined_at=made.joined_at,
                )
            )

        async def attempt() -> Member:
            if await self.find(workspace_id, made.user_id) is not None:
                raise ConflictError("is a member already", where=made.user_id)
            await self._accept.accept(workspace_id, [joined], apply=apply)
            return made

        return await retry_on_conflict(attempt)

    async def remove(self, workspace_id: WorkspaceId, user_id: str, actor: Actor) -> None:
        """Remove a member: `workspace.member_left`.

        Raises:
            NotFoundError: No such member.
        """
        members, tokens = schema.members, schema.tokens
        operation = Operation.by(actor, self._ids)
        now = self._clock.now()

        def apply(conn: Connection) -> None:
            mine = (members.c.workspace_id == workspace_id) & (members.c.user_id == user_id)
            if conn.execute(delete(members).where(mine)).rowcount == 0:
                raise StaleError("left meanwhile")
            conn.execute(
                update(tokens)
                .where(
                    tokens.c.workspace_id == workspace_id,
                    tokens.c.user_id == user_id,
                    tokens.c.scope == "member",
                    tokens.c.revoked_at.is_(None),
                )
                .values(revoked_at=now)
            )

        async def attempt() -> None:
            member = await self.find(workspace_id, user_id)
            if member is None:
                raise NotFoundError("no such member", where=user_id)
            left = operation.event("workspace.member_left", _variables(member))
            await self._accept.accept(workspace_id, [left], apply=apply)

        await retry_on_conflict(attempt)

    async def find(self, workspace_id: WorkspaceId, user_id: str) -> Member | None:
        """Return the member of an id, or None."""
        return await self._database.read(lambda conn: _find(conn, workspace_id, user_id))

    async def by_id_or_name(self, workspace_id: WorkspaceId, id_or_name: str) -> Member | None:
        """Return the member of an id, or else of a name, or None."""
        members = schema.members.c
        query = (
            select(schema.members)
            .where(
                members.workspace_id == workspace_id,
                or_(members.user_id == id_or_name, members.user_name == id_or_name),
            )
            .order_by((members.user_id == id_or_name).desc(), members.user_id)
            .limit(1)
        )
        row = await self._database.read(lambda conn: conn.execute(query).first())
        return None if row is None else _member(row)

    async def list(self, workspace_id: WorkspaceId, *, after: str = "", limit: int = 100) -> Sequence[Member]:
        """Return members in the order of their ids."""
        members = schema.members.c
        query = (
            select(schema.members)
            .where(members.workspace_id == workspace_id, members.user_id > after)
            .order_by(members.user_id)
            .limit(limit)
        )
        return await self._database.read(lambda conn: [_member(row) for row in conn.execute(query)])


def _variables(member: Member) -> dict[str, str]:
    return {"userId": member.user_id, "userName": member.user_name}


def _find(conn: Connection, workspace_id: WorkspaceId, user_id: str) -> Member | None:
    members = schema.members.c
    mine = (members.workspace_id == workspace_id) & (members.user_id == user_id)
    row = conn.execute(select(schema.members).where(mine)).first()
    return None if row is None else _member(row)


def _member(row: Row[tuple[object, ...]]) -> Member:
    return Member(UserId(row.user_id), row.user_name, row.joined_at)
