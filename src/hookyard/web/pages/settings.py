"""Settings, for administrators: live settings, agents, keys, tokens, people, event types, integrations."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from starlette.responses import Response

from hookyard.agents import profiles
from hookyard.agents.base import KINDS
from hookyard.core.errors import ConflictError, InvalidError, NotFoundError, Problem
from hookyard.core.ids import TokenId, UserId
from hookyard.events.integrations import integrations as known_sources
from hookyard.identity.tokens import Scope
from hookyard.settings import LIVE, Setting
from hookyard.web.pages.form import Form
from hookyard.web.pages.page_context import PageContext

SECTIONS = ("general", "agents", "keys", "tokens", "people", "event-types", "sources", "workspaces")
GROUPS = ("eventCallback", "quota", "runs", "worker", "retention")


async def settings_page(visit: PageContext) -> Response:
    """Show one section of the settings and handle its forms."""
    section = visit.request.path_params.get("section", "general")
    if section not in SECTIONS:
        raise NotFoundError("there is no such page")
    if visit.request.method == "GET":
        return await _shown(visit, section)
    form = await visit.form()
    try:
        done, extra = await _ACTS[section](visit, form)
    except (InvalidError, ConflictError) as error:
        problems = error.problems if isinstance(error, InvalidError) else ()
        given = {name: form.raw(name) for name in form.names() if name not in ("csrf", "value", "secret", "password")}
        return await _shown(visit, section, problems or (Problem("", str(error.what)),), given, 422)
    if extra:
        # Shown once: it must not stand in an address, so there is no redirect.
        return await _shown(visit, section, once=extra)
    path = visit.path("settings") if section == "general" else visit.path("settings", section)
    return visit.redirect(path, done)


async def _shown(
    visit: PageContext,
    section: str,
    problems: tuple[Problem, ...] = (),
    given: Mapping[str, str] | None = None,
    status: int = 200,
    once: str = "",
) -> Response:
    data = await _READS[section](visit)
    return await visit.page(
        f"settings-{section}.html", status, section=section, sections=SECTIONS, problems=problems, given=given or {},
        once=once, **data,
    )  # fmt: skip


# -- what each section shows -------------------------------------------------------------------------------------------


async def _general(visit: PageContext) -> dict[str, Any]:
    live = visit.services.live.current
    groups: dict[str, list[Setting]] = {group: [] for group in GROUPS}
    for setting in LIVE.values():
        groups.setdefault(setting.name.split(".")[0], []).append(setting)
    return {"groups": groups, "values": live.values, "pinned": live.pinned}


async def _agents(visit: PageContext) -> dict[str, Any]:
    name = visit.query("edit")
    kept = await visit.services.agent_profiles.list()
    edited = next((one for one in kept if one.profile.name == name), None)
    return {"kept": kept, "available": profiles.available(), "kinds": KINDS, "edited": edited}


async def _keys(visit: PageContext) -> dict[str, Any]:
    return {"keys": await visit.services.model_keys.list()}


async def _tokens(visit: PageContext) -> dict[str, Any]:
    mine = await visit.services.tokens.list(visit.workspace)
    whole = await visit.services.tokens.list(None)
    return {"tokens": [*mine, *whole], "url": str(visit.request.base_url).rstrip("/")}


async def _people(visit: PageContext) -> dict[str, Any]:
    return {"people": await visit.services.accounts.list(limit=500)}


async def _event_types(visit: PageContext) -> dict[str, Any]:
    return {"types": list(visit.services.event_types.current)}


async def _sources(visit: PageContext) -> dict[str, Any]:
    found = {one.kind: one for one in await visit.services.sources.list(visit.workspace)}
    base = visit.services.settings.public_url or str(visit.request.base_url).rstrip("/")
    return {"kinds": sorted(known_sources()), "found": found, "base": base}


async def _workspaces(visit: PageContext) -> dict[str, Any]:
    return {"workspaces": await visit.services.workspaces.list(limit=200)}


# -- what each section does ------------------------------------------------------------------------------------------


async def _change(visit: PageContext, form: Form) -> tuple[str, str]:
    """Store what differs from now; a field left empty goes back to its default."""
    live = visit.services.live.current
    changes: dict[str, object] = {}
    for setting in LIVE.values():
        if setting.name in live.pinned or setting.name not in form:
            continue
        text = form.text(setting.name)
        if isinstance(setting.default, bool):
            value: object = text == "on"
        else:
            value = None if not text else setting.parse(text.replace(",", ""))
        if value != live.values[setting.name]:
            changes[setting.name] = value
    if changes:
        await visit.services.live.change(changes, by=visit.member.name)
    return "settings_changed", ""


async def _change_agents(visit: PageContext, form: Form) -> tuple[str, str]:
    kept, name = visit.services.agent_profiles, form.text("name")
    if form.text("do") == "delete":
        await kept.delete(name)
        return "agent_deleted", ""
    config = profile_of(form)
    if form.text("do") == "replace":
        await kept.replace(name, config)
    else:
        await kept.create(name, config)
    return "saved", ""


def profile_of(form: Form) -> dict[str, Any]:
    """Return a profile's fields without empty ones and those that its kind does not use.

    Raises:
        InvalidError: A number that is none.
    """
    kind = form.text("kind")
    config: dict[str, Any] = {"kind": kind}
    for name in ("model", "url", "folder", "authors"):
        if form.text(name) and (name != "model" or kind in ("built-in", "claude-code", "codex", "gemini")):
            config[name] = form.text(name)
    if kind != "http":
        config.pop("url", None)
    program = [line for line in form.raw("argv").splitlines() if line.strip()]
    if program and kind in ("command", "acp"):
        config["argv" if kind == "command" else "command"] = program
    if environment := form.text("environment").replace(",", " ").split():
        config["environment"] = environment
    if tools := form.text("tools").replace(",", " ").split():
        config["tools"] = tools
    if (seconds := form.number("timeoutSeconds")) is not None:
        config["timeoutSeconds"] = seconds
    if form.on("worktree"):
        config["worktree"] = True
    return config


async def _change_keys(visit: PageContext, form: Form) -> tuple[str, str]:
    if form.text("do") == "delete":
        await visit.services.model_keys.remove(form.text("variable"))
        return "key_deleted", ""
    await visit.services.model_keys.put(form.text("variable"), form.text("value"))
    return "key_kept", ""


async def _change_tokens(visit: PageContext, form: Form) -> tuple[str, str]:
    tokens = visit.services.tokens
    if form.text("do") == "revoke":
        whole = form.text("scope") == Scope.ADMIN
        await tokens.revoke(None if whole else visit.workspace, TokenId(form.text("id")))
        return "token_revoked", ""
    if form.text("scope") not in (Scope.INGEST, Scope.MEMBER, Scope.ADMIN):
        raise InvalidError("choose what the token may do", problems=(Problem("scope", "choose one"),))
    scope = Scope(form.text("scope"))
    workspace = None if scope is Scope.ADMIN else visit.workspace
    _, secret = await tokens.create(form.text("name"), scope, workspace, visit.member.id)
    return "", secret


async def _change_people(visit: PageContext, form: Form) -> tuple[str, str]:
    accounts, do = visit.services.accounts, form.text("do")
    key = UserId(form.text("id"))
    if do == "create":
        made = await accounts.create(
            form.text("login"), form.text("name"), is_admin=form.on("admin"), password=form.raw("password") or None
        )
        if not made.has_password:
            return "", await _link(visit, made.id)
        return "person_made", ""
    if do == "link":
        return "", await _link(visit, key)
    if do in ("admin", "member"):
        await accounts.change(key, is_admin=do == "admin")
    elif do in ("disable", "enable"):
        await accounts.change(key, disabled=do == "disable")
    return "saved", ""


async def _link(visit: PageContext, key: UserId) -> str:
    secret = await visit.services.accounts.login_link(key)
    base = visit.services.settings.public_url or str(visit.request.base_url).rstrip("/")
    return f"{base}/login/{secret}"


async def _change_event_types(visit: PageContext, form: Form) -> tuple[str, str]:
    types, name = visit.services.event_types, form.text("name")
    if form.text("do") == "delete":
        await types.remove(name)
        return "type_deleted", ""
    await types.declare(name, variables_of(form.raw("variables")), description=form.text("description"))
    return "saved", ""


def variables_of(text: str) -> list[tuple[str, str, Any]]:
    """Return the variables of `name type example`, one a line.

    Raises:
        InvalidError: A line that says less.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        parts = line.split(None, 2)
        if not parts:
            continue
        if len(parts) < 3:
            problem = Problem("variables", "write name, type and example", line=number, column=1)
            raise InvalidError("a variable has a name, a type and an example", problems=(problem,))
        name, kind, example = parts
        found.append((name, kind, example if kind == "string" else _example(example)))
    return found


