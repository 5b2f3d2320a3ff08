"""Two tenants on one server, one of them hostile. What was tried is listed in decision 0702.

Workspace `w` minds its own business; everything below is done with the tokens of workspace `x`.
"""

import asyncio
import time
from typing import Any

import pytest

from hookyard.core.ids import UserId, WorkspaceId
from hookyard.identity.tokens import Scope
from hookyard.web.api.paging import pack
from tests.web.conftest import Answer, Client, Server

MINE, THEIRS = "/api/v1/workspaces/x", "/api/v1/workspaces/w"
JOINED = {"eventName": "workspace.member_joined", "userId": "u", "userName": "n"}
CALLBACK = {"name": "c", "events": ["task.created", "task.updated"], "prompt": "{{taskTitle}}"}


@pytest.fixture
async def sender(server: Server) -> Client:
    """The hostile tenant's ingest token."""
    _, secret = await server.services.tokens.create("t", Scope.INGEST, WorkspaceId("x"), UserId("u2"))
    return server.client(secret)


@pytest.fixture
async def victim(server: Server) -> dict[str, str]:
    """Ids of what workspace `w` has."""
    callback = (await server.member.post(f"{THEIRS}/callbacks", CALLBACK)).json()["id"]
    task = (await server.member.post(f"{THEIRS}/tasks", {"title": "secret plan"})).json()
    (event,) = (await server.member.get(f"{THEIRS}/events?name=task.created")).json()["items"]
    (run,) = (await server.member.get(f"{THEIRS}/runs")).json()["items"]
    return {"callback": callback, "task": task["taskDBId"], "event": event["id"], "run": run["id"]}


async def test_foreign_ids_in_ones_own_workspace(server: Server, victim: dict[str, str]) -> None:
    tries = [
        ("GET", f"tasks/{victim['task']}", None),
        ("PATCH", f"tasks/{victim['task']}", {"status": "done"}),
        ("DELETE", f"tasks/{victim['task']}", None),
        ("POST", f"tasks/{victim['task']}/comments", {"content": "x"}),
        ("GET", f"callbacks/{victim['callback']}", None),
        ("PUT", f"callbacks/{victim['callback']}", CALLBACK),
        ("DELETE", f"callbacks/{victim['callback']}", None),
        ("GET", f"callbacks/{victim['callback']}/versions", None),
        ("POST", f"callbacks/{victim['callback']}/versions/1/restore", None),
        ("POST", "callbacks/check", {"events": ["task.created"], "prompt": "", "eventId": victim["event"]}),
        ("GET", f"events/{victim['event']}", None),
        ("POST", f"events/{victim['event']}/replay", None),
        ("GET", f"runs/{victim['run']}", None),
        ("POST", f"runs/{victim['run']}/cancel", None),
        ("POST", f"runs/{victim['run']}/retry", None),
    ]
    for method, path, body in tries:
        answer = await server.stranger.request(method, f"{MINE}/{path}", body)
        assert answer.status == 404, (method, path, answer.text)
        assert "secret plan" not in answer.text
    assert (await server.member.get(f"{THEIRS}/tasks/{victim['task']}")).json()["status"] == "todo"
    assert len((await server.member.get(f"{THEIRS}/runs")).json()["items"]) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/workspaces/x/../w/tasks",
        "/api/v1/workspaces/x%2F..%2Fw/tasks",
        "/api/v1/workspaces/x/tasks/../../w/tasks",
        "/api/v1/workspaces/x/tasks/%2e%2e%2f%2e%2e%2fw%2ftasks",
        "/api/v1/workspaces//w/tasks",
        "/api/v1/workspaces/w%00/tasks",
        "/api/v1/workspaces/W/tasks",
        "/api/v1/workspaces/%77/tasks",
    ],
)
async def test_other_ways_of_writing_the_path(server: Server, victim: dict[str, str], path: str) -> None:
    answer = await raw_get(server.stranger, path)
    assert b" 404 " in answer.split(b"\r\n")[0], answer
    assert b"secret plan" not in answer


