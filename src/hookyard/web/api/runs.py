"""`/workspaces/{w}/runs`: what agents did, and what people do about it: cancel, retry."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection

from hookyard.core.ids import RunId
from hookyard.core.message_catalog import stored_fields
from hookyard.core.run_status import RunStatus
from hookyard.runs import control
from hookyard.runs.queue_reason import explain_wait
from hookyard.web.api.access import MemberAccess, ServicesDep
from hookyard.web.api.paging import DEFAULT_LIMIT, Cursor, Limit, page, unpack
from hookyard.web.api.run_rows import RunFilter, get_run, list_runs

router = APIRouter(tags=["runs"])

_PATH = "/workspaces/{workspace}/runs"


@router.get(_PATH)
async def list_of_runs(
    services: ServicesDep,
    access: MemberAccess,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    status: RunStatus | None = None,
    callback: str | None = None,
    event: str | None = None,
) -> dict[str, Any]:
    """List runs, newest first."""
    only = RunFilter(None if status is None else status.value, callback, event)
    (before,) = unpack(cursor, str) or (None,)
    found = await services.database.read(lambda conn: list_runs(conn, access.workspace_id, only, before, limit + 1))
    return page(found, limit, lambda run: run, lambda run: (run["id"],))


@router.get(_PATH + "/{run}")
async def one_run(services: ServicesDep, access: MemberAccess, run: str) -> dict[str, Any]:
    """Return one run: prompt, event, attempts, messages, tool calls, webhook decisions, usage; while it waits, `reason`
    says why."""

    def read(conn: Connection) -> dict[str, Any]:
        found = get_run(conn, access.workspace_id, RunId(run))
        if found["status"] == RunStatus.QUEUED:
            why = explain_wait(conn, run, services.live.current, services.clock.now())
            found |= stored_fields("reason", None if why is None else why.dumps())
        return found

    return await services.database.read(read)


@router.post(_PATH + "/{run}/cancel")
async def cancel_run(services: ServicesDep, access: MemberAccess, run: str) -> dict[str, Any]:
    """Cancel a run: at once while it waits, by its worker while it runs. 409 when it has ended."""
    by, now = access.actor.name, services.clock.now()
    await services.database.write(lambda conn: control.cancel(conn, access.workspace_id, RunId(run), by=by, now=now))
    return await services.database.read(lambda conn: get_run(conn, access.workspace_id, RunId(run)))


@router.post(_PATH + "/{run}/retry", status_code=HTTPStatus.CREATED)
async def retry_run(services: ServicesDep, access: MemberAccess, run: str) -> dict[str, Any]:
    """Start a run that has ended again, as a new run. 409 when it has not ended."""
    ids, now = services.ids, services.clock.now()
    again = await services.database.write(
        lambda conn: control.retry(conn, access.workspace_id, RunId(run), ids=ids, now=now)
    )
    return await services.database.read(lambda conn: get_run(conn, access.workspace_id, again))
