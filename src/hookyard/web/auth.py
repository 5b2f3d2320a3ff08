"""Who asks, and what they may do: bearer tokens, scopes and roles.

Called first by every route; `web.sessions` makes the principal of a browser. The rules: no good token or session 401; a
workspace that is unknown or foreign 404; a scope or role that is too low 403. What was looked up is remembered
for a second, so that a busy sender costs no query a request and a revoked token is refused everywhere within two.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from hookyard.core.clock import Clock
from hookyard.core.errors import NotAllowedError, NotFoundError, UnauthenticatedError
from hookyard.core.ids import RunId, UserId, WorkspaceId
from hookyard.core.validation import MAX_NAME
from hookyard.events.model import AuthorTrust
from hookyard.identity.accounts import SignedIn, User
from hookyard.identity.tokens import Scope, Tokens, digest
from hookyard.workspace.actor import Actor
from hookyard.workspace.workspaces import Workspaces

ACTOR_HEADER = "x-hookyard-actor"
"""Names the user that an administrator's token acts for."""

REMEMBERED_SECONDS = 1.0
"""How long a look-up is believed; the contract allows a revoked token 2 seconds."""

_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes:
        scope: What they may do.
        user_id: Whose account, None for a run's token.
        user_name: Their name.
        workspaces: The workspaces that they may see, None = all.
        run_id: The run that the token was given to.
    """

    scope: Scope
    user_id: UserId | None
    user_name: str
    workspaces: frozenset[WorkspaceId] | None
    run_id: RunId | None = None

    @property
    def is_admin(self) -> bool:
        """Whether they may do everything."""
        return self.scope is Scope.ADMIN

    @property
    def trust(self) -> AuthorTrust:
        """How far what they send is trusted: an ingest token forwards the words of people unknown."""
        return AuthorTrust.MEMBER if self.scope in (Scope.MEMBER, Scope.ADMIN) else AuthorTrust.UNKNOWN

    def sees(self, workspace_id: str) -> bool:
        """Return whether the principal may know of a workspace."""
        return self.workspaces is None or workspace_id in self.workspaces

    def require(self, *scopes: Scope) -> None:
        """Go on only with one of these scopes; an administrator's always will do.

        Raises:
            NotAllowedError: They have another one.
        """
        if self.scope is not Scope.ADMIN and self.scope not in scopes:
            raise NotAllowedError(
                f"a token of scope {self.scope.value} may not do this",
                hint=f"use one of scope {' or '.join(dict.fromkeys([*(s.value for s in scopes), 'admin']))}",
            )

    def actor(self) -> Actor:
        """Return the principal as an actor; not for runs, which bring their causes along."""
        assert self.user_id is not None
        return Actor(self.user_id, self.user_name, self.trust)


class Auth:
    """Knows who asks.

    Args:
        tokens: The tokens.
        workspaces: The workspaces.
        clock: Its `monotonic` ends what is remembered.
        administrator: Whom `HOOKYARD_ADMIN_TOKEN` acts as.
        admin_token: That token, None when there is none.
    """

    def __init__(
        self,
        tokens: Tokens,
        workspaces: Workspaces,
        clock: Clock,
        administrator: User,
        admin_token: str | None = None,
    ) -> None:
        self._tokens = tokens
        self._workspaces = workspaces
        self._clock = clock
        self._admin_digest = digest(admin_token) if admin_token else None
        self._admin = Principal(Scope.ADMIN, administrator.id, administrator.name, None)
        self._kept: OrderedDict[bytes, tuple[float, asyncio.Task[Principal | None]]] = OrderedDict()
        self._existing: set[str] = set()

    async def bearer(self, authorization: str) -> Principal:
        """Return the principal of a request's token.

        Args:
            authorization: The header of that name, `""` without one.

        Raises:
            UnauthenticatedError: No token, or none that is good.
        """
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise UnauthenticatedError("no token", where="Authorization", hint="send `Authorization: Bearer <token>`")
        principal = await self._principal(secret)
        if principal is None:
            raise UnauthenticatedError(
                "this token is not good (any more)", where="Authorization", hint="make another one"
            )
        return principal

    async def workspace(self, principal: Principal, workspace_id: str) -> WorkspaceId:
        """Return the id, if there is such a workspace and the principal may know of it.

        Raises:
            NotFoundError: Unknown or foreign, which look the same.
        """
        known = workspace_id in self._existing  # a workspace is never deleted
        if not principal.sees(workspace_id) or not (known or await self._exists(workspace_id)):
            raise NotFoundError(
                "no such workspace", where=workspace_id[:100], hint="GET /api/v1/workspaces lists yours"
            )
        return WorkspaceId(workspace_id)

    def forget(self) -> None:
        """Drop every cached lookup: a token was revoked here."""
        self._kept.clear()

    async def _principal(self, secret: str) -> Principal | None:
        key = digest(secret)
        if self._admin_digest is not None and hmac.compare_digest(key, self._admin_digest):
            return self._admin
        now = self._clock.monotonic()
        kept = self._kept.get(key)
        if kept is not None and now - kept[0] < REMEMBERED_SECONDS:
            return kept[1].result() if kept[1].done() else await asyncio.shield(kept[1])
        # Requests of one token that arrive together share one look-up, and one that is cancelled harms no other.
        look_up = asyncio.create_task(self._look_up(secret))
        self._kept[key] = (now, look_up)
        self._kept.move_to_end(key)
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)
        try:
            principal = await asyncio.shield(look_up)
        except Exception:
            self._kept.pop(key, None)
            raise
        if principal is None:
            self._kept.pop(key, None)
        return principal

    async def _look_up(self, secret: str) -> Principal | None:
        found = await self._tokens.bearer(secret)
        if found is None:
            return None
        token = found.token
        only = None if token.workspace_id is None else frozenset({token.workspace_id})
        return Principal(token.scope, token.user_id, found.user_name, only, token.run_id)

    async def _exists(self, workspace_id: str) -> bool:
        if len(workspace_id) > 100 or "\x00" in workspace_id or not await self._workspaces.exists(workspace_id):
            return False
        self._existing.add(workspace_id)
        return True


def of_session(signed_in: SignedIn) -> Principal:
    """Return the principal of a page session: everything for administrators, their own workspaces for others."""
    user = signed_in.user
    if user.is_admin:
        return Principal(Scope.ADMIN, user.id, user.name, None)
    return Principal(Scope.MEMBER, user.id, user.name, signed_in.workspaces)


def actor_name(headers: Mapping[str, str]) -> str | None:
    """Return the name in `X-Hookyard-Actor`: UTF-8 as most clients send it, or percent-encoded; None when there is
    none."""
    raw = headers.get(ACTOR_HEADER)
    if raw is None:
        return None
    try:
        text = raw.encode("latin-1").decode("utf-8")
    except UnicodeError:
        text = raw
    return unquote(text, errors="replace").strip()[:MAX_NAME] or None
