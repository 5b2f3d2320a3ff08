"""What an agent is to the rest of hookyard: it is given an assignment, it fires its hook points, it tells what it does.

Called by `runs.executor` (a run's agent) and by `cli` (`hookyard -p`). An agent knows no database and no queue: what it
needs of them comes in through the protocols here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from hookyard.core.clock import Clock, SystemClock
from hookyard.core.errors import HookyardError
from hookyard.core.message_catalog import Message
from hookyard.hooks.decision import Decision
from hookyard.hooks.delivery.egress import Egress
from hookyard.hooks.points import Point


class ResultType(StrEnum):
    """How a turn ended, in the words of `on_turn_complete`."""

    RESPONDED = "Responded"
    USED_TOOLS = "UsedTools"
    FAILED = "Failed"
    CANCELLED = "Cancelled"


@dataclass(frozen=True, slots=True)
class Usage:
    """What an agent has used up so far.

    Attributes:
        input_tokens: Tokens sent to models.
        output_tokens: Tokens made by models.
        requests: Model requests.
        cost_usd: US dollars, None when the model's price is not known.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    requests: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an agent is asked to do.

    Attributes:
        prompt: The rendered prompt.
        working_dir: Absolute; the agent's tools stay inside.
        session_id: The conversation's id; `session_id` of every hook point.
        run_id: The run, `""` for `hookyard -p`.
        workspace_id: Its workspace, `""` for `hookyard -p`.
        attempt: From 1.
        event: Variables of the event or batch that started the run.
        cause: The event, callback and run that led here, as sent to webhooks; None outside a run.
        timeout_seconds: The whole run's limit.
        token_limit: Tokens that may still be spent, None = no limit.
        environment: Variables that a child process gets, and no others.
        run_token: Token of scope `run` for the workspace tools of agents that are processes; `""` when there is none.
        api_url: Where that token is good, `""` when there is none.
    """

    prompt: str
    working_dir: Path
    session_id: str
    run_id: str = ""
    workspace_id: str = ""
    attempt: int = 1
    event: Mapping[str, Any] = field(default_factory=dict)
    cause: Mapping[str, Any] | None = None
    timeout_seconds: float = 1800.0
    token_limit: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    run_token: str = field(default="", repr=False)
    api_url: str = ""


@dataclass(frozen=True, slots=True)
class AgentResult:
    """How it ended when it did not fail.

    Attributes:
        answer: The agent's last words.
        result_type: `Responded` or `UsedTools`.
        usage: What the whole run used up.
    """

    answer: str
    result_type: ResultType = ResultType.RESPONDED
    usage: Usage = field(default_factory=Usage)


class Recorder(Protocol):
    """Keeps what happens in a run, as it happens. Calls return at once and never fail the agent.

    A recorder whose attempt is over (the run was started again elsewhere) drops what it receives.
    """

    def message(self, role: str, text: str) -> None:
        """Record a message of role `system`, `user` or `assistant`; an assistant's text may come in several."""
        ...

    def tool_call(self, call_id: str, name: str, args: str) -> None:
        """Record that the model requested a tool; `args` is the JSON text that the model gave."""
        ...

    def tool_result(self, call_id: str, result: str, *, success: bool, duration_ms: float, ran: bool = True) -> None:
        """Record the result that the model receives. `ran` is False when the tool was not executed (denied)."""
        ...

    def decision(self, point: Point, decision: Decision, call_id: str = "") -> None:
        """Record the decision of the webhooks at a point; called only when at least one webhook was called."""
        ...

    def usage(self, usage: Usage) -> None:
        """Record the total usage so far."""
        ...

    def agent_info(self, *, version: str = "", model: str = "") -> None:
        """Record the version of the agent's program and its model; the first value of each counts."""
        ...

    def note(self, text: str) -> None:
        """Record a remark for the reader of the run: an attempt was restarted, a process was killed."""
        ...


