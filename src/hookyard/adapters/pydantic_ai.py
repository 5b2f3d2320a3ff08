"""The hook points inside agents made with pydantic-ai: `Agent(…, capabilities=[Webhooks(Hooks.load())])`.

Used by programs that have pydantic-ai; nothing of hookyard imports it. Both tool points are fired before pydantic-ai
validates the arguments, so that what a webhook put in their place is validated too and never runs when it does not fit.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import SkipToolExecution
from pydantic_ai.messages import InstructionPart, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import ModelRequestContext
from pydantic_ai.run import AgentRunResult
from pydantic_ai.tools import ToolDefinition

from hookyard.core.errors import NotAllowedError
from hookyard.hooks.decision import Decision
from hookyard.hooks.hooks import Hooks
from hookyard.hooks.points import Point


@dataclass
class Webhooks(AbstractCapability[Any]):
    """Fires every hook point of a run, and obeys the answers.

    A refused message raises `hookyard.core.errors.NotAllowedError` from the run, and so does a modified one, since the
    message of a pydantic-ai run cannot be changed any more. A refused tool call is not executed; the model reads why.

    Attributes:
        hooks: What is asked.
        agent: Which agent, for the webhooks to see.
        session_id: The conversation, for the webhooks to see; the run's id when None.
        working_dir: The folder in which its tools work; the process's own when None.
        clock: Measures.
    """

    hooks: Hooks
    agent: str = "pydantic-ai"
    session_id: str | None = None
    working_dir: str | None = None
    clock: Callable[[], float] = time.monotonic
    _run_id: str | None = field(default=None, init=False)
    _began: dict[str, float] = field(default_factory=dict, init=False)
    _denied: dict[str, str] = field(default_factory=dict, init=False)
    _calls: int = field(default=0, init=False)

    async def for_run(self, ctx: RunContext[Any]) -> Webhooks:
        """Return a copy for one run, with state of its own."""
        own = replace(self)
        own._run_id = ctx.run_id  # noqa: SLF001 - of the same class
        if own.working_dir is None:
            with contextlib.suppress(OSError):  # the folder is gone
                own.working_dir = str(Path.cwd())
        return own

    async def wrap_run(self, ctx: RunContext[Any], *, handler: Any) -> AgentRunResult[Any]:
        """Wrap a run: its message may be rejected, and its end is reported however it comes."""
        began = self.clock()
        model = {"model_name": ctx.model.model_name, "provider_name": ctx.model.system}
        await self._fire(Point.SESSION_START, **model)
        try:
            try:
                await self._message(ctx)
                await self._fire(Point.TURN_START, phase="prompt")
                result: AgentRunResult[Any] = await handler()
            except Exception as error:
                await self._fire(Point.ERROR, error_type=type(error).__name__, error_message=str(error), phase="run")
                await self._turn_end("Failed", began)
                raise
            await self._turn_end("UsedTools" if self._calls else "Responded", began, result.usage.total_tokens)
            return result
        finally:
            await self._fire(Point.SESSION_END, **model)

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Fire the system prompt point; webhooks may append to the prompt."""
        parameters = request_context.model_request_parameters
        parts = parameters.instruction_parts or []
        prompt = "\n\n".join(part.content for part in parts)
        decision = await self._fire(Point.SYSTEM_PROMPT, system_prompt=prompt)
        if decision.content is None:
            return request_context
        more = [*parts, InstructionPart(content=decision.content)]
        return replace(request_context, model_request_parameters=replace(parameters, instruction_parts=more))

    async def after_model_request(
        self, ctx: RunContext[Any], *, request_context: ModelRequestContext, response: ModelResponse
    ) -> ModelResponse:
        """Fire the model response point; webhooks may replace the text."""
        text = "".join(part.content for part in response.parts if isinstance(part, TextPart))
        if not text:
            return response
        decision = await self._fire(Point.MODEL_RESPONSE, response=text, model_name=response.model_name)
        if decision.content is None:
            return response
        others = [part for part in response.parts if not isinstance(part, TextPart)]
        return replace(response, parts=[TextPart(decision.content), *others])

    async def before_tool_validate(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any
    ) -> Any:
        """Fire the points before a tool call."""
        self._calls += 1
        self._began[call.tool_call_id] = self.clock()
        text = args if isinstance(args, str) else json.dumps(args or {}, ensure_ascii=False)
        given = text
        for point in (Point.TOOL_CALL_START, Point.PRE_TOOL):
            decision = await self._fire(point, tool_name=call.tool_name, tool_args=text, call_id=call.tool_call_id)
            if decision.denied:
                self._denied[call.tool_call_id] = f"Denied: {decision.message or 'a webhook gave no reason'}"
                return args
            text = decision.content or text
        return args if text == given else text

    async def before_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any
    ) -> Any:
        """Skip a denied call; the model reads the reason as its result."""
        reason = self._denied.pop(call.tool_call_id, None)
        if reason is not None:
            raise SkipToolExecution(reason)
        return args

    async def after_tool_execute(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any, result: Any
    ) -> Any:
        """Fire the point after a tool call; webhooks may replace the result."""
        decision = await self._post_tool(call, args, result, success=True)
        return result if decision.content is None else decision.content

    async def on_tool_execute_error(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any, error: Exception
    ) -> Any:
        """Report a failed tool to the webhooks and raise its error again."""
        await self._post_tool(call, args, str(error), success=False)
        raise error

    async def _post_tool(self, call: ToolCallPart, args: Any, result: Any, *, success: bool) -> Decision:
        began = self._began.pop(call.tool_call_id, None)
        return await self._fire(
            Point.POST_TOOL,
            tool_name=call.tool_name,
            tool_args=json.dumps(args, ensure_ascii=False, default=str),
            call_id=call.tool_call_id,
            result=result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=str),
            success=success,
            duration_ms=None if began is None else round((self.clock() - began) * 1000, 1),
        )

    async def _message(self, ctx: RunContext[Any]) -> None:
        prompt = ctx.prompt if isinstance(ctx.prompt, str) else "" if ctx.prompt is None else str(ctx.prompt)
        decision = await self._fire(Point.MESSAGE, content=prompt)
        if decision.denied:
            raise NotAllowedError(decision.message or "a webhook refused the message")
        if decision.content is not None:
            raise NotAllowedError("a webhook changed the message, which cannot be done here")

    async def _turn_end(self, result_type: str, began: float, tokens: int | None = None) -> None:
        await self._fire(
            Point.TURN_COMPLETE,
            result_type=result_type,
            tokens_used=tokens,
            tool_calls=self._calls,
            duration_ms=round((self.clock() - began) * 1000, 1),
        )
        await self._fire(Point.POST_TURN, turn_result=result_type)

    async def _fire(self, point: Point, **own: Any) -> Decision:
        # Also where nothing listens: hook files are kept from every tool call.
        session_id = self.session_id or self._run_id
        return await self.hooks.fire(
            point, session_id=session_id, working_dir=self.working_dir, agent=self.agent, **own
        )
