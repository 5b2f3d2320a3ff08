"""Every route, walked: without a token 401, a stranger's token 404, too low a scope 403."""

import re
from collections.abc import Iterator

import pytest

from hookyard.ids import UserId, WorkspaceId
from hookyard.workspace.tokens import Scope
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


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/in/nothing", "/api/v2/workspaces"])
async def test_an_unknown_route_is_a_problem_document(server: Server, path: str) -> None:
    assert await status(server.admin, "GET", path) == 404


async def test_a_method_that_a_route_has_not_is_a_problem_document(server: Server) -> None:
    assert await status(server.admin, "PUT", "/api/v1/workspaces") == 405
    assert await status(server.nobody, "POST", "/healthz") == 405