async def raw_get(client: Client, path: str) -> bytes:
    """A GET whose path no client library has tidied up."""
    host, port = client.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.token}\r\nConnection: close\r\n\r\n"
    writer.write(head.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.usefixtures("victim")
@pytest.mark.parametrize(
    "query",
    ["search=%25", "search=secret", "status=' OR '1'='1", "status=todo'--", "assignee=u1", "search=' UNION SELECT"],
)
async def test_filters_are_values_and_nothing_else(server: Server, query: str) -> None:
    answer = await server.stranger.get(f"{MINE}/tasks?{query}")
    assert answer.json()["items"] == []


async def test_an_event_cannot_name_another_workspace_or_our_own_sources(
    server: Server, sender: Client, victim: dict[str, str]
) -> None:
    claims: list[dict[str, Any]] = [
        {"workspaceId": "w"},
        {"source": "hookyard:workspace"},
        {"source": "hookyard:github"},
        {"authorTrust": "member"},
        {"cause": [{"runId": victim["run"]}]},
    ]
    for claim in claims:
        assert (await sender.post(f"{MINE}/events", JOINED | claim)).status == 422
    assert (await sender.post(f"{THEIRS}/events", JOINED)).status == 404
    assert (await sender.get(f"{MINE}/events")).status == 403


async def test_ids_and_operations_of_one_never_take_those_of_the_other(server: Server, sender: Client) -> None:
    body = JOINED | {"id": "same", "operationId": "same", "source": "same"}
    assert (await sender.post(f"{MINE}/events", body)).status == 202
    assert (await server.ingest.post(f"{THEIRS}/events", body)).status == 202
    assert (await server.ingest.post(f"{THEIRS}/events", body)).status == 200


async def test_an_event_about_a_foreign_task_touches_nothing_of_its_owner(
    server: Server, sender: Client, victim: dict[str, str]
) -> None:
    event = {
        "eventName": "task.created",
        "taskId": "task-1",
        "taskDBId": victim["task"],
        "taskType": "task",
        "taskTitle": "taken over",
        "taskStatus": "done",
        "createdBy": "me",
    }
    assert (await sender.post(f"{MINE}/events", event)).json()["runs"] == []
    assert (await server.member.get(f"{THEIRS}/tasks/{victim['task']}")).json()["title"] == "secret plan"
    assert len((await server.member.get(f"{THEIRS}/runs")).json()["items"]) == 1


async def test_what_only_administrators_may_do(server: Server) -> None:
    tries: list[tuple[str, str, Any]] = [
        ("POST", "/api/v1/workspaces", {"name": "mine"}),
        ("POST", f"{MINE}/members", {"userId": "me", "userName": "me"}),
        ("POST", f"{MINE}/tokens", {"name": "t", "scope": "member"}),
        ("POST", "/api/v1/tokens", {"name": "t"}),
        ("PATCH", "/api/v1/settings", {"eventCallback.maxQueueSize": 100_000}),
        ("POST", "/api/v1/agent-profiles", {"name": "sh", "kind": "command", "argv": ["sh"]}),
        ("POST", f"{MINE}/webhooks", {"name": "h", "trigger": "message", "url": "http://127.0.0.1/"}),
        ("PUT", f"{MINE}/sources/github", {"secret": "s"}),
        ("POST", "/api/v1/event-types", {"name": "a.b", "variables": []}),
        ("POST", f"{MINE}/callbacks", CALLBACK | {"agent": {"kind": "command", "argv": ["sh"]}}),
    ]
    for method, path, body in tries:
        assert (await server.stranger.request(method, path, body)).status == 403, (method, path)
    for path in ("members", "tokens"):
        assert (await server.stranger.post(f"{THEIRS}/{path}", {"userId": "me", "userName": "me"})).status == 404


async def test_a_full_backlog_is_its_owners_alone(server: Server, sender: Client) -> None:
    await server.admin.request("PATCH", "/api/v1/settings", {"eventCallback.maxBacklog": 1})
    callback = {"name": "c", "events": ["workspace.member_joined"], "prompt": "go"}
    for client, path in ((server.stranger, MINE), (server.member, THEIRS)):
        assert (await client.post(f"{path}/callbacks", callback)).status == 201
    answers: list[Answer] = []
    deadline = time.monotonic() + 60
    while not answers or (answers[-1].status == 202 and time.monotonic() < deadline):
        answers.append(await sender.post(f"{MINE}/events", JOINED | {"id": str(len(answers))}))
        await asyncio.sleep(0.1)
    assert answers[-1].status == 429
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert (await server.ingest.post(f"{THEIRS}/events", JOINED)).status == 202
    # What happens in the workspace itself is always stored.
    assert (await server.stranger.post(f"{MINE}/tasks", {"title": "still"})).status == 201


async def test_conditions_that_never_end_hold_up_nobody_else(server: Server, sender: Client) -> None:
    loop = {"name": "c", "events": ["workspace.member_joined"], "prompt": "go", "condition": "(() => { for (;;); })()"}
    for _ in range(5):
        assert (await server.stranger.post(f"{MINE}/callbacks", loop)).status == 201
    good = loop | {"condition": "ctx.userName === 'n'"}
    assert (await server.member.post(f"{THEIRS}/callbacks", good)).status == 201
    attack = [asyncio.create_task(sender.post(f"{MINE}/events", JOINED | {"id": str(n)})) for n in range(20)]
    await asyncio.sleep(0.05)
    began = time.monotonic()
    taken = await server.ingest.post(f"{THEIRS}/events", JOINED)
    assert taken.status == 202, taken.text
    assert time.monotonic() - began < 5  # waiting for all the attack's loops takes 20 s
    assert len(taken.json()["runs"]) == 1
    assert {answer.status for answer in await asyncio.gather(*attack)} == {202}


async def test_a_cursor_of_ones_own_making_shows_nothing_else(server: Server, victim: dict[str, str]) -> None:
    for path, key in (("tasks", (9e12, "~")), ("events", ("~",)), ("runs", ("~",)), ("callbacks", ("",))):
        answer = await server.stranger.get(f"{MINE}/{path}?cursor={pack(*key)}")
        assert answer.status == 200
        assert not any(ident in answer.text for ident in victim.values())


async def test_tokens_of_others_are_not_told_apart_from_nonsense(server: Server) -> None:
    guesses = ("hky_" + "A" * 43, "nonsense", "", "hky_", "Bearer", "hky_" + "é" * 10, "x" * 10_000)
    for guess in guesses:
        answer = await server.client(guess).get(f"{THEIRS}/tasks")
        assert answer.status in (400, 401), (guess[:20], answer.status)
