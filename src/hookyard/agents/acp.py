"""An agent that speaks the Agent Client Protocol, run over its input and output.

What it says, which tools it calls and what it uses up are seen. A webhook can deny a call only when the agent asks for
permission, which is the agent's own choice, and can change nothing: so it cannot be gated, and does not start where a
gate on tools fails closed. The protocol's library is an extra and is imported when a run starts.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
from typing import TYPE_CHECKING, Any

from hookyard.agents.base import (
    AgentError,
    AgentResult,
    Assignment,
    HookFirer,
    Parts,
    Recorder,
    Usage,
    WorkspaceTools,
)
from hookyard.agents.cli_agent import MCP_NAME, STDERR_CHARS, mcp_server
from hookyard.agents.processes import Bounded, started
from hookyard.agents.profiles import Profile
from hookyard.agents.repository_files import check_unknown
from hookyard.agents.session import AgentSession
from hookyard.hooks.points import Point

if TYPE_CHECKING:
    from acp import Agent as AcpConnection

LINE_BYTES = 16 * 1024 * 1024
"""Longest message of the agent: a file's content can be in one."""


class Acp:
    """Runs an agent once for each assignment.

    Args:
        command: Program and arguments.
        parts: What agents are made with.
    """

    kind = "acp"
    can_be_gated = False

    def __init__(self, command: tuple[str, ...], parts: Parts) -> None:
        self._command = command
        self._parts = parts

    async def run(
        self, assignment: Assignment, hooks: HookFirer, recorder: Recorder, tools: WorkspaceTools | None
    ) -> AgentResult:
        """Send the prompt to the agent and return its answer.

        Raises:
            AgentError: A gate on tools fails closed, or the agent could not be started or failed.
        """
        life = AgentSession(assignment, hooks, recorder, agent="acp", provider_name="acp", clock=self._parts.clock)

        async def work(prompt: str) -> str:
            if hooks.fail_closed(Point.TOOL_CALL_START) or hooks.fail_closed(Point.PRE_TOOL):
                raise AgentError(
                    "an ACP agent cannot be gated, and a webhook for its tools fails closed",
                    hint="use another kind of agent, or change on_failure of that webhook",
                )
            await asyncio.to_thread(check_unknown, assignment.working_dir)
            async with started(
                self._command,
                working_dir=assignment.working_dir,
                environment=assignment.environment,
                stdin=asyncio.subprocess.PIPE,
                line_bytes=LINE_BYTES,
            ) as process:
                errors = Bounded(STDERR_CHARS)
                listening = asyncio.ensure_future(_listen(process, errors))
                try:
                    return await _talk(process, life, assignment, prompt)
                except (AgentError, asyncio.CancelledError):
                    raise
                except Exception as error:
                    life.stderr_line(errors.text())
                    # The library has no exception of its own for an agent that hangs up or talks nonsense.
                    raise AgentError(f"{self._command[0]} failed: {error}", stack=errors.text()) from error
                finally:
                    listening.cancel()
                    await asyncio.gather(listening, return_exceptions=True)

        return await life.run(work)


async def _talk(process: asyncio.subprocess.Process, life: AgentSession, assignment: Assignment, prompt: str) -> str:
    from acp import PROTOCOL_VERSION, connect_to_agent, text_block
    from acp.schema import ClientCapabilities

    seen = AcpClient(life)
    client: Any = seen  # it has what the protocol needs of a client that offers neither files nor terminals
    connection = connect_to_agent(client, process.stdin, process.stdout)
    try:
        welcome = await connection.initialize(PROTOCOL_VERSION, ClientCapabilities())
        if welcome.agent_info is not None:
            life.agent_info(
                version=f"{welcome.agent_info.title or welcome.agent_info.name} {welcome.agent_info.version}"
            )
        session = await connection.new_session(str(assignment.working_dir), mcp_servers=_servers(assignment))
        answer = await connection.prompt(session.session_id, [text_block(prompt)])
    finally:
        await connection.close()
    await seen.words()
    if answer.usage is not None:
        life.spent(Usage(answer.usage.input_tokens, answer.usage.output_tokens, 1))
    if answer.stop_reason in ("refusal", "cancelled"):
        raise AgentError(f"the agent stopped: {answer.stop_reason}")
    life.statistics.truncated = answer.stop_reason != "end_turn"
    return life.statistics.last_message


