"""The task tools over MCP: the reference client speaks to the real process, which asks a real server."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from mcp import ClientSession, StdioServerParameters, stdio_client

from hookyard.agents.mcp_server import McpServer
from hookyard.agents.tools import workspace_tools
from tests.agents.fakes import FakeWorkspace
from tests.hooks.receiver import Received, Receiver

TASKS = "/api/v1/workspaces/ws_1/tasks"


def answer(received: Received) -> web.Response:
    """The server's API, as far as the tools need it."""
    if received.headers["Authorization"] != "Bearer the-token":
        return web.json_response({"detail": "this token is not good here"}, status=401)
    method, path = received.request.method, received.path
    if (method, path) == ("GET", f"{TASKS}/owner/repo#12"):
        return web.json_response({"taskId": "owner/repo#12", "title": "Mend it"})
    if (method, path) == ("GET", f"{TASKS}/owner/repo#12/comments"):
        return web.json_response({"items": [{"content": "first"}], "nextCursor": None})
    if method == "GET":
        return web.json_response({"title": "Not found", "status": 404, "detail": "there is no such task"}, status=404)
    return web.json_response({"method": method, "path": path, **received.body}, status=201)


@asynccontextmanager
async def session(receiver: Receiver, token: str = "the-token") -> AsyncIterator[ClientSession]:
    environment = {"TASKS_API": receiver.url(""), "TASKS_WORKSPACE": "ws_1", "TASKS_TOKEN": token}
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "hookyard.agents.mcp_server"], env=environment
    )
    async with stdio_client(parameters) as (reading, writing), ClientSession(reading, writing) as opened:
        await opened.initialize()
        yield opened


@pytest.fixture
def api(receiver: Receiver) -> Receiver:
    class Everywhere(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            return answer

    receiver.answers = Everywhere()
    return receiver


async def called(opened: ClientSession, name: str, **args: Any) -> tuple[Any, bool]:
    result = await opened.call_tool(name, args)
    text = getattr(result.content[0], "text")  # noqa: B009 - one of several kinds of content
    return (text if result.is_error else json.loads(text)), bool(result.is_error)


async def test_the_four_tools(api: Receiver) -> None:
    async with session(api) as opened:
        listed = await opened.list_tools()
        assert [tool.name for tool in listed.tools] == ["get_task", "create_task", "update_task", "comment_task"]
        task, _ = await called(opened, "get_task", task_id="owner/repo#12")
        assert task == {"taskId": "owner/repo#12", "title": "Mend it", "comments": [{"content": "first"}]}
        made, _ = await called(opened, "create_task", title="New", type="bug")
        assert (made["method"], made["path"], made["type"]) == ("POST", TASKS, "bug")
        changed, _ = await called(opened, "update_task", task_id="task-1", status="done")
        assert (changed["method"], changed["path"], changed["status"]) == ("PATCH", f"{TASKS}/task-1", "done")
        commented, _ = await called(opened, "comment_task", task_id="task-1", content="完成")
        assert (commented["path"], commented["content"]) == (f"{TASKS}/task-1/comments", "完成")


async def test_what_goes_wrong_is_told_to_the_model(api: Receiver) -> None:
    async with session(api) as opened:
        assert await called(opened, "get_task", task_id="task-9") == ("there is no such task", True)
        text, failed = await called(opened, "comment_task", task_id="task-1")
        assert failed
        assert "content" in text
    async with session(api, token="another") as opened:
        assert await called(opened, "get_task", task_id="task-1") == ("this token is not good here", True)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("nonsense", -32700),
        ('{"jsonrpc": "2.0", "id": 1, "method": "no/such"}', -32601),
        ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "bash"}}', -32602),
        ('{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": []}', -32602),
    ],
)
async def test_errors_of_the_protocol(line: str, code: int) -> None:
    server = McpServer({tool.name: tool for tool in workspace_tools(FakeWorkspace())})
    answered = await server.answer(line)
    assert answered is not None
    assert answered["error"]["code"] == code


@pytest.mark.parametrize("line", ['{"jsonrpc": "2.0", "method": "notifications/initialized"}', "[]", "1"])
async def test_what_wants_no_answer_gets_none(line: str) -> None:
    server = McpServer({})
    assert await server.answer(line) is None
