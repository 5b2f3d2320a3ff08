"""The services whose webhooks a workspace takes: their secrets, and the tasks that mirror theirs.

Called by `web.inbound_webhooks` for every delivery and by `web.api.sources`. A verified delivery gives its events and
the mirrored task in one transaction. Secrets are kept encrypted and never shown again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from hookyard.core.clock import Clock
from hookyard.core.errors import InvalidError, NotFoundError, Problem, UnauthenticatedError
from hookyard.core.ids import Ids, WorkspaceId
from hookyard.core.validation import MAX_NAME, validate_name, validate_text
from hookyard.events.integrations import integrations
from hookyard.events.integrations.base import Integration, Translation
from hookyard.events.integrations.payload import page
from hookyard.store import schema
from hookyard.store.database import Database
from hookyard.store.secrets import SecretBox
from hookyard.workspace.mirror import mirror
from hookyard.workspace.operation import AcceptedEvent, EventAcceptor

MAX_SECRET = 4096


@dataclass(frozen=True, slots=True)
class ConfiguredIntegration:
    """A service as a workspace has set it up; never its secrets.

    Attributes:
        kind: `github`, `gitlab` or `jira`.
        has_credential: Comments can be posted back.
        identities: Ids or logins that the credential acts as there; what they do is ignored.
        home: Address of the service, None = its usual one.
        updated_at: Seconds since the epoch.
    """

    kind: str
    has_credential: bool
    identities: tuple[str, ...]
    home: str | None
    updated_at: float


@dataclass(frozen=True, slots=True)
class IntegrationSecrets:
    """What a delivery is verified with and a comment is posted with."""

    secret: str
    credential: str | None
    identities: frozenset[str]
    home: str | None


class Integrations:
    """The sources of every workspace.

    Args:
        database: Where they are kept.
        box: Encrypts their secrets.
        accept: Stores the events.
        clock: Dates things.
        ids: Names comments.
    """

    def __init__(self, database: Database, box: SecretBox, accept: EventAcceptor, clock: Clock, ids: Ids) -> None:
        self._database = database
        self._box = box
        self._accept = accept
        self._clock = clock
        self._ids = ids

    async def configure(
        self,
        workspace_id: WorkspaceId,
        kind: str,
        *,
        secret: str | None = None,
        credential: str | None = None,
        identities: Sequence[str] | None = None,
        home: str | None = None,
    ) -> ConfiguredIntegration:
        """Set a service up, or change what is set up; what is None stays as it is.

        Args:
            workspace_id: Whose.
            kind: Which service.
            secret: What its deliveries are verified with.
            credential: What comments are posted with; `""` = none any more.
            identities: Ids or logins that the credential acts as.
            home: Address of the service, `""` = its usual one.

        Raises:
            NotFoundError: No such service.
            InvalidError: Something that is needed is missing, or cannot be used.
        """
        source = service(kind)
        _check(secret, credential, identities, home)
        row = {
            "secret": None if secret is None else self._box.seal(secret),
            "credential": self._box.seal(credential) if credential else None,
        }

        def write(conn: Connection) -> ConfiguredIntegration:
            mine = _of(workspace_id, kind)
            old = conn.execute(select(schema.sources).where(mine)).first()
            options = {"identities": [], "home": None} if old is None else json.loads(old.options)
            if identities is not None:
                options["identities"] = [identity.strip() for identity in identities]
            if home is not None:
                options["home"] = home.rstrip("/") or None
            kept = None if old is None else old.credential
            values: dict[str, Any] = {
                "secret": row["secret"] or (None if old is None else old.secret),
                "credential": kept if credential is None else row["credential"],
                "options": json.dumps(options),
                "updated_at": self._clock.now(),
            }
            _refuse_incomplete(source, values, options)
            if old is None:
                conn.execute(insert(schema.sources).values(workspace_id=workspace_id, kind=kind, **values))
            else:
                conn.execute(update(schema.sources).where(mine).values(**values))
            return _configured(conn.execute(select(schema.sources).where(mine)).one())

        return await self._database.write(write)

    async def list(self, workspace_id: WorkspaceId) -> Sequence[ConfiguredIntegration]:
        """Return what a workspace has configured."""
        query = select(schema.sources).where(schema.sources.c.workspace_id == workspace_id)
        query = query.order_by(schema.sources.c.kind)
        return await self._database.read(lambda conn: [_configured(row) for row in conn.execute(query)])

    async def remove(self, workspace_id: WorkspaceId, kind: str) -> None:
        """Take no more deliveries of a service.

        Raises:
            NotFoundError: It is not set up.
        """
        gone = delete(schema.sources).where(_of(workspace_id, kind))
        if (await self._database.write(lambda conn: conn.execute(gone))).rowcount == 0:
            raise NotFoundError("this source is not set up", where=kind)

    async def secrets(self, workspace_id: str, kind: str) -> IntegrationSecrets | None:
        """Return the secrets of a source, None when it is not configured."""
        query = select(schema.sources).where(_of(workspace_id, kind))
        row = await self._database.read(lambda conn: conn.execute(query).first())
        if row is None:
            return None
        options = json.loads(row.options)
        return IntegrationSecrets(
            self._box.unseal(row.secret),
            None if row.credential is None else self._box.unseal(row.credential),
            frozenset(identity.lower() for identity in options["identities"]),
            options["home"],
        )

    async def deliver(
        self, workspace_id: str, kind: str, headers: Mapping[str, str], query: Mapping[str, str], body: bytes
    ) -> Sequence[AcceptedEvent]:
        """Take one delivery of a service; no events when it means nothing here.

        Args:
            workspace_id: Of the address that it was sent to.
            kind: Of the same.
            headers: Names in lower case.
            query: Parameters of the address.
            body: As received.

        Raises:
            NotFoundError: No such service.
            UnauthenticatedError: Not signed with the secret, or nothing is set up there; which is not said.
            InvalidError: It cannot be read.
        """
        source = service(kind)
        known = await self.secrets(workspace_id, kind) if len(workspace_id) <= MAX_NAME else None
        if known is None or not source.verify(headers, query, body, known.secret, self._clock.now()):
            raise UnauthenticatedError(
                "the signature is not right", hint="give the service the secret of this workspace's source"
            )
        translation = source.translate(headers, body, known.identities)
        if translation is None:
            return ()
        return await self._take(WorkspaceId(workspace_id), kind, translation)

    async def _take(self, workspace_id: WorkspaceId, kind: str, what: Translation) -> Sequence[AcceptedEvent]:
        now, comment_id = self._clock.now(), self._ids.comment()

        def apply(conn: Connection) -> None:
            mirror(conn, workspace_id, kind, what.happening, now, comment_id)

        return await self._accept.accept(workspace_id, what.drafts, apply=apply)


def service(kind: str) -> Integration:
    """Return the integration of a kind.

    Raises:
        NotFoundError: There is none.
    """
    found = integrations().get(kind)
    if found is None:
        raise NotFoundError(
            "there is no such service", where=kind[:MAX_NAME], hint=f"there are {', '.join(integrations())}"
        )
    return found


def _of(workspace_id: str, kind: str) -> Any:
    return (schema.sources.c.workspace_id == workspace_id) & (schema.sources.c.kind == kind)


def _check(secret: str | None, credential: str | None, identities: Sequence[str] | None, home: str | None) -> None:
    if secret is not None:
        validate_name(secret, "secret", MAX_SECRET)
    if credential:
        validate_name(credential, "credential", MAX_SECRET)
    for identity in identities or ():
        validate_name(identity, "identities")
    if home:
        validate_text(home, "url", MAX_NAME)
        if not page(home):
            raise _refused("url", "is no https:// or http:// address")


def _refuse_incomplete(source: Integration, values: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    if values["secret"] is None:
        raise _refused("secret", "is missing; give the one that the service signs with")
    if values["credential"] is not None and not options["identities"]:
        # Without it a comment of ours would come back as another author's event, and start the next run.
        raise _refused("identities", "are missing; name the login that the credential acts as, so that it is ignored")
    if values["credential"] is not None and source.home is None and options["home"] is None:
        raise _refused("url", "is missing; give the address of the service")


def _refused(field: str, message: str) -> InvalidError:
    return InvalidError(f"{field} {message}", problems=(Problem(field, message),))


def _configured(row: Row[tuple[object, ...]]) -> ConfiguredIntegration:
    options = json.loads(row.options)
    return ConfiguredIntegration(
        row.kind, row.credential is not None, tuple(options["identities"]), options["home"], row.updated_at
    )