def _servers(assignment: Assignment) -> list[Any]:
    from acp.schema import EnvVariable, McpServerStdio

    server = mcp_server(assignment)
    if server is None:
        return []
    environment = [EnvVariable(name=name, value=value) for name, value in server["env"].items()]
    return [McpServerStdio(name=MCP_NAME, command=server["command"], args=server["args"], env=environment)]


async def _listen(process: asyncio.subprocess.Process, errors: Bounded) -> None:
    assert process.stderr is not None  # started() made a pipe
    while chunk := await process.stderr.read(65_536):
        errors.add(chunk)


class AcpClient:
    """What the agent may ask of us and tells us: the client's side of the protocol.

    Args:
        life: The run's.
    """

    def __init__(self, life: AgentSession) -> None:
        self._life = life
        self._pieces: list[str] = []
        self._calls: dict[str, tuple[str, str, float]] = {}

    def on_connect(self, conn: AcpConnection) -> None:
        """Do nothing: hookyard sends the agent no requests from here."""

    async def words(self) -> None:
        """Join the pieces of what it said, and tell."""
        if self._pieces:
            text = "".join(self._pieces)
            self._pieces.clear()
            await self._life.answered(text, "")

    async def request_permission(self, session_id: str, tool_call: Any, options: list[Any], **more: Any) -> Any:
        """Answer the agent's permission request by the webhooks. ACP cannot carry modified arguments, so a modify is a
        deny."""
        from acp.schema import AllowedOutcome, DeniedOutcome, RequestPermissionResponse

        name, args = self._noted(tool_call)
        decision = await self._life.before(name, tool_call.tool_call_id, args)
        wanted = "reject_once" if decision.denied or decision.content is not None else "allow_once"
        for option in options:
            if option.kind == wanted:
                return RequestPermissionResponse(outcome=AllowedOutcome(outcome="selected", option_id=option.option_id))
        return RequestPermissionResponse(outcome=DeniedOutcome(outcome="cancelled"))

    async def session_update(self, session_id: str, update: Any, **more: Any) -> None:
        """Record what the agent reports."""
        kind = getattr(update, "session_update", "")
        if kind == "agent_message_chunk" and getattr(update.content, "type", "") == "text":
            self._pieces.append(update.content.text)
        elif kind in ("tool_call", "tool_call_update"):
            await self.words()
            name, args = self._noted(update)
            if update.status in ("completed", "failed"):
                await self._ended(update, name, args)

    async def ext_method(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Reject the request: hookyard offers no extensions."""
        from acp import RequestError

        raise RequestError.method_not_found(method)

    async def ext_notification(self, method: str, params: dict[str, Any]) -> None:
        """Ignore the notification: hookyard knows no extensions."""

    def _noted(self, call: Any) -> tuple[str, str]:
        """Return name and arguments of a call, and record the first sight of it."""
        known = self._calls.get(call.tool_call_id)
        if known is None:
            name = call.title or call.kind or "tool"
            given = call.raw_input
            args = json.dumps(given if isinstance(given, dict) else {"input": given}, ensure_ascii=False, default=str)
            known = self._calls[call.tool_call_id] = (name, args, self._life.elapsed_ms())
            self._life.called(name, call.tool_call_id, args)
        return known[0], known[1]

    async def _ended(self, call: Any, name: str, args: str) -> None:
        took = self._life.elapsed_ms() - self._calls[call.tool_call_id][2]
        success = call.status == "completed"
        result = _result(call)
        self._life.returned(call.tool_call_id, result, success=success, duration_ms=took)
        if success:
            self._life.edited(*(location.path for location in call.locations or () if call.kind == "edit"))
        await self._life.after(name, call.tool_call_id, args, result, success=success, duration_ms=took)


def _result(call: Any) -> str:
    if call.raw_output is not None:
        output = call.raw_output
        return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, default=str)
    texts = [getattr(getattr(part, "content", None), "text", "") for part in call.content or ()]
    return "\n".join(text for text in texts if text)


def unavailable() -> str | None:
    """Return why the kind cannot be used on this machine, None when it can."""
    if importlib.util.find_spec("acp") is None:
        return "the Agent Client Protocol is not installed; install it: pip install 'hookyard[acp]'"
    return None


def make(profile: Profile, parts: Parts) -> Acp:
    """Return the agent of a profile."""
    assert profile.command is not None  # the profile's own check
    return Acp(profile.command, parts)
