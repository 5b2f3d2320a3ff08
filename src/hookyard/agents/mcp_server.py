"""The workspace's task tools over MCP, for agents that are programs: `python -m hookyard.agents.mcp_server`.

Started by such an agent for one run and spoken to over its input and output (JSON-RPC, a message a line; the Model
Context Protocol, https://modelcontextprotocol.io). It asks the server's API with the run's token, which is good for
these four tools in this workspace until the run ends. It must import nothing slow, since an agent waits for it to
start; the protocol's part that four tools need is small enough to be written here.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from hookyard.agents.session import ToolError
from hookyard.agents.tools import Tool, workspace_tools
from hookyard.core.errors import PermanentError

PROTOCOLS = ("2025-06-18", "2025-03-26", "2024-11-05")
"""Versions spoken, newest first."""

REQUEST_SECONDS = 60.0
LARGEST_ANSWER = 4 * 1024 * 1024
METHOD_NOT_FOUND, INVALID_PARAMS, PARSE_ERROR = -32601, -32602, -32700


class Api:
    """The four task tools, by the server's API.

    Args:
        url: The server.
        workspace: The run's workspace.
        token: The run's token.
    """

    def __init__(self, url: str, workspace: str, token: str) -> None:
        self._tasks = f"{url.rstrip('/')}/api/v1/workspaces/{urllib.parse.quote(workspace, safe='')}/tasks"
        self._token = token

    async def get_task(self, task_id: str) -> Mapping[str, Any]:
        """Return the task with its comments."""
        task = await self._ask("GET", _path(task_id))
        comments = await self._ask("GET", f"{_path(task_id)}/comments")
        return {**task, "comments": comments.get("items", [])}

    async def create_task(self, title: str, task_type: str, status: str, description: str) -> Mapping[str, Any]:
        """Make a task."""
        body = {"title": title, "type": task_type, "status": status, "description": description}
        return await self._ask("POST", "", body)

    async def update_task(self, task_id: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change fields of a task."""
        return await self._ask("PATCH", _path(task_id), changes)

    async def comment_task(self, task_id: str, content: str) -> Mapping[str, Any]:
        """Comment on a task and return the comment."""
        return await self._ask("POST", f"{_path(task_id)}/comments", {"content": content})

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return await asyncio.to_thread(self._request, method, path, body)

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the URL is the server's own
            self._tasks + path,
            method=method,
            data=None if body is None else json.dumps(body, ensure_ascii=False).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:  # noqa: S310
                answer = json.loads(response.read(LARGEST_ANSWER))
        except urllib.error.HTTPError as error:
            raise PermanentError(_problem(error)) from None
        except (OSError, ValueError) as error:
            raise PermanentError(f"the server cannot be reached: {error}") from None
        return answer if isinstance(answer, dict) else {}


class McpServer:
    """Answers JSON-RPC messages.

    Args:
        tools: The tools on offer, by name.
    """

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools

    async def answer(self, line: str) -> dict[str, Any] | None:
        """Return the response to one message, None for a notification."""
        try:
            message = json.loads(line)
        except ValueError:
            return _error(None, PARSE_ERROR, "no JSON")
        if not isinstance(message, dict) or "id" not in message or "method" not in message:
            return None
        params = message.get("params")
        return await self._call(message["id"], str(message["method"]), params if isinstance(params, dict) else {})

    async def _call(self, number: Any, method: str, params: dict[str, Any]) -> dict[str, Any]:
        match method:
            case "initialize":
                return _result(number, self._welcome(params.get("protocolVersion")))
            case "ping":
                return _result(number, {})
            case "tools/list":
                listed = [
                    {"name": tool.name, "description": tool.description, "inputSchema": tool.schema()}
                    for tool in self._tools.values()
                ]
                return _result(number, {"tools": listed})
            case "tools/call":
                return await self._tool(number, params)
        return _error(number, METHOD_NOT_FOUND, f"there is no method {method!r}")

    def _welcome(self, wanted: object) -> dict[str, Any]:
        return {
            "protocolVersion": wanted if wanted in PROTOCOLS else PROTOCOLS[0],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "hookyard", "version": "1"},
            "instructions": "The tasks of the workspace that this run belongs to.",
        }

    async def _tool(self, number: Any, params: dict[str, Any]) -> dict[str, Any]:
        tool = self._tools.get(str(params.get("name")))
        if tool is None:
            return _error(number, INVALID_PARAMS, f"there is no tool {params.get('name')!r}")
        try:
            text, failed = await tool.run(tool.check(json.dumps(params.get("arguments") or {}))), False
        except ToolError as error:
            text, failed = str(error), True
        return _result(number, {"content": [{"type": "text", "text": text}], "isError": failed})


async def serve(server: McpServer) -> None:
    """Answer messages from the input until it ends."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        answer = await server.answer(line)
        if answer is not None:
            sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
            sys.stdout.flush()


def main() -> int:
    """Serve the run that the environment names."""
    try:
        api = Api(os.environ["TASKS_API"], os.environ["TASKS_WORKSPACE"], os.environ["TASKS_TOKEN"])
    except KeyError as error:
        sys.stderr.write(f"{error.args[0]} is not set; this program is started by an agent that hookyard runs\n")
        return 2
    asyncio.run(serve(McpServer({tool.name: tool for tool in workspace_tools(api)})))
    return 0


def _path(task_id: str) -> str:
    return f"/{urllib.parse.quote(task_id, safe='')}"


def _problem(error: urllib.error.HTTPError) -> str:
    try:
        detail = json.loads(error.read(65_536)).get("detail")
    except (OSError, ValueError, AttributeError):
        detail = None
    return str(detail or f"the server answered {error.code}")


def _result(number: Any, result: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "result": result}


def _error(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


if __name__ == "__main__":
    sys.exit(main())
