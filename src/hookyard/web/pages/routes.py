"""Every page and its address, on one page."""

from __future__ import annotations

from starlette.routing import BaseRoute, Mount, Route

from hookyard.web import live
from hookyard.web.pages import (
    automations,
    dashboard,
    editor,
    events,
    members,
    runs,
    search,
    settings,
    sign_in,
    tasks,
    webhooks,
)
from hookyard.web.pages.page_context import Page, member_page, public_page
from hookyard.web.pages.static import Files

_W = "/w/{workspace}"


def _get(path: str, page: Page, *, admin: bool = False) -> Route:
    return Route(path, member_page(page, admin=admin), methods=["GET"])


def _both(path: str, page: Page, *, admin: bool = False) -> Route:
    return Route(path, member_page(page, admin=admin), methods=["GET", "POST"])


def routes() -> list[BaseRoute]:
    """Return the route table of the pages."""
    return [
        Mount("/static", Files()),
        Route("/sign-in", public_page(sign_in.sign_in_page), methods=["GET", "POST"]),
        Route("/login/{secret}", public_page(sign_in.login_link), methods=["GET", "POST"]),
        Route("/sign-out", public_page(sign_in.sign_out), methods=["POST"]),
        Route("/preferences", public_page(sign_in.preferences), methods=["POST"]),
        Route("/live", live.stream, methods=["GET"]),
        _get("/", sign_in.first_page),
        Route("/workspaces", member_page(members.make_first_workspace), methods=["POST"]),
        _both(f"{_W}/tasks", tasks.tasks_page),
        _both(f"{_W}/tasks/{{task:path}}", tasks.task_page),
        _both(f"{_W}/automations", automations.automations_page),
        _both(f"{_W}/automations/new", editor.new_page),
        _get(f"{_W}/automations/templates", automations.templates_page),
        _get(f"{_W}/automations/export", automations.export),
        _both(f"{_W}/automations/import", automations.import_page),
        Route(f"{_W}/automations/preview", member_page(editor.preview_part), methods=["POST"]),
        _both(f"{_W}/automations/{{callback}}", editor.editor_page),
        _both(f"{_W}/automations/{{callback}}/versions", automations.versions_page),
        _get(f"{_W}/automations/{{callback}}/yaml", automations.yaml_page),
        _get(f"{_W}/runs", runs.runs_page),
        _both(f"{_W}/runs/{{run}}", runs.run_page),
        _get(f"{_W}/webhooks", webhooks.webhooks_page),
        _both(f"{_W}/webhooks/new", webhooks.webhook_editor, admin=True),
        _get(f"{_W}/webhooks/{{webhook}}", webhooks.webhooks_page),
        Route(f"{_W}/webhooks/{{webhook}}", member_page(webhooks.webhook_act), methods=["POST"]),
        _both(f"{_W}/webhooks/{{webhook}}/edit", webhooks.webhook_editor, admin=True),
        _both(f"{_W}/members", members.members_page),
        _both(f"{_W}/account", members.account_page),
        _both(f"{_W}/settings", settings.settings_page, admin=True),
        _both(f"{_W}/settings/{{section}}", settings.settings_page, admin=True),
        _get(f"{_W}/find", search.search_page),
        _get(f"{_W}/dashboard", dashboard.dashboard_page),
        _get(f"{_W}/events", events.events_page),
        _both(f"{_W}/events/{{event}}", events.event_page),
    ]
