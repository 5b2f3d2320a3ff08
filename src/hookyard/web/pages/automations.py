"""Automations: the list with last runs and health, versions, YAML, import, templates to start from."""

from __future__ import annotations

import json
from typing import Any

import yaml
from sqlalchemy import Connection
from starlette.responses import Response

from hookyard.automations.callbacks import Callback
from hookyard.callbacks.spec import CallbackSpec
from hookyard.core.errors import HookyardError, InvalidError
from hookyard.core.ids import CallbackId
from hookyard.web.pages.callback_templates import STARTERS
from hookyard.web.pages.differences import differences
from hookyard.web.pages.page_context import PageContext
from hookyard.web.pages.plots import Tick
from hookyard.web.pages.queries import automations as queries
from hookyard.web.pages.queries import runs as run_queries
from hookyard.web.pages.queries.layout import forget

KINDS = {
    "succeeded": "ok", "failed": "err", "timed_out": "late", "skipped": "idle", "cancelled": "idle", "running": "run",
    "queued": "none",
}  # fmt: skip
_YAML_BYTES = 200_000


def marks(visit: PageContext, runs: tuple[queries.LastRun, ...]) -> list[Tick]:
    """Return the newest runs as the marks of a strip."""
    words = visit.language
    found = []
    for run in runs:
        kind = "denied" if run.denied and run.status == "succeeded" else KINDS.get(run.status, "none")
        tip = f"{words.word('status', run.status)}{words.comma}{words.ago_text(run.at)}"
        if run.reason:
            tip += f"{words.colon}{words.message(run.reason)}"
        found.append(Tick(kind, tip, visit.path("runs", run.id)))
    return found


def counted(visit: PageContext, runs: tuple[queries.LastRun, ...]) -> str:
    """Return the strip as text: `19 succeeded, 5 failed`."""
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.status] = counts.get(run.status, 0) + 1
    parts = [f"{count} {visit.language.word('status', status)}" for status, count in counts.items()]
    return visit.language.comma.join(parts) or str(visit.language.t("automations.no_runs"))


async def automations_page(visit: PageContext) -> Response:
    """Show the list of callbacks, filtered by the address."""
    if visit.request.method == "POST":
        return await _switch(visit)
    text, event, agent, workspace = visit.query("q"), visit.query("event"), visit.query("agent"), visit.workspace_id
    tab = visit.query("tab", "on", "attention", "off")

    def read(conn: Connection) -> tuple[tuple[list[queries.CallbackRow], list[str]], queries.Totals]:
        return queries.page(conn, workspace, text, event, agent), queries.totals(conn, workspace, visit.now)

    (rows, agents), totals = await visit.services.database.read(read)
    health = {row.id: row.health(visit.now) for row in rows}
    groups = {
        "": rows,
        "on": [row for row in rows if row.enabled],
        "attention": [row for row in rows if health[row.id] in ("failing", "condition")],
        "off": [row for row in rows if not row.enabled],
    }
    return await visit.page(
        "automations.html", rows=groups[tab], counts={name: len(found) for name, found in groups.items()}, tab=tab,
        text=text, event=event, agent=agent, agents=agents, totals=totals, health=health,
        marks=lambda row: marks(visit, row.last),
        counted=lambda row: counted(visit, row.last),
        names=[one.name for one in visit.services.event_types.current],
    )  # fmt: skip


async def _switch(visit: PageContext) -> Response:
    """Enable, disable or delete a callback from the list."""
    form = await visit.form()
    key, do = CallbackId(form.text("id")), form.text("do")
    if do == "delete":
        await visit.services.callbacks.delete(visit.workspace, key)
        forget(visit.services, visit.workspace_id)
        return visit.redirect(visit.path("automations"), "automation_deleted")
    callback = await visit.services.callbacks.get(visit.workspace, key)
    spec = callback.spec.model_copy(update={"enabled": do == "on"})
    await visit.services.callbacks.replace(visit.workspace, key, spec, author=visit.member.name)
    forget(visit.services, visit.workspace_id)
    return visit.redirect(visit.path("automations"), "switched_on" if do == "on" else "switched_off")


async def templates_page(visit: PageContext) -> Response:
    """Show the callback templates."""
    return await visit.page("starters.html", starters=STARTERS)


async def versions_page(visit: PageContext) -> Response:
    """Show every version, the difference between two, and the rollback."""
    key = CallbackId(visit.path_param("callback"))
    if visit.request.method == "POST":
        form = await visit.form()
        number = form.number("version") or 0
        await visit.services.callbacks.roll_back(visit.workspace, key, number, author=visit.member.name)
        return visit.redirect(visit.path("automations", key), "rolled_back")
    callback = await visit.services.callbacks.get(visit.workspace, key)
    versions = await visit.services.callbacks.versions(visit.workspace, key)
    shown = visit.query("version")
    chosen = next((v for v in versions if str(v.number) == shown), versions[0])
    older = next((v for v in versions if v.number < chosen.number), None)
    lines = differences(as_yaml(older.spec) if older else "", as_yaml(chosen.spec))
    return await visit.page(
        "versions.html", callback=callback, versions=versions, chosen=chosen, older=older, lines=lines,
        **await heading(visit, callback),
    )  # fmt: skip