class WorkspaceTools(Protocol):
    """The four task tools, in the workspace and with the causes of one run. Every call is one operation."""

    async def get_task(self, task_id: str) -> Mapping[str, Any]:
        """Return the task with its comments. Raises NotFoundError."""
        ...

    async def create_task(self, title: str, task_type: str, status: str, description: str) -> Mapping[str, Any]:
        """Make a task; gives it back with `taskId`."""
        ...

    async def update_task(self, task_id: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Change title, description, type, status, assigneeId or labels; gives the task back."""
        ...

    async def comment_task(self, task_id: str, content: str) -> Mapping[str, Any]:
        """Comment on a task and return the comment."""
        ...


class Agent(Protocol):
    """One agent, ready to be started. Made from a profile by its kind's file, found by `agents.profiles`."""

    @property
    def kind(self) -> str:
        """As in a profile: `built-in`, `command`, …."""
        ...

    @property
    def can_be_gated(self) -> bool:
        """Webhooks can deny what it does; where False it refuses to start under a fail-closed gate."""
        ...

    async def run(
        self, assignment: Assignment, hooks: HookFirer, recorder: Recorder, tools: WorkspaceTools | None
    ) -> AgentResult:
        """Do the work. Cancelling the task that runs this ends the agent and all its children before it returns.

        The agent itself keeps to the assignment's time limit, so that its last hook points can tell why it ended.

        Raises:
            AgentError: It could not be done; the kind of error decides which event reports it.
        """
        ...


class HookFirer(Protocol):
    """The part of `hookyard.hooks.Hooks` that an agent uses."""

    def listens(self, point: Point, tool_name: str | None = None) -> bool:
        """Return whether any webhook would be called; cheap."""
        ...

    def fail_closed(self, point: Point | None = None, tool_name: str | None = None) -> bool:
        """Return whether a gate would deny when its webhook cannot be called; for any gating point when None."""
        ...

    async def fire(
        self,
        point: Point | str,
        *,
        session_id: str | None = None,
        working_dir: str | None = None,
        turn_number: int | None = None,
        tool_name: str | None = None,
        tool_args: str | None = None,
        agent: str = "hookyard",
        cause: Mapping[str, Any] | None = None,
        run_id: str = "",
        workspace_id: str = "",
        **own: Any,
    ) -> Decision:
        """Call the webhooks of a point. Own keys are those of the contract, section 3, such as `call_id` or
        `result`."""
        ...


class ToolGate(Protocol):
    """What the native hooks of an agent that is a process ask; fires the points in the run's own worker."""

    async def before(self, name: str, call_id: str, args: str) -> Decision:
        """Fire `tool_call_start` and then `pre_tool`; `args` and the content of a modify are JSON texts."""
        ...

    async def after(
        self, name: str, call_id: str, args: str, result: str, *, success: bool, duration_ms: float
    ) -> Decision:
        """Fire `post_tool`."""
        ...


class AgentGovernor(Protocol):
    """Lets webhooks govern an agent that is a process, through that agent's own hooks. From `bridge`, by wiring."""

    def governs(self, kind: str) -> bool:
        """Return whether the governor can deny what an agent of this kind does."""
        ...

    def governing(self, kind: str, gate: ToolGate) -> AbstractAsyncContextManager[Mapping[str, Any]]:
        """Connect native hooks to the gate inside the block, and deny what cannot reach it.

        The value is what the agent's settings hold under `hooks`, for its tool events alone.
        """
        ...


class Permission(Protocol):
    """Asks a person whether a tool may run. Without one the webhooks alone decide."""

    async def __call__(self, tool_name: str, args: str) -> bool:
        """Return whether this call may proceed."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What agents of every kind are made with.

    Attributes:
        default_model: Model of built-in agents whose profile names none, `provider:name`.
        egress: Sends the requests of `http` agents, guarded as the server's webhooks are; None = no such agents.
        governor: Lets webhooks govern agents that are processes; None = those that can be governed do not start.
        permission: Asks a person before a tool that changes something runs.
        clock: Measures and dates.
        sleep: Waits between tries.
    """

    default_model: str | None = None
    egress: Egress | None = None
    governor: AgentGovernor | None = None
    permission: Permission | None = None
    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class AgentError(HookyardError):
    """The agent failed: `conversation.error`.

    Args:
        stack: Where it happened, for the event's `errorStack`; bounded by the caller.
        retry_count: Tries that were made before giving up.
    """

    def __init__(self, what: str | Message, *, stack: str = "", retry_count: int = 0, hint: str | None = None) -> None:
        super().__init__(what, hint=hint)
        self.stack = stack
        self.retry_count = retry_count


class BudgetError(AgentError):
    """A budget is spent: `conversation.quota_exhausted`.

    Args:
        quota_type: `token`, `request`, or the provider's word.
        remaining: What is left of it.
    """

    def __init__(self, what: str | Message, *, quota_type: str, remaining: float = 0, hint: str | None = None) -> None:
        super().__init__(what, hint=hint)
        self.quota_type = quota_type
        self.remaining = remaining


class TimeLimitError(AgentError):
    """The run took longer than its assignment allows: `conversation.timeout`.

    Args:
        duration_seconds: How long it ran.
        last_message: The agent's last words, `""` when it had none.
    """

    def __init__(
        self, what: str | Message, *, duration_seconds: float, last_message: str = "", hint: str | None = None
    ) -> None:
        super().__init__(what, hint=hint)
        self.duration_seconds = duration_seconds
        self.last_message = last_message


class PromptDeniedError(AgentError):
    """A webhook refused the message that the run began with."""


SCRIPTED_PROVIDER = "scripted"
"""Before the colon of a model that is a file of answers."""

SCRIPTED_MODEL = "scripted model"
"""What such a model is called wherever it shows, instead of by its file."""


def model_as_shown(model: str | None) -> str | None:
    """Return a model `provider:name` in a form that is safe to show: a script file is shown as the scripted model."""
    return SCRIPTED_MODEL if model is not None and model.startswith(f"{SCRIPTED_PROVIDER}:") else model


KINDS: Sequence[str] = (
    "built-in",
    "claude-code",
    "codex",
    "gemini",
    "acp",
    "command",
    "http",
    "dry-run",
)
"""Every kind of the contract; the file of each is named after it, and `agents.profiles` finds it."""
