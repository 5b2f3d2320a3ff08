"""Liveness and readiness: `/healthz` and `/readyz`.

Supervisors and load balancers call them without a token, so they say nothing that a stranger may not know.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from http import HTTPStatus

from sqlalchemy import Connection, text
from starlette.requests import Request
from starlette.responses import Response

from hookyard.conditions.condition_set import single_condition
from hookyard.conditions.conditions import Conditions
from hookyard.core.errors import HookyardError, LimitError
from hookyard.store.database import Database
from hookyard.web.problems import JsonResponse, document
from hookyard.web.services import Services

READY_SECONDS = 2.0
"""What the database gets to take a write and a read."""

KEPT_SECONDS = 1.0
"""How long one answer serves all who ask: strangers may ask as often as they like."""

_WRITE = text("UPDATE alembic_version SET version_num = version_num")
_READ = text("SELECT version_num FROM alembic_version")


_ALWAYS_TRUE = single_condition("1 < 2")


class Readiness:
    """Tries what accepting an event needs: the database through the writer, with a commit, and through a reader; and an
    evaluator of conditions.

    Args:
        database: Where events are stored.
        conditions: Judges their conditions.
    """

    def __init__(self, database: Database, conditions: Conditions) -> None:
        self._database = database
        self._conditions = conditions
        self._trying: asyncio.Task[bool] | None = None
        self._tried_at = 0.0

    async def is_ready(self) -> bool:
        """Return whether events can be accepted; known within `READY_SECONDS`."""
        trying = self._trying
        if trying is None or (trying.done() and time.monotonic() - self._tried_at >= KEPT_SECONDS):
            trying = self._trying = asyncio.create_task(self._try())
        return await asyncio.shield(trying)

    async def _try(self) -> bool:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._database.write(_write)
                await self._database.read(_read)
            return await self._can_judge()
        except (HookyardError, TimeoutError):
            return False
        finally:
            self._tried_at = time.monotonic()

    async def _can_judge(self) -> bool:
        """Return False when the ingest endpoint would answer 503 since no evaluator can be had.

        A busy evaluator is none of the reasons: events wait for it, and are accepted.
        """
        with contextlib.suppress(TimeoutError, LimitError):
            async with asyncio.timeout(READY_SECONDS):
                await self._conditions.evaluate("", "{}", _ALWAYS_TRUE)
        return True


def _write(conn: Connection) -> None:
    conn.execute(_WRITE)


def _read(conn: Connection) -> None:
    conn.execute(_READ)


async def alive(_request: Request) -> Response:
    """Answer 200 as long as the process runs."""
    return JsonResponse({"status": "ok"})


async def ready(request: Request) -> Response:
    """Answer 200 when events can be accepted, 503 when the database or the evaluator of conditions cannot be used."""
    services: Services = request.app.state.services
    state = request.app.state
    if not hasattr(state, "readiness"):
        state.readiness = Readiness(services.database, services.conditions)
    readiness: Readiness = state.readiness
    if not await readiness.is_ready():
        return document(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "the database or the evaluator of conditions cannot be used",
            headers={"retry-after": "2"},
        )
    return JsonResponse({"status": "ready"})
