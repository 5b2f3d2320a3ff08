"""Search or jump: pages, tasks, callbacks, runs and events by name, number or id. Asked by Ctrl K at every letter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, or_, select
from starlette.responses import Response

from hookyard.store import schema
from hookyard.web.pages.page_context import PageContext
from hookyard.web.pages.queries.tasks import escaped

PLACES = (
    ("tasks", "tasks"), ("automations", "bolt"), ("runs", "play"), ("events", "pulse"), ("webhooks", "hook"),
    ("dashboard", "chart"), ("members", "people"), ("settings", "settings"), ("account", "key"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SearchHit:
    """Something to go to."""

    icon: str
    name: str
    detail: str
    href: str


async def search_page(visit: PageContext) -> Response:
    """Show the matches of a search, best first."""
    text, workspace = visit.query("q"), visit.workspace_id
    words = visit.language
    places = [
        SearchHit(icon, str(words.t(f"nav.{name}")), "", visit.path(name))
        for name, icon in PLACES
        if text.casefold() in f"{name} {words.t(f'nav.{name}')}".casefold()
    ]
    rows = await visit.services.database.read(lambda conn: _look(conn, workspace, text)) if text else []
    found = [SearchHit(icon, name, detail, visit.path(*path)) for icon, name, detail, path in rows]
    return await visit.page("find.html", text=text, found=(found + places)[:20] if text else places)


def _look(conn: Connection, workspace: str, text: str) -> list[tuple[str, str, str, tuple[str, ...]]]:
    tasks, callbacks = schema.tasks.c, schema.callbacks.c
    like = escaped(text)
    found: list[tuple[str, str, str, tuple[str, ...]]] = []
    for prefix, table, icon, place in (
        ("run_", schema.runs, "play", "runs"),
        ("evt_", schema.events, "pulse", "events"),
    ):
        if text.startswith(prefix):
            hit = conn.execute(select(table.c.id).where(table.c.workspace_id == workspace, table.c.id == text)).scalar()
            found += [(icon, hit, "", (place, hit))] if hit else []
    query: Any = (
        select(tasks.task_id, tasks.title)
        .where(
            tasks.workspace_id == workspace,
            tasks.deleted_at.is_(None),
            or_(tasks.title.ilike(like, escape="\\"), tasks.task_id.ilike(like, escape="\\")),
        )
        .order_by(tasks.task_id != text, tasks.updated_at.desc())
        .limit(8)
    )
    query_callbacks = (
        select(callbacks.id, callbacks.name)
        .where(
            callbacks.workspace_id == workspace,
            callbacks.deleted_at.is_(None),
            callbacks.name.ilike(like, escape="\\"),
        )
        .order_by(callbacks.name)
        .limit(5)
    )
    found += [("bolt", name, "", ("automations", key)) for key, name in conn.execute(query_callbacks)]
    found += [("tasks", title, number, ("tasks", number)) for number, title in conn.execute(query)]
    return found
