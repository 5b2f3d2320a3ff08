"""Runs: the list, and one run with its timeline; cancel and retry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection
from starlette.responses import Response

from hookyard.core.errors import NotFoundError
from hookyard.core.ids import RunId
from hookyard.core.run_status import RunStatus
from hookyard.runs import control
from hookyard.runs.queue_reason import explain_wait
from hookyard.web.pages.attribution import attribution
from hookyard.web.pages.page_context import PageContext
from hookyard.web.pages.preview import about_tokens, pieces
from hookyard.web.pages.queries import runs as queries
from hookyard.web.pages.queries.layout import forget
from hookyard.web.pages.timeline import Assembly

_TABS = ("", "running", "failed", "denied", "timed_out")
STEPS = 500
"""Steps of a timeline on one page, the newest first of all."""

_RETRYABLE = ("succeeded", "failed", "timed_out", "cancelled", "skipped")


async def runs_page(visit: PageContext) -> Response:
    """Show the list of runs, filtered by the address."""
    status = visit.query("status", *queries.STATUSES, "denied", "modified")
    filters = queries.RunFilters(status, visit.query("callback"), visit.query("task"), visit.query("event"))
    after, workspace = visit.query("after"), visit.workspace_id

    def read(conn: Connection) -> dict[str, Any]:
        rows, following = queries.page(conn, workspace, filters, after)
        return {
            "alive": [] if after else queries.alive(conn, workspace, filters),
            "rows": rows,
            "following": following,
            "counts": {tab: queries.count(conn, workspace, queries.RunFilters(tab)) for tab in _TABS},
            "callbacks": queries.callback_names(conn, workspace),
        }

    data = await visit.services.database.read(read)
    shown = {run.id for run in data["alive"]}
    data["rows"] = [run for run in data["rows"] if run.id not in shown]
    statuses = [s for s in queries.STATUSES if s not in _TABS]
    return await visit.page(
        "runs.html", filters=filters, tab_names=_TABS, statuses=statuses, counted=queries.COUNTED, **data
    )


async def run_page(visit: PageContext) -> Response:
    """Show one run: facts, timeline, decisions, causes."""
    if visit.request.method == "POST":
        return await _act(visit)
    run_id, workspace = visit.path_param("run"), visit.workspace_id

    def read(conn: Connection) -> tuple[queries.RunPage | None, list[queries.TimelineEntry]]:
        found = queries.one(conn, workspace, run_id)
        if found is not None and found.run.status == RunStatus.QUEUED:
            why = explain_wait(conn, run_id, visit.services.live.current, visit.now)
            found = replace(found, run=replace(found.run, reason=None if why is None else why.dumps()))
        return found, queries.entries(conn, run_id) if found else []

    found, entries = await visit.services.database.read(read)
    if found is None:
        raise NotFoundError("there is no such run", where=run_id)
    assembly = Assembly()
    assembly.add(entries)
    begun = found.run.started_at or found.run.queued_at
    items = [one for one in assembly.items.values() if one.kind != "prompt" or one.text != found.prompt]
    asked = visit.query("upto")
    upto = min(len(items), int(asked)) if asked.isascii() and asked.isdigit() else len(items)
    return await visit.page(
        "run.html",
        page=found,
        run=found.run,
        assembly=assembly,
        items=items[max(0, upto - STEPS) : upto],
        earlier=max(0, upto - STEPS),
        newest=upto == len(items),
        pieces=pieces(found.template, found.prompt, found.context),
        prompt_tokens=about_tokens(found.prompt),
        origin=attribution(visit, found.run.event, found.context) if not found.chain else None,
        begun=begun,
        alive=found.run.status in queries.ALIVE,
        retryable=found.run.status in _RETRYABLE,
    )


async def _act(visit: PageContext) -> Response:
    form, run_id = await visit.form(), visit.path_param("run")
    forget(visit.services, visit.workspace_id)
    services, workspace, now = visit.services, visit.workspace, visit.now
    if form.text("do") == "cancel":
        by = visit.member.name
        await services.database.write(lambda conn: control.cancel(conn, workspace, RunId(run_id), by=by, now=now))
        return visit.redirect(visit.path("runs", run_id), "run_cancelled")
    again = await services.database.write(
        lambda conn: control.retry(conn, workspace, RunId(run_id), ids=services.ids, now=now)
    )
    return visit.redirect(visit.path("runs", again), "run_retried")
