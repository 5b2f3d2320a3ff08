"""An agent's life: fires the hook points of one session in the right order and applies what the webhooks decide.

Made by every kind of agent that hookyard runs in its own process; an agent that is a process of its own fires its tool
points through the bridge and uses this for the others. It knows no model and no tool: it is handed a step and does it
when no webhook objects. It must not do input or output of its own.

The order: session_start, message, turn_start, system_prompt, then for every answer of the model model_response and for
each tool call tool_call_start, pre_tool and post_tool; at last error (when it failed or was cancelled), turn_complete,
post_turn, session_end. These come whatever happens, each within `CLOSING_SECONDS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from hookyard.agents.base import (
    AgentResult,
    Assignment,
    HookFirer,
    PromptDeniedError,
    Recorder,
    ResultType,
    TimeLimitError,
    Usage,
)
from hookyard.core.clock import Clock, SystemClock, iso
from hookyard.hooks.decision import Decision
from hookyard.hooks.points import Point

CLOSING_SECONDS = 60.0
"""Limit of each of the last points: enough for the default tries of a webhook that does not answer."""

HURRIED_SECONDS = 5.0
"""The same when the run was cancelled or its time is up, and a caller waits for its end."""

ERROR_CHARS = 4_000
"""Longest `error_message` sent to a webhook."""


class ToolError(Exception):
    """A tool could not do what it was asked; the text is for the model to read."""


class ToolStep(Protocol):
    """One tool, as a life sees it."""

    @property
    def name(self) -> str:
        """As the model calls it."""
        ...

    def check(self, args: str) -> Any:
        """Return the arguments in the tool's own form, from a JSON text.

        Raises:
            ToolError: They do not fit; the text says how.
        """
        ...

    async def permit(self, checked: Any) -> None:
        """Call every gate that applies.

        Raises:
            ToolError: It is not permitted; the text says why.
        """
        ...

    async def run(self, checked: Any) -> str:
        """Do it; gives what the model reads.

        Raises:
            ToolError: It failed.
        """
        ...

    def edits(self, checked: Any) -> str | None:
        """Return the file that the call changes, None when it changes none."""
        ...


@dataclass
class Statistics:
    """What `on_turn_complete` reports about a turn.

    Attributes:
        usage: Tokens and requests so far.
        tool_calls: Calls that the model asked for.
        truncated: The model was cut short by its own limit.
        edited_files: Files changed through tools, each once, in order.
        last_message: The agent's last words.
    """

    usage: Usage
    tool_calls: int = 0
    truncated: bool = False
    edited_files: list[str] = field(default_factory=list)
    last_message: str = ""


class AgentSession:
    """One session of an agent, of one turn.

    Args:
        assignment: What the agent is asked to do.
        hooks: Calls the webhooks.
        recorder: Keeps what happens.
        agent: Name sent to webhooks, such as `hookyard` or `claude-code`.
        model_name: The model, `""` when there is none.
        provider_name: Its provider, `""` when there is none.
        clock: Measures and dates.
    """

    def __init__(
        self,
        assignment: Assignment,
        hooks: HookFirer,
        recorder: Recorder,
        *,
        agent: str = "hookyard",
        model_name: str = "",
        provider_name: str = "",
        clock: Clock | None = None,
    ) -> None:
        self.assignment = assignment
        self.statistics = Statistics(Usage())
        self._hooks = hooks
        self._recorder = recorder
        self._model = {"model_name": model_name, "provider_name": provider_name}
        self._clock = clock or SystemClock()
        self._phase = "session_start"
        self._started = self._clock.monotonic()
        self._common: dict[str, Any] = {
            "session_id": assignment.session_id,
            "working_dir": str(assignment.working_dir),
            "turn_number": 1,
            "agent": agent,
            "cause": assignment.cause,
            "run_id": assignment.run_id,
            "workspace_id": assignment.workspace_id,
        }

    async def run(self, work: Callable[[str], Awaitable[str]]) -> AgentResult:
        """Run the session.

        Args:
            work: Does the work of the turn; is given the prompt as the webhooks left it and gives the answer.

        Raises:
            PromptDeniedError: A webhook refused the message.
            TimeLimitError: The assignment's time ran out; the work has been cancelled.
            Exception: Whatever the work raised.
        """
        outcome = ResultType.FAILED
        failure: BaseException | None = None
        limit = asyncio.timeout(self.assignment.timeout_seconds)
        try:
            async with limit:
                answer = await self._turn(work)
            outcome = ResultType.USED_TOOLS if self.statistics.tool_calls else ResultType.RESPONDED
        except asyncio.CancelledError as cancelled:
            outcome, failure = ResultType.CANCELLED, cancelled
            raise
        except TimeoutError as error:
            failure = self._time_limit() if limit.expired() else error
            raise failure from None
        except Exception as error:
            failure = error
            raise
        finally:
            await self._close(outcome, failure)
        return AgentResult(answer, outcome, self.statistics.usage)

    async def system_prompt(self, text: str) -> str:
        """Return the system prompt with the webhooks' additions."""
        self._phase = "system_prompt"
        decision = await self._fire(Point.SYSTEM_PROMPT, system_prompt=text)
        full = text if decision.content is None else f"{text}\n\n{decision.content}"
        self._recorder.message("system", full)
        return full

    async def answered(self, text: str, model_name: str) -> str:
        """Return the model's text as the webhooks left it; `""` when the model only called tools."""
        self._phase = "model_response"
        if model_name:
            self.agent_info(model=model_name)
        turn = {"turn_number": 1, "requests": self.statistics.usage.requests, "tool_calls": self.statistics.tool_calls}
        decision = await self._fire(Point.MODEL_RESPONSE, model_name=model_name, response=text, turn_context=turn)
        said = text if decision.content is None else decision.content
        if said:
            self.statistics.last_message = said
            self._recorder.message("assistant", said)
        return said

    def agent_info(self, *, version: str = "", model: str = "") -> None:
        """Note what the agent says of itself; see `agents.base.Recorder`."""
        self._recorder.agent_info(version=version, model=model)

    def spent(self, usage: Usage) -> None:
        """Note what has been used up so far, in total."""
        self.statistics.usage = usage
        self._recorder.usage(usage)

    async def tool(self, step: ToolStep | None, name: str, call_id: str, args: str) -> tuple[str, bool]:
        """Make one tool call, if no gate denies it. Several may run at once.

        Args:
            step: The tool, None when there is none of that name.
            name: The tool's name, as the model gave it.
            call_id: The model's id of the call.
            args: JSON text, as the model gave it.

        Returns:
            What the model receives, and whether the call succeeded.
        """
        self._phase = "tool"
        self.statistics.tool_calls += 1
        self._recorder.tool_call(call_id, name, args)
        started = self._clock.monotonic()
        try:
            args, checked = await self._allowed(step, name, call_id, args)
        except ToolError as refused:
            self._recorder.tool_result(
                call_id, str(refused), success=False, duration_ms=self._since(started), ran=False
            )
            return str(refused), False
        assert step is not None  # _allowed refuses a call of no tool
        started = self._clock.monotonic()
        try:
            result, success = await step.run(checked), True
        except ToolError as error:
            result, success = str(error), False
        duration = self._since(started)
        if success and (path := step.edits(checked)):
            self.edited(path)
        decision = await self.after(name, call_id, args, result, success=success, duration_ms=duration)
        told = result if decision.content is None else decision.content
        self._recorder.tool_result(call_id, told, success=success, duration_ms=duration)
        return told, success

    def elapsed_ms(self) -> float:
        """Return the milliseconds since the session was created."""
        return self._since(self._started)

    async def before(self, name: str, call_id: str, args: str) -> Decision:
        """Call both gates before a tool call of an agent that is a process and asks through its native hooks."""
        first = await self._fire(Point.TOOL_CALL_START, call_id, tool_name=name, tool_args=args, call_id=call_id)
        if first.denied:
            return first
        args = args if first.content is None else first.content
        second = await self._fire(Point.PRE_TOOL, call_id, tool_name=name, tool_args=args, call_id=call_id)
        return first if second.content is None and not second.denied else second

    async def after(
        self, name: str, call_id: str, args: str, result: str, *, success: bool, duration_ms: float
    ) -> Decision:
        """Fire the point after such a tool call."""
        return await self._fire(
            Point.POST_TOOL,
            call_id,
            tool_name=name,
            tool_args=args,
            call_id=call_id,
            result=result,
            success=success,
            duration_ms=round(duration_ms, 1),
        )

    def called(self, name: str, call_id: str, args: str) -> None:
        """Record a tool call that such an agent reports."""
        self._phase = "tool"
        self.statistics.tool_calls += 1
        self._recorder.tool_call(call_id, name, args)

    def returned(self, call_id: str, result: str, *, success: bool, duration_ms: float, ran: bool = True) -> None:
        """Note the result of such a call."""
        self._recorder.tool_result(call_id, result, success=success, duration_ms=duration_ms, ran=ran)

    def edited(self, *paths: str) -> None:
        """Note files that were changed."""
        known = self.statistics.edited_files
        known += [path for path in paths if path not in known]

    def stderr_line(self, text: str) -> None:
        """Keep a program's last words where the reader of the run finds them, if there are any."""
        if text.strip():
            self._recorder.note(f"stderr: {text.strip()}")

    async def _turn(self, work: Callable[[str], Awaitable[str]]) -> str:
        await self._fire(Point.SESSION_START, **self._model)
        self._phase = "message"
        prompt = self.assignment.prompt
        decision = await self._fire(Point.MESSAGE, content=prompt, attached_files=[], timestamp=iso(self._clock.now()))
        if decision.denied:
            self._recorder.message("user", prompt)
            raise PromptDeniedError(f"a webhook refused the prompt: {decision.message or 'no reason given'}")
        prompt = prompt if decision.content is None else decision.content
        self._recorder.message("user", prompt)
        self._phase = "turn_start"
        await self._fire(Point.TURN_START, phase="turn_start", has_file_context=False)
        self._phase = "work"
        return await work(prompt)

    async def _allowed(self, step: ToolStep | None, name: str, call_id: str, args: str) -> tuple[str, Any]:
        """Return the arguments to run, as text and in the tool's form; modified arguments are checked again."""
        args = await self._gate(Point.TOOL_CALL_START, step, name, call_id, args)
        if step is None:
            raise ToolError(f"There is no tool {name!r}.")
        checked = step.check(args)
        await step.permit(checked)
        left = await self._gate(Point.PRE_TOOL, step, name, call_id, args)
        if left != args:
            checked = step.check(left)
            await step.permit(checked)
        return left, checked

    async def _gate(self, point: Point, step: ToolStep | None, name: str, call_id: str, args: str) -> str:
        decision = await self._fire(point, call_id, tool_name=name, tool_args=args, call_id=call_id)
        if decision.denied:
            raise ToolError(f"Denied: {decision.message or 'a webhook denied this call and gave no reason'}")
        if decision.content is None:
            return args
        try:
            if step is not None:
                step.check(decision.content)
        except ToolError as misfit:
            raise ToolError(f"Not run: a webhook changed the arguments to ones that do not fit. {misfit}") from None
        return decision.content

    async def _fire(self, point: Point, call_id: str = "", /, **own: Any) -> Decision:
        decision = await self._hooks.fire(point, **self._common, **own)
        if decision.verdicts:
            self._recorder.decision(point, decision, call_id)
        return decision

    async def _close(self, outcome: ResultType, failure: BaseException | None) -> None:
        """Fire the last points; each is bounded in time, so that a slow webhook does not block the others."""
        seen = self.statistics
        statistics = {
            "result_type": str(outcome),
            "tokens_used": seen.usage.input_tokens + seen.usage.output_tokens,
            "tool_calls": seen.tool_calls,
            "duration_ms": round(self.elapsed_ms()),
            "truncated": seen.truncated,
            "edited_files": list(seen.edited_files),
        }
        last: list[tuple[Point, Mapping[str, Any]]] = [
            (Point.TURN_COMPLETE, statistics),
            (Point.POST_TURN, {"turn_result": str(outcome)}),
            (Point.SESSION_END, self._model),
        ]
        if failure is not None:
            last.insert(0, (Point.ERROR, self._failure(outcome, failure)))
        hurried = isinstance(failure, asyncio.CancelledError | TimeLimitError)
        seconds = HURRIED_SECONDS if hurried else CLOSING_SECONDS
        interrupted: asyncio.CancelledError | None = None
        for point, own in last:
            try:
                await self._last(point, seconds, own)
            except asyncio.CancelledError as error:
                interrupted, seconds = error, HURRIED_SECONDS
        if interrupted is not None:
            raise interrupted

    async def _last(self, point: Point, seconds: float, own: Mapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._fire(point, **own)
        except TimeoutError:
            self._recorder.note(f"the webhooks of {point} took over {seconds:g} s and were given up")

    def _failure(self, outcome: ResultType, failure: BaseException) -> dict[str, str]:
        cancelled = outcome is ResultType.CANCELLED
        return {
            "error_type": "Cancelled" if cancelled else type(failure).__name__,
            "error_message": ("cancelled" if cancelled else str(failure))[:ERROR_CHARS],
            "phase": self._phase,
        }

    def _time_limit(self) -> TimeLimitError:
        return TimeLimitError(
            f"the run took longer than {self.assignment.timeout_seconds:g} s and was ended",
            duration_seconds=self.elapsed_ms() / 1000,
            last_message=self.statistics.last_message,
            hint="give the callback a longer timeout, or the agent less to do",
        )

    def _since(self, started: float) -> float:
        return (self._clock.monotonic() - started) * 1000


def add(total: Usage, *, input_tokens: int, output_tokens: int, cost_usd: float | None) -> Usage:
    """Return the total after one more model request; a request of unknown price makes the whole price unknown."""
    known = total.cost_usd is not None or total.requests == 0
    return replace(
        total,
        input_tokens=total.input_tokens + input_tokens,
        output_tokens=total.output_tokens + output_tokens,
        requests=total.requests + 1,
        cost_usd=(total.cost_usd or 0.0) + cost_usd if known and cost_usd is not None else None,
    )
