"""Refusals in our words: never those of a library, and never without a place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hookyard.core.errors import NotFoundError, TemporaryError
from hookyard.web.problems import of_error
from tests.web.conftest import Server

W = "/api/v1/workspaces/w"
GOOD: dict[str, Any] = {"name": "n", "events": ["task.created"], "prompt": "{{taskId}}"}


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"events": []}, "events", "is empty; give at least one entry"),
        ({"events": "task.created"}, "events", "must be an array"),
        ({"events": ["task.created", 5]}, "events.1", "must be a string"),
        ({"name": ""}, "name", "is empty; enter a value"),
        ({"name": " "}, "name", "is empty; enter a value"),
        ({"name": "a\nb"}, "name", "has control characters; write one plain line"),
        ({"name": "x" * 201}, "name", "must have at most 200 characters"),
        ({"timeoutSeconds": 0}, "timeoutSeconds", "must be greater than 0"),
        ({"timeoutSeconds": 1e9}, "timeoutSeconds", "must be at most 86,400"),
        ({"timeoutSeconds": "soon"}, "timeoutSeconds", "must be a number"),
        ({"merge": {"windowMs": 0}}, "merge.windowMs", "must be at least 1"),
        ({"fence": "sometimes"}, "fence", "must be 'auto', 'always' or 'never'"),
        ({"str": 1}, "str", "is not a known field"),
        ({"a[0]": 1}, "a[0]", "is not a known field"),
        ({"agent": {"kind": "comand"}}, "agent.kind", None),
    ],
)
async def test_of_a_field(server: Server, change: dict[str, Any], field: str, message: str | None) -> None:
    answer = await server.admin.post(f"{W}/callbacks", GOOD | change)
    assert answer.status == 422, answer.text
    (problem,) = answer.json()["problems"]
    assert problem["field"] == field
    assert message is None or problem["message"] == message
    assert "Input should" not in answer.text


async def test_of_a_field_that_may_be_two_things(server: Server) -> None:
    answer = await server.admin.post(f"{W}/callbacks", GOOD | {"agent": 5})
    told = [(problem["field"], problem["message"]) for problem in answer.json()["problems"]]
    assert told == [("agent", "is the name of an agent profile, or an object that describes an agent")]


async def test_blanks_around_a_name_are_not_kept(server: Server) -> None:
    made = await server.admin.post(f"{W}/callbacks", GOOD | {"name": " triage "})
    assert (made.status, made.json()["name"]) == (201, "triage")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/nothing", 404),
        ("PUT", "/api/v1/workspaces", 405),
        ("GET", "/in/github/w", 405),
        ("GET", "/api/v1/workspaces/nope/runs", 404),
        ("GET", f"{W}/runs/run_nope", 404),
        ("GET", f"{W}/events/evt_nope", 404),
        ("GET", f"{W}/tasks/task-99", 404),
        ("GET", f"{W}/callbacks/cb_nope", 404),
    ],
)
async def test_of_what_is_not_there(server: Server, method: str, path: str, status: int) -> None:
    answer = await server.admin.request(method, path)
    document = answer.json()
    assert (answer.status, document["status"]) == (status, status)
    assert document["detail"]
    assert document["hint"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/workspaces", "GET, HEAD, POST"),
        (f"{W}/events", "GET, HEAD, POST"),
        (f"{W}/callbacks/cb_any", "DELETE, GET, HEAD, PUT"),
        (f"{W}/runs/run_any/cancel", "POST"),
        ("/api/v1/settings", "GET, HEAD, PATCH"),
    ],
)
async def test_of_a_method_that_an_address_has_not_says_which_it_has(server: Server, path: str, methods: str) -> None:
    answer = await server.admin.request("OPTIONS", path)
    assert (answer.status, answer.headers["allow"]) == (405, methods)


async def test_a_head_is_its_get_without_the_body(server: Server) -> None:
    for path in ("/api/v1/workspaces", f"{W}/events", f"{W}/callbacks", "/api/v1/settings", f"{W}/runs/run_nope"):
        got, head = await server.admin.get(path), await server.admin.request("HEAD", path)
        assert (head.status, head.body) == (got.status, b"")
        assert head.headers["content-length"] == got.headers["content-length"]
    assert (await server.nobody.request("HEAD", f"{W}/events")).status == 401


def test_a_trouble_of_the_server_does_not_tell_senders_where_its_database_is() -> None:
    trouble = TemporaryError("the disk is full", where="postgresql://me@db.corp.example/hookyard", hint="free some")
    answer = of_error(trouble)
    assert (answer.status_code, json.loads(bytes(answer.body))["hint"]) == (503, "free some")
    assert b"corp" not in bytes(answer.body)
    answer = of_error(NotFoundError("there is no such workspace", where="payments"))
    assert json.loads(bytes(answer.body))["where"] == "payments"
