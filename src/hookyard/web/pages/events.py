"""Events: the stream, and one event gate by gate; replay."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import Connection
from starlette.responses import Response

from hookyard.core.clock import iso
from hookyard.core.errors import NotFoundError
from hookyard.core.ids import EventId
from hookyard.web.pages.attribution import attribution
from hookyard.web.pages.gates import line_of
from hookyard.web.pages.language import Language
from hookyard.web.pages.page_context import PageContext
from hookyard.web.pages.queries import events as queries
from hookyard.web.pages.timeline import arguments


async def events_page(visit: PageContext) -> Response:
    """Show the stream of events, filtered by the address."""
    filters = queries.EventFilters(visit.query("name"), visit.query("task"), visit.query("outcome", "ran", "broken"))
    after, workspace = visit.query("after"), visit.workspace_id

    def read(conn: Connection) -> dict[str, Any]:
        rows, following = queries.page(conn, workspace, filters, after)
        return {"rows": rows, "following": following, "used": queries.names(conn, workspace)}

    data = await visit.services.database.read(read)
    known = [one.name for one in visit.services.event_types.current]
    names = list(dict.fromkeys((*known, *data.pop("used"))))
    return await visit.page("events.html", filters=filters, names=names, summary=summary, **data)


def summary(words: Language, variables: Mapping[str, Any]) -> str:
    """Return an event's text besides its task: the newest words in it."""
    for name in ("commentContent", "changes", "assigneeName", "errorMessage", "userName", "taskStatus"):
        value = variables.get(name)
        if value:
            text = str(value)
            if name == "taskStatus":
                text = str(words.word("task_status", text).unescape())
            elif name == "changes":
                text = (
                    words.comma.join(f"{key}{words.colon}{one}" for key, one in arguments(text).items() if key) or text
                )
            return text if len(text) <= 200 else text[:200] + "…"
    return ""


async def event_page(visit: PageContext) -> Response:
    """Show one event: the verdict of every gate for every callback, variables, causes."""
    event_id, workspace = visit.path_param("event"), visit.workspace_id
    if visit.request.method == "POST":
        return await _replay(visit)
    found = await visit.services.database.read(lambda conn: queries.one(conn, workspace, event_id))
    if found is None:
        raise NotFoundError("there is no such event", where=event_id)
    lines = [line_of(verdict, visit.language) for verdict in found.verdicts]
    only = visit.query("only", "listening") == "listening"
    live = visit.services.live.current
    return await visit.page(
        "event.html",
        page=found,
        event=found.event,
        lines=[line for line in lines if line.verdict.listened] if only else lines,
        only=only,
        ran=sum(line.states[-1] == "pass" for line in lines),
        broken=sum("bad" in line.states for line in lines),
        total=len(lines),
        tab=visit.query("tab", "cloudevent", "operation"),
        cloud=json.dumps(cloud_event(found, workspace), ensure_ascii=False),
        types=_types(visit, found.event.name),
        origin=None
        if found.chain or found.event.replay_of
        else attribution(visit, found.event.name, found.event.variables),
        max_chain=live.number("eventCallback.maxChain"),
    )


def _types(visit: PageContext, name: str) -> dict[str, str]:
    known = visit.services.event_types.current.get(name)
    return {variable: str(kind.value) for variable, kind in known.types.items()} if known else {}


def cloud_event(found: queries.EventPage, workspace: str) -> dict[str, Any]:
    """Return the event in the form in which a client would send it."""
    event = found.event
    shown: dict[str, Any] = {
        "specversion": "1.0",
        "type": event.name,
        "source": event.source,
        "id": found.source_id or event.id,
        "time": iso(found.occurred_at),
    }
    if found.operation_id:
        shown["operationid"] = found.operation_id
    return shown | {"data": {"workspaceId": workspace, **event.variables}}


async def _replay(visit: PageContext) -> Response:
    form = await visit.form()
    callbacks: Literal["then", "now"] = "then" if form.text("callbacks") == "then" else "now"
    accepted = await visit.services.history.replay(
        visit.workspace, EventId(visit.path_param("event")), callbacks=callbacks
    )
    return visit.redirect(visit.path("events", accepted.event_id), "replayed")
