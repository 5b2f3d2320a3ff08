"""A workspace's webhooks with a matcher that can match no tool: refused by the API, closed where one is kept."""

from __future__ import annotations

import pytest

from hookyard.hooks.decision import Result
from hookyard.hooks.hooks import Hooks, server_sender
from tests.web.conftest import Server

PATH = "/api/v1/workspaces/w/webhooks"
HOOK = {"name": "gate", "trigger": "pre_tool", "url": "https://hooks.example.com/x", "on_failure": "deny"}


@pytest.mark.parametrize(
    ("matcher", "fix"),
    [("bash,write_*", "use 'bash|write_*'"), ("^(bash|edit).*$", "use 'bash*|edit*'"), ("Bash(rm *)", "use 'Bash'")],
)
async def test_it_is_refused_with_the_fix(server: Server, matcher: str, fix: str) -> None:
    for method, path in (("POST", PATH), ("PUT", f"{PATH}/gate")):
        refused = await server.admin.request(method, path, {**HOOK, "matcher": matcher})
        assert refused.status == 422
        (problem,) = refused.json()["problems"]
        assert problem["field"] == "matcher"
        assert fix in problem["message"]
    assert (await server.admin.get(PATH)).json()["items"] == []
    assert (await server.admin.post(PATH, {**HOOK, "matcher": "bash|write_*"})).status == 201


async def test_one_that_is_kept_already_denies_every_tool_call(server: Server) -> None:
    data = server.services.settings.data
    sender = server_sender(data)
    hooks = Hooks.for_server(
        data, sender, webhooks=[{**HOOK, "matcher": "bash,write_*"}], workspace_id="w", warn=lambda _: None
    )
    for tool in ("bash", "edit_file", "mcp__x__y"):
        decision = await hooks.fire("pre_tool", tool_name=tool)
        assert decision.result is Result.DENY
        assert "use 'bash|write_*'" in decision.message
    await sender.aclose()
