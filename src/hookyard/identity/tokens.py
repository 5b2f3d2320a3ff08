"""Bearer tokens: made, listed, revoked, and looked up by what a request shows.

Called by `web.auth` (look-up), `web.api.tokens` and the settings page, and by `runs` for the token of one run. A token
is shown once; only its SHA-256 is kept, which is enough for 256 random bits.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Row, and_, delete, insert, or_, select, update

from hookyard.core.clock import Clock
from hookyard.core.errors import NotFoundError
from hookyard.core.ids import Ids, RunId, TokenId, UserId, WorkspaceId
from hookyard.core.validation import MAX_NAME, validate_name
from hookyard.store import schema
from hookyard.store.database import Database

PREFIX = "hky_"
"""Begins every token, so that scanners of leaked secrets can know one."""


class Scope(StrEnum):
    """What a token may do."""

    ADMIN = "admin"
    MEMBER = "member"
    INGEST = "ingest"
    RUN = "run"


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A token as lists show it; never the token itself.

    Attributes:
        id: `tok_…`.
        name: What its owner calls it.
        scope: What it may do.
        workspace_id: The one workspace it is good for, None for an administrator's.
        user_id: Whom it acts as.
        run_id: The run it was given to, of scope `run`.
        created_at: Seconds since the epoch.
        expires_at: When it stops being good, None = never.
        revoked_at: When it was revoked.
    """

    id: TokenId
    name: str
    scope: Scope
    workspace_id: WorkspaceId | None
    user_id: UserId | None
    run_id: RunId | None
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Bearer:
    """A good token, with what is known of its owner.

    Attributes:
        token: The token.
        user_name: Name of the user it acts as; of a run's token, of the callback that started the run.
    """

    token: ApiToken
    user_name: str


def digest(secret: str) -> bytes:
    """Return what is stored of a token, a session or a login link."""
    return hashlib.sha256(secret.encode()).digest()


