"""Every route, walked: without a token 401, a stranger's token 404, too low a scope 403."""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import update

from hookyard.core.ids import UserId, WorkspaceId
from hookyard.identity.tokens import Scope
from hookyard.store import schema
from tests.web.conftest import Answer, Client, Server

EXAMPLES = {"workspace": "w", "task": "task-1", "user_id": "u1", "token_id": "tok_1", "name": "some", "kind": "github"}


async def operations(server: Server) -> Iterator[tuple[str, str, str]]:
    """Method, path with examples, and template of every operation of the API."""
    document = (await server.admin.get("/api/openapi.json")).json()
    assert document["paths"]
    return (
        (method.upper(), re.sub(r"\{(\w+)(:path)?\}", lambda m: EXAMPLES.get(m[1], "some"), path), path)
        for path, item in document["paths"].items()
        for method in item
        if path.startswith("/api/")
    )


async def ask(client: Client, method: str, path: str) -> Answer:
    """A request with an empty object as its body; a refusal must be a problem document."""
    answer = await client.request(method, path, None if method in ("GET", "DELETE") else {})
    if answer.status >= 400:
        assert answer.headers["content-type"] == "application/problem+json", (method, path, answer.text)
        assert answer.json()["status"] == answer.status
    return answer


async def status(client: Client, method: str, path: str) -> int:
    """Its status."""
    return (await ask(client, method, path)).status


async def test_without_a_token_every_route_says_401(server: Server) -> None:
    for method, path, _ in await operations(server):
        assert await status(server.nobody, method, path) == 401, (method, path)
        assert await status(server.client("hky_nonsense"), method, path) == 401, (method, path)


async def test_a_stranger_finds_no_route_of_a_workspace(server: Server) -> None:
    _, ingest = await server.services.tokens.create("t", Scope.INGEST, WorkspaceId("x"), UserId("u2"))
    for method, path, template in await operations(server):
        if "{workspace}" not in template:
            continue
        for client in (server.stranger, server.client(ingest)):
            answer = await ask(client, method, path)
            assert answer.status == 404, (method, path, answer.text)
            # The same words as for a workspace that nobody has.
            nowhere = await ask(client, method, path.replace("/workspaces/w", "/workspaces/nowhere"))
            assert nowhere.text == answer.text.replace('"w"', '"nowhere"')
    assert await server.events() == []


@pytest.mark.parametrize("raw", [b"{", b"\xff", b'{"a":' * 20_000])
async def test_a_body_that_cannot_be_read_tells_no_stranger_anything(server: Server, raw: bytes) -> None:
    for method, path, template in await operations(server):
        if method in ("GET", "DELETE"):
            continue
        headers = {"content-type": "application/json"}
        unknown = await server.nobody.request(method, path, data=raw, headers=headers)
        assert unknown.status == 401, (method, path, unknown.text)
        if "{workspace}" in template:
            foreign = await server.stranger.request(method, path, data=raw, headers=headers)
            assert foreign.status == 404, (method, path, foreign.text)


async def test_administrators_find_no_workspace_that_is_not_there(server: Server) -> None:
    for method, path, template in await operations(server):
        if "{workspace}" in template:
            there = path.replace("/workspaces/w", "/workspaces/nowhere")
            assert await status(server.admin, method, there) in (404, 422), (method, path)


async def test_a_scope_that_is_too_low_is_refused(server: Server) -> None:
    for method, path, template in await operations(server):
        if template == "/api/v1/workspaces/{workspace}/events" and method == "POST":
            continue
        assert await status(server.ingest, method, path) == 403, (method, path)


MEMBERS_READ = re.compile(
    r"/api/v1/(workspaces|event-types|agent-profiles(/\{name\})?|workspaces/\{workspace\}(/members)?)"
)
MEMBERS_DO = re.compile(r"/api/v1/workspaces/\{workspace\}/(tasks|events|callbacks|runs)(/.*)?")


async def test_members_may_do_what_the_contract_gives_them_and_no_more(server: Server) -> None:
    for method, path, template in await operations(server):
        allowed = MEMBERS_DO.fullmatch(template) or (method == "GET" and MEMBERS_READ.fullmatch(template))
        refused = await status(server.member, method, path) == 403
        assert refused is not bool(allowed), (method, template)


RUNS_DO = {
    ("POST", "/api/v1/workspaces/{workspace}/tasks"),
    ("GET", "/api/v1/workspaces/{workspace}/tasks/{task}"),
    ("PATCH", "/api/v1/workspaces/{workspace}/tasks/{task}"),
    ("GET", "/api/v1/workspaces/{workspace}/tasks/{task}/comments"),
    ("POST", "/api/v1/workspaces/{workspace}/tasks/{task}/comments"),
}


async def test_a_run_may_use_its_task_tools_in_its_workspace_until_it_ends(server: Server) -> None:
    callback = {"name": "c", "events": ["task.created"], "prompt": "p"}
    assert (await server.member.post("/api/v1/workspaces/w/callbacks", callback)).status == 201
    assert (await server.member.post("/api/v1/workspaces/w/tasks", {"title": "a"})).status == 201
    (run,) = (await server.member.get("/api/v1/workspaces/w/runs")).json()["items"]

    async def become(status: str) -> None:
        change = update(schema.runs).where(schema.runs.c.id == run["id"]).values(status=status)
        await server.services.database.write(lambda conn: conn.execute(change).rowcount)
        server.services.auth.forget()

    secret = await server.services.tokens.for_run(WorkspaceId("w"), run["id"], server.services.clock.now() + 3600)
    client = server.client(secret)
    assert (await client.get("/api/v1/workspaces/w/tasks/task-1")).status == 401  # it has not begun
    await become("running")
    for method, path, template in await operations(server):
        answer = await ask(client, method, path)
        assert (answer.status != 403) is ((method, template) in RUNS_DO), (method, path, answer.text)
        if "{workspace}" in template:
            assert await status(client, method, path.replace("/workspaces/w", "/workspaces/x")) == 404, (method, path)
    made = (await client.post("/api/v1/workspaces/w/tasks/task-1/comments", {"content": "seen"})).json()
    event = (await server.member.get("/api/v1/workspaces/w/events?limit=1")).json()["items"][0]
    assert (event["variables"]["commentId"], event["causes"][0]["runId"]) == (made["id"], run["id"])
    await become("succeeded")
    for method, path, _ in await operations(server):
        assert await status(client, method, path) == 401, (method, path)


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/in/nothing", "/api/v2/workspaces"])
async def test_an_unknown_route_is_a_problem_document(server: Server, path: str) -> None:
    assert await status(server.admin, "GET", path) == 404


async def test_a_method_that_a_route_has_not_is_a_problem_document(server: Server) -> None:
    assert await status(server.admin, "PUT", "/api/v1/workspaces") == 405
    assert await status(server.nobody, "POST", "/healthz") == 405
