"""The callback editor: the form, its live preview, saving, and a run now on a chosen event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from starlette.responses import JSONResponse, Response

from hookyard.agents import profiles
from hookyard.automations.callbacks import Callback
from hookyard.callbacks.template import Fence
from hookyard.core.errors import ConflictError, InvalidError, NotAllowedError, Problem
from hookyard.core.ids import CallbackId, EventId
from hookyard.events.catalog import BATCH, COMMON, EventType
from hookyard.intake import match
from hookyard.intake.event_repository import get_event_row, read_event
from hookyard.web.pages import render
from hookyard.web.pages.automations import heading
from hookyard.web.pages.callback_templates import STARTERS
from hookyard.web.pages.form import Form
from hookyard.web.pages.page_context import PageContext
from hookyard.web.pages.preview import EditorPreview, marks, preview
from hookyard.web.pages.queries import automations as queries
from hookyard.web.pages.queries.layout import forget
from hookyard.web.pages.spec_form import fields_of, given_of, spec_of


async def new_page(visit: PageContext) -> Response:
    """Show an empty editor, or one that begins with a template."""
    if visit.request.method == "POST":
        return await _save(visit, None)
    starter = next((one for one in STARTERS if one.key == visit.query("template")), None)
    given: dict[str, Any] = starter.given(visit.language) if starter else {"events": ["task.status_changed"]}
    return await _editor(visit, None, fields_of(given), ())


async def editor_page(visit: PageContext) -> Response:
    """Show the editor of one callback."""
    callback = await visit.services.callbacks.get(visit.workspace, CallbackId(visit.path_param("callback")))
    if visit.request.method == "POST":
        return await _save(visit, callback)
    return await _editor(visit, callback, fields_of(callback.spec.as_dict()), ())


async def _editor(
    visit: PageContext,
    callback: Callback | None,
    fields: dict[str, Any],
    problems: Sequence[Problem],
    status: int = 200,
) -> Response:
    fence = fields["fence"] if fields["fence"] in set(Fence) else "auto"
    shown = await preview(
        visit.services, visit.workspace_id, fields["events"], fields["prompt"], fields["condition"], fence,
        event_id=visit.query("preview"), saved=callback.spec.condition if callback else None,
    )  # fmt: skip
    agents = await visit.services.database.read(queries.agents)
    catalog = visit.services.event_types.current
    live = visit.services.live.current
    head = await heading(visit, callback) if callback else {"runs": 0}
    # Problems are shown when something was typed, not on an empty page.
    said = list(problems) or (shown.problems if callback or fields["prompt"] else [])
    return await visit.page(
        "editor.html", status, callback=callback, f=fields, preview=shown, agents=agents, absent=_absent(agents),
        groups=_groups(list(catalog)), chosen=catalog.select(fields["events"]),
        variables=variables(catalog.select(fields["events"])), problems=said, live=live, **head,
    )  # fmt: skip


def _groups(types: Sequence[EventType]) -> list[tuple[str, list[EventType]]]:
    """Return the event types by subject, in the order of the catalog."""
    groups: dict[str, list[EventType]] = {}
    for one in types:
        kind = one.name.split(".")[0]
        groups.setdefault(kind if kind in ("task", "conversation", "workspace") else "other", []).append(one)
    return list(groups.items())


def _absent(agents: Sequence[queries.AgentChoice]) -> dict[str, str]:
    """Return the kinds of agents that cannot be used on this machine, with the reason."""
    return {
        kind: reason for kind in {agent.kind for agent in agents} if (reason := profiles.unavailable(kind)) is not None
    }


def variables(chosen: Sequence[EventType]) -> list[tuple[str, bool]]:
    """Return what a prompt can insert, and whether every chosen event carries it; the most useful ones first."""
    own = dict.fromkeys(v.name for one in chosen for v in one.variables)
    names = [*own, *(v.name for v in COMMON), *(v.name for v in BATCH)]
    return [(name, bool(chosen) and all(name in one.readable for one in chosen)) for name in names]


async def preview_part(visit: PageContext) -> Response:
    """Return the panel, marks and messages that the editor requests while a person types."""
    form = await visit.form()
    workspace = visit.workspace_id
    key = form.text("id")
    callback = await visit.services.callbacks.get(visit.workspace, CallbackId(key)) if key else None
    names, fence = form.all("events"), form.text("fence")
    shown = await preview(
        visit.services, workspace, names, form.raw("prompt"), form.raw("condition"),
        fence if fence in set(Fence) else "auto", event_id=form.text("preview"),
        saved=callback.spec.condition if callback else None,
    )  # fmt: skip
    if not form.raw("prompt").strip():
        # Nothing has been typed yet; saving says so.
        shown.problems = [p for p in shown.problems if p.field != "prompt"]
    catalog = visit.services.event_types.current
    chosen = catalog.select(names)
    context = {"l": visit.language, "t": visit.language.t, "csrf": visit.token, "visit": visit}
    answer = {
        "panel": render.part("preview.html", "panel", shown, **context),
        "prompt": {"marks": marks(shown.problems, "prompt"), "html": _messages(shown, "prompt", context)},
        "condition": {"marks": marks(shown.problems, "condition"), "html": _messages(shown, "condition", context)},
        "events": {"html": render.part("preview.html", "picked", chosen, variables(chosen), **context)},
        "variables": [name for name, _ in variables(chosen)],
    }
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def _messages(shown: EditorPreview, name: str, context: dict[str, Any]) -> str:
    return render.part("preview.html", "messages_of", name, shown, **context)


async def _save(visit: PageContext, callback: Callback | None) -> Response:
    form = await visit.form()
    if callback and form.text("do") == "run":
        return await _run_now(visit, callback, form)
    if callback and form.text("do") == "delete":
        await visit.services.callbacks.delete(visit.workspace, callback.id)
        forget(visit.services, visit.workspace_id)
        return visit.redirect(visit.path("automations"), "automation_deleted")
    try:
        spec = spec_of(form)
        if isinstance(spec.agent, dict) and not visit.member.is_admin:
            raise NotAllowedError("an inline agent needs an administrator", hint="choose a profile")
        await visit.services.agent_profiles.check_choice(spec.agent)
        if callback is None:
            made = await visit.services.callbacks.create(visit.workspace, spec, author=visit.member.name)
        else:
            made = await visit.services.callbacks.replace(
                visit.workspace, callback.id, spec, author=visit.member.name, expected_version=form.number("version")
            )
    except (InvalidError, ConflictError) as error:
        return await _editor(visit, callback, _written(form), _problems(error), 422)
    forget(visit.services, visit.workspace_id)
    return visit.redirect(visit.path("automations", made.id), "saved")


def _written(form: Form) -> dict[str, Any]:
    """Return the typed values for the form that is shown again."""
    try:
        return fields_of(given_of(form))
    except InvalidError:
        kept = {name: form.raw(name) for name in ("name", "prompt", "condition", "fence")}
        return fields_of(kept | {"events": form.all("events"), "enabled": form.on("enabled")})


def _problems(error: InvalidError | ConflictError) -> list[Problem]:
    found = list(error.problems) if isinstance(error, InvalidError) else []
    return found or [Problem(error.where if isinstance(error, InvalidError) and error.where else "", str(error.what))]


async def _run_now(visit: PageContext, callback: Callback, form: Form) -> Response:
    """Replay an event for this callback alone, as it is saved."""
    workspace, event_id = visit.workspace, EventId(form.text("event"))

    def read(conn: Connection) -> tuple[Any, frozenset[str]]:
        return read_event(get_event_row(conn, workspace, event_id)), match.profiles_for_anyone(conn)

    event, open_profiles = await visit.services.database.read(read)
    listener = match.compile_listener(callback.id, callback.version, callback.spec, open_profiles)
    accepted = await visit.services.accept.replay(event, match.EventListeners.of(workspace, [listener]))
    forget(visit.services, visit.workspace_id)
    if accepted.runs:
        return visit.redirect(visit.path("runs", accepted.runs[0]), "run_started")
    return visit.redirect(visit.path("events", accepted.event_id), "no_run")