def _example(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


async def _change_sources(visit: PageContext, form: Form) -> tuple[str, str]:
    kind = form.text("kind")
    if form.text("do") == "delete":
        await visit.services.sources.remove(visit.workspace, kind)
        return "source_deleted", ""
    await visit.services.sources.configure(
        visit.workspace, kind, secret=form.text("secret") or None, credential=form.text("credential") or None,
        identities=form.text("identities").replace(",", " ").split() or None, home=form.text("home") or None,
    )  # fmt: skip
    return "saved", ""


async def _change_workspaces(visit: PageContext, form: Form) -> tuple[str, str]:
    if form.text("do") == "rename":
        await visit.services.workspaces.rename(visit.workspace, form.text("name"))
        return "saved", ""
    made = await visit.services.workspaces.create(form.text("name"), form.text("id") or None)
    await visit.services.members.add(made.id, visit.member.id, visit.member.name, visit.actor)
    return "workspace_made", ""


_READS: dict[str, Callable[[PageContext], Awaitable[dict[str, Any]]]] = {
    "general": _general,
    "agents": _agents,
    "keys": _keys,
    "tokens": _tokens,
    "people": _people,
    "event-types": _event_types,
    "sources": _sources,
    "workspaces": _workspaces,
}
_ACTS: dict[str, Callable[[PageContext, Form], Awaitable[tuple[str, str]]]] = {
    "general": _change,
    "agents": _change_agents,
    "keys": _change_keys,
    "tokens": _change_tokens,
    "people": _change_people,
    "event-types": _change_event_types,
    "sources": _change_sources,
    "workspaces": _change_workspaces,
}
