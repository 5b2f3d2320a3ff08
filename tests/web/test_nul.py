"""A NUL character at every door: refused in so many words on both databases; only PostgreSQL could not keep it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from starlette.requests import Request

from hookyard import wiring
from hookyard.settings import Settings
from hookyard.web.pages.page_context import PageContext
from tests.web.conftest import ADMIN_TOKEN, Client, serving

W = "/api/v1/workspaces/w"


@pytest.fixture
async def admin(database_url: str, tmp_path: Path) -> AsyncIterator[Client]:
    """An administrator of a server on each of the databases, with a workspace `w`."""
    environ = {
        "HOOKYARD_HOME": str(tmp_path / "data"),
        "HOOKYARD_ADMIN_TOKEN": ADMIN_TOKEN,
        "HOOKYARD_DATABASE_URL": database_url,
    }
    async with (
        wiring.running(Settings.load(environ), work=False) as app,
        serving(app.asgi) as address,
        aiohttp.ClientSession() as http,
    ):
        client = Client(http, address, ADMIN_TOKEN)
        assert (await client.post("/api/v1/workspaces", {"id": "w", "name": "W"})).status == 201
        yield client


async def test_no_address_has_one(admin: Client) -> None:
    addresses = (
        f"{W}%00/events", f"{W}/events/%00", f"{W}/runs/%00", f"{W}/tasks/%00", f"{W}/callbacks/%00",
        f"{W}/runs?status=%00", f"{W}/tasks?status=%00", "/api/v1/agent-profiles/%00", "/login/%00", "/w/%00",
    )  # fmt: skip
    for address in addresses:
        answer = await admin.get(address)
        assert answer.status == (422 if "?" in address else 404), address
        assert "a NUL character" in answer.json()["detail"]
        assert answer.json()["hint"] == "leave it out"
    delivery = await admin.post("/in/github/%00", {"action": "opened"}, headers={"X-GitHub-Event": "issues"})
    assert delivery.status == 404
    event = {"eventName": "workspace.member_left", "userId": "u", "userName": "n"}
    sent = await admin.post(f"{W}%00/events", event)
    assert (sent.status, sent.json()["detail"]) == (404, "no such workspace")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/callbacks", {"name": "a\0b", "events": ["task.created"], "prompt": "x"}, "name"),
        ("/callbacks", {"name": "a", "events": ["task.created"], "prompt": "x\0"}, "prompt"),
        ("/callbacks", {"name": "a", "events": ["task.created"], "prompt": "x", "condition": "'\0'"}, "condition"),
        ("/webhooks", {"name": "a\0", "trigger": "*", "url": "https://example.com/"}, "name"),
        ("/tasks", {"title": "a\0b"}, "title"),
        ("/members", {"userId": "a\0b", "userName": "n"}, "userId"),
        ("/events", {"eventName": "workspace.member_left", "userId": "u\0", "userName": "n"}, "userId"),
        ("/events", {"eventName": "workspace.member_left", "userId": "u", "userName": "n", "id": "\0"}, "id"),
    ],
)
async def test_no_field_has_one(admin: Client, path: str, body: dict[str, object], field: str) -> None:
    answer = await admin.post(W + path, body)
    assert answer.status == 422, answer.text
    (problem,) = answer.json()["problems"]
    assert problem["field"] == field
    assert "character" in problem["message"]


async def test_no_form_has_one(admin: Client) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await admin.request("POST", "/sign-in", data=b"login=a%00&password=b%00", headers=form)
    assert answer.status == 422
    assert "NUL" in answer.text


def test_a_page_takes_a_parameter_with_one_for_none() -> None:
    request = Request({"type": "http", "query_string": b"status=a%00&view=list", "headers": []})
    visit = PageContext(request)
    assert (visit.query("status"), visit.query("view")) == ("", "list")