class Tokens:
    """The tokens of an installation.

    Args:
        database: Where they are kept.
        clock: Dates them.
        ids: Names them.
        random_text: Makes the secret part of a token.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        ids: Ids,
        random_text: Callable[[], str] = lambda: secrets.token_urlsafe(32),
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._random_text = random_text

    async def create(
        self,
        name: str,
        scope: Scope,
        workspace_id: WorkspaceId | None,
        user_id: UserId,
        *,
        expires_at: float | None = None,
    ) -> tuple[ApiToken, str]:
        """Create a token and return it with its secret, which cannot be shown again.

        Raises:
            InvalidError: A name that is empty or too long.
        """
        token, secret = self.issue(
            validate_name(name, "name", MAX_NAME), scope, workspace_id, user_id, expires_at=expires_at
        )
        await self._database.write(lambda conn: self.store(conn, token, secret))
        return token, secret

    def issue(
        self,
        name: str,
        scope: Scope,
        workspace_id: WorkspaceId | None,
        user_id: UserId | None,
        *,
        run_id: RunId | None = None,
        expires_at: float | None = None,
    ) -> tuple[ApiToken, str]:
        """Return a token that is not stored yet, and its secret."""
        now = self._clock.now()
        token = ApiToken(self._ids.token(), name, scope, workspace_id, user_id, run_id, now, expires_at)
        return token, PREFIX + self._random_text()

    def store(self, conn: Connection, token: ApiToken, secret: str) -> None:
        """Keep a drawn token, inside a transaction of the caller's."""
        conn.execute(
            insert(schema.tokens).values(
                id=token.id,
                hash=digest(secret),
                name=token.name,
                scope=token.scope.value,
                workspace_id=token.workspace_id,
                user_id=token.user_id,
                run_id=token.run_id,
                created_at=token.created_at,
                expires_at=token.expires_at,
            )
        )

    async def for_run(self, workspace_id: WorkspaceId, run_id: RunId, expires_at: float) -> str:
        """Create a token for one run and return its secret; it is valid until the run ends, and never beyond
        `expires_at`."""
        token, secret = self.issue("run", Scope.RUN, workspace_id, None, run_id=run_id, expires_at=expires_at)

        def write(conn: Connection) -> None:
            # An earlier attempt of the run may have left one: a run has one token.
            conn.execute(delete(schema.tokens).where(schema.tokens.c.run_id == run_id))
            self.store(conn, token, secret)

        await self._database.write(write)
        return secret

    async def list(self, workspace_id: WorkspaceId | None) -> Sequence[ApiToken]:
        """Return tokens of a workspace, or with None those of administrators; newest first, without revoked and run
        tokens."""
        tokens = schema.tokens.c
        mine = tokens.workspace_id.is_(None) if workspace_id is None else tokens.workspace_id == workspace_id
        query = (
            select(schema.tokens)
            .where(mine, tokens.revoked_at.is_(None), tokens.scope != Scope.RUN.value)
            .order_by(tokens.id.desc())
        )
        return await self._database.read(lambda conn: [_token(row) for row in conn.execute(query)])

    async def revoke(self, workspace_id: WorkspaceId | None, token_id: TokenId) -> None:
        """End a token of that workspace (None: an administrator's); it is refused everywhere within 2 seconds.

        Raises:
            NotFoundError: No such token there.
        """
        tokens = schema.tokens.c
        mine = tokens.workspace_id.is_(None) if workspace_id is None else tokens.workspace_id == workspace_id
        now = self._clock.now()

        def write(conn: Connection) -> int:
            return conn.execute(
                update(schema.tokens)
                .where(tokens.id == token_id, mine, tokens.revoked_at.is_(None), tokens.scope != Scope.RUN.value)
                .values(revoked_at=now)
            ).rowcount

        if await self._database.write(write) == 0:
            raise NotFoundError("no such token", where=token_id)

    async def bearer(self, secret: str) -> Bearer | None:
        """Return the bearer of a token, or None when it is missing, invalid or expired."""
        if not secret.startswith(PREFIX) or len(secret) > 200:
            return None
        tokens, users, runs = schema.tokens.c, schema.users.c, schema.runs.c
        query = (
            select(
                schema.tokens,
                users.name.label("user_name"),
                users.disabled_at,
                users.is_admin,
                runs.status.label("run_status"),
                schema.callbacks.c.name.label("callback_name"),
                schema.members.c.user_name.label("member_name"),
            )
            .select_from(schema.tokens)
            .outerjoin(schema.users, users.id == tokens.user_id)
            .outerjoin(schema.runs, runs.id == tokens.run_id)
            .outerjoin(schema.callbacks, schema.callbacks.c.id == runs.callback_id)
            .outerjoin(
                schema.members,
                and_(schema.members.c.workspace_id == tokens.workspace_id, schema.members.c.user_id == tokens.user_id),
            )
            .where(
                tokens.hash == digest(secret),
                tokens.revoked_at.is_(None),
                or_(tokens.expires_at.is_(None), tokens.expires_at > self._clock.now()),
            )
        )
        row = await self._database.read(lambda conn: conn.execute(query).first())
        return None if row is None else _bearer(row)


def _bearer(row: Row[tuple[object, ...]]) -> Bearer | None:
    token = _token(row)
    if token.scope is Scope.RUN:
        return Bearer(token, row.callback_name or "agent") if row.run_status == "running" else None
    good = True
    if token.scope is Scope.MEMBER:  # acts as its owner, so it ends with the owner's place in the workspace
        good = row.disabled_at is None and (row.member_name is not None or bool(row.is_admin))
    elif token.scope is Scope.ADMIN:
        good = row.disabled_at is None and bool(row.is_admin)
    return Bearer(token, row.member_name or row.user_name or token.name) if good else None


def _token(row: Row[tuple[object, ...]]) -> ApiToken:
    return ApiToken(
        id=TokenId(row.id),
        name=row.name,
        scope=Scope(row.scope),
        workspace_id=row.workspace_id,
        user_id=row.user_id,
        run_id=row.run_id,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
    )
