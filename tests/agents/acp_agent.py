"""An ACP agent made with the reference library, run as a process by the tests. It asks before it acts, as told."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from acp import (
    InitializeResponse,
    NewSessionResponse,
    PromptResponse,
    RequestError,
    run_agent,
    start_tool_call,
    update_agent_message_text,
    update_tool_call,
)
from acp.schema import Implementation, PermissionOption, ToolCallUpdate, Usage


class Asking:
    def on_connect(self, conn: Any) -> None:
        self.client = conn

    async def initialize(self, protocol_version: int, *_: Any, **__: Any) -> InitializeResponse:
        return InitializeResponse(
            protocol_version=protocol_version, agent_info=Implementation(name="acp-agent", version="1.2.3")
        )

    async def new_session(self, cwd: str, *_: Any, **more: Any) -> NewSessionResponse:
        self.cwd = Path(cwd)
        self.servers = [server.name for server in more.get("mcp_servers") or []]
        return NewSessionResponse(session_id="s1")

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> PromptResponse:
        told = prompt[0].text
        if told == "fail":
            raise RequestError.internal_error({"why": "told to"})
        if told == "die":
            sys.exit("dying as told")
        if told == "hang":
            (self.cwd / "begun").touch()
            await asyncio.sleep(600)
        await self.client.session_update(session_id, update_agent_message_text("I will "))
        await self.client.session_update(session_id, update_agent_message_text("write."))
        given = {"path": "made"}
        start = start_tool_call("call_1", "write_file", kind="edit", status="pending", raw_input=given)
        await self.client.session_update(session_id, start)
        options = [
            PermissionOption(option_id="yes", name="Yes", kind="allow_once"),
            PermissionOption(option_id="no", name="No", kind="reject_once"),
        ]
        asked = ToolCallUpdate(tool_call_id="call_1", title="write_file", raw_input=given)
        answer = await self.client.request_permission(session_id, asked, options)
        allowed = getattr(answer.outcome, "option_id", None) == "yes"
        if allowed:
            (self.cwd / "made").write_text(told)
        done = update_tool_call(
            "call_1", status="completed" if allowed else "failed", raw_output="written" if allowed else "refused"
        )
        await self.client.session_update(session_id, done)
        await self.client.session_update(session_id, update_agent_message_text(f"Done. {self.servers}"))
        return PromptResponse(stop_reason="end_turn", usage=Usage(input_tokens=7, output_tokens=3, total_tokens=10))


if __name__ == "__main__":
    agent: Any = Asking()
    asyncio.run(run_agent(agent))
