"""Comments to be posted to services: where their mirrored task comes from.

`CommentSender.run` works in the background of every server; `wiring` starts it. Pending comments are in the database
since the comment was made, so a restart forgets none. A comment may be posted twice if the server dies between the
service's answer and our note of it; the services offer no key against that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, select, update

from hookyard.core.clock import Clock
from hookyard.core.errors import HookyardError, PermanentError, TemporaryError
from hookyard.core.ids import CommentId, WorkspaceId
from hookyard.store import schema
from hookyard.store.database import Database
from hookyard.workspace.comments import OUTGOING_TOPIC
from hookyard.workspace.integrations import Integrations, service

logger = logging.getLogger(__name__)

TRIES = 8
"""Attempts before a comment is given up."""

_LEASE_SECONDS = 60.0
_TIMEOUT_SECONDS = 20.0
_FIRST_WAIT_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 3600.0
_POLL_INTERVAL_SECONDS = 30.0
_AT_ONCE = 20
_TROUBLE_SECONDS = 2.0


class Reply(Protocol):
    """A service's answer."""

    @property
    def status(self) -> int:
        """HTTP status."""
        ...


class Send(Protocol):
    """Sends one request, to addresses that server-side deliveries may reach: `hooks.delivery.egress`."""

    async def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> Reply:
        """Send a request and return the response. Raises HookyardError when none arrived."""
        ...


@dataclass(frozen=True, slots=True)
class _PendingComment:
    comment_id: CommentId
    workspace_id: WorkspaceId
    kind: str
    attempts: int
    content: str
    author_name: str
    task_id: str
    url: str


class CommentSender:
    """Posts pending comments.

    Args:
        database: Where it stands.
        sources: Their credentials.
        send: The HTTP client.
        clock: Says what is due.
    """

    def __init__(self, database: Database, sources: Integrations, send: Send, clock: Clock) -> None:
        self._database = database
        self._sources = sources
        self._send = send
        self._clock = clock

    async def run(self) -> None:
        """Post until cancelled."""
        with self._database.signals.subscribe(OUTGOING_TOPIC) as woken:
            while True:
                try:
                    posted = await self.post_due()
                except TemporaryError as error:
                    logger.warning("posting comments back waits: %s", error.what)
                    await asyncio.sleep(_TROUBLE_SECONDS)
                    continue
                if not posted:
                    await woken.wait(_POLL_INTERVAL_SECONDS)

    async def post_due(self) -> int:
        """Post what is due now, at most a handful; how many were tried."""
        due = await self._database.write(self._lease)
        for owed in due:
            await self._post(owed)
        return len(due)

    def _lease(self, conn: Connection) -> list[_PendingComment]:
        """Take due comments for a minute, so that no other server posts them meanwhile."""
        out, comments, tasks, now = schema.outgoing_comments, schema.comments.c, schema.tasks.c, self._clock.now()
        rows = conn.execute(
            select(out, comments.content, comments.author_name, tasks.task_id, tasks.url)
            .join(schema.comments, comments.id == out.c.comment_id)
            .join(schema.tasks, (tasks.id == comments.task_db_id) & (tasks.workspace_id == comments.workspace_id))
            .where(out.c.state == "pending", out.c.next_at <= now)
            .order_by(out.c.next_at)
            .limit(_AT_ONCE)
        ).all()
        taken = []
        for row in rows:
            lease = update(out).where(
                out.c.comment_id == row.comment_id, out.c.state == "pending", out.c.next_at == row.next_at
            )
            if conn.execute(lease.values(next_at=now + _LEASE_SECONDS, attempts=row.attempts + 1)).rowcount:
                taken.append(
                    _PendingComment(
                        row.comment_id, row.workspace_id, row.kind, row.attempts + 1, row.content, row.author_name,
                        row.task_id, row.url,
                    )
                )  # fmt: skip
        return taken

    async def _post(self, owed: _PendingComment) -> None:
        try:
            await self._try(owed)
        except PermanentError as error:
            await self._note(owed, error.what, again=False)
        except HookyardError as error:
            await self._note(owed, error.what, again=getattr(error, "retryable", True))

    async def _try(self, owed: _PendingComment) -> None:
        known = await self._sources.secrets(owed.workspace_id, owed.kind)
        if known is None or known.credential is None:
            raise PermanentError("there is no credential any more")
        source = service(owed.kind)
        text = f"{owed.content}\n\n— {owed.author_name}"
        request = source.comment(owed.task_id, owed.url, text, known.credential, known.home or source.home)
        reply = await self._send("POST", request.url, request.headers, request.body, _TIMEOUT_SECONDS)
        if 200 <= reply.status < 300:
            done = {"state": "posted", "error": None}
            await self._database.write(lambda conn: _store(conn, owed, done))
        else:
            again = reply.status in (408, 425, 429) or reply.status >= 500
            await self._note(owed, f"the service answered {reply.status}", again=again)

    async def _note(self, owed: _PendingComment, why: str, *, again: bool) -> None:
        again = again and owed.attempts < TRIES
        wait = min(_FIRST_WAIT_SECONDS * 4 ** (owed.attempts - 1), _LONGEST_WAIT_SECONDS)
        values: dict[str, Any] = {"error": why[:500], "state": "pending" if again else "dead"}
        if again:
            values["next_at"] = self._clock.now() + wait
        else:
            logger.warning("a comment could not be posted back", extra={"comment": owed.comment_id, "why": why})
        await self._database.write(lambda conn: _store(conn, owed, values))


def _store(conn: Connection, owed: _PendingComment, values: Mapping[str, Any]) -> None:
    table = schema.outgoing_comments
    conn.execute(update(table).where(table.c.comment_id == owed.comment_id).values(**values))