async def yaml_page(visit: PageContext) -> Response:
    """Show one callback as YAML."""
    callback = await visit.services.callbacks.get(visit.workspace, CallbackId(visit.path_param("callback")))
    return await visit.page(
        "yaml.html", callback=callback, text=as_yaml(callback.spec), **await heading(visit, callback)
    )


async def heading(visit: PageContext, callback: Callback) -> dict[str, Any]:
    """Return what the head of every page of one callback shows."""
    mine = run_queries.RunFilters(callback=callback.id)
    runs = await visit.services.database.read(lambda conn: run_queries.count(conn, visit.workspace_id, mine))
    return {"runs": visit.language.up_to(runs, run_queries.COUNTED)}


async def export(visit: PageContext) -> Response:
    """Send all callbacks of the workspace as one YAML file."""
    found = await visit.services.callbacks.list(visit.workspace)
    text = "---\n".join(as_yaml(callback.spec) for callback in found)
    name = f'attachment; filename="{visit.workspace_id}.yaml"'
    headers = {"Content-Disposition": name, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return Response(text, media_type="application/yaml", headers=headers)


async def import_page(visit: PageContext) -> Response:
    """Import YAML: first show the changes, then apply them."""
    if visit.request.method == "GET":
        return await visit.page("import.html", text="", changes=None, problem="")
    form = await visit.form()
    text = form.raw("yaml")
    try:
        changes = await _compared(visit, read_yaml(text))
        if form.text("do") == "apply":
            for old, spec, _ in changes:
                if old is None:
                    await visit.services.callbacks.create(visit.workspace, spec, author=visit.member.name)
                else:
                    await visit.services.callbacks.replace(visit.workspace, old.id, spec, author=visit.member.name)
            forget(visit.services, visit.workspace_id)
            return visit.redirect(visit.path("automations"), "imported")
    except HookyardError as error:
        faults = error.problems if isinstance(error, InvalidError) else ()
        said = [f"{p.field}: {visit.language.message(p.message)}" for p in faults]
        problem = "; ".join(said) or visit.language.message(error.what)
        return await visit.page("import.html", 422, text=text, changes=None, problem=problem)
    return await visit.page("import.html", text=text, changes=changes, problem="")


async def _compared(
    visit: PageContext, specs: list[CallbackSpec]
) -> list[tuple[Callback | None, CallbackSpec, list[Any]]]:
    """Return each callback with the one of the same name that it replaces, and the difference."""
    known = {callback.spec.name: callback for callback in await visit.services.callbacks.list(visit.workspace)}
    found: list[tuple[Callback | None, CallbackSpec, list[Any]]] = []
    for spec in specs:
        if isinstance(spec.agent, dict) and not visit.member.is_admin:
            raise InvalidError("an inline agent needs an administrator", where=spec.name, hint="name a profile")
        problems = [p for p in await visit.services.callbacks.check(spec) if p.severity == "error"]
        if problems:
            raise InvalidError(f"{spec.name} cannot be saved", problems=tuple(problems))
        old = known.get(spec.name)
        found.append((old, spec, differences(as_yaml(old.spec) if old else "", as_yaml(spec))))
    return found


class _Dumper(yaml.SafeDumper):
    """Writes long texts as blocks."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def as_yaml(spec: CallbackSpec) -> str:
    """Return a callback as people keep it in a file."""
    shown = {name: value for name, value in spec.as_dict().items() if value not in (None, {}, "")}
    return yaml.dump(shown, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)


def read_yaml(text: str) -> list[CallbackSpec]:
    """Return every callback of a file: documents, or one list.

    Raises:
        InvalidError: No YAML, or no callbacks.
    """
    if len(text) > _YAML_BYTES:
        raise InvalidError("the file is too long", hint=f"at most {_YAML_BYTES // 1000} kB")
    try:
        # An alias can stand for itself, or a few lines of them for more than there is memory.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise InvalidError("YAML with aliases is not read here", hint="write out what *name stands for")
        documents = list(yaml.safe_load_all(text))
    except RecursionError:
        raise InvalidError("this is no YAML: it is nested too deeply") from None
    except yaml.YAMLError as error:
        raise InvalidError("this is no YAML: " + " ".join(str(error).split())[:300]) from None
    flat: list[Any] = []
    for document in documents:
        flat.extend(document if isinstance(document, list) else [document] if document is not None else [])
    if not flat or not all(isinstance(one, dict) for one in flat):
        raise InvalidError("there is no callback in it", hint="paste what Export YAML gives")
    # Through JSON, so that dates and other types of YAML are refused by the specification and not by accident.
    return [CallbackSpec.read(json.loads(json.dumps(one, default=str))) for one in flat[:200]]
