"""What a dialect is: how one agent's native hooks speak, both ways, and how they are configured.

Implemented by the other files of this folder. A dialect is pure: it reads no file, starts nothing, and never raises
anything but `UnreadableError` on what an agent may send.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from hookyard.bridge.shim import SAID
from hookyard.core.errors import PermanentError
from hookyard.hooks.points import POINTS, Point

BLOCKED = 2
"""The exit code that most agents take for a refusal, with the reason on stderr.

Whether an agent does is up to its dialect.
"""

NOT_ASKED = "hookyard: the webhooks could not be asked (hookyard bridge status says more)"
"""The reason of a line that refuses by itself. It stands in single quotes in a shell line: ASCII without quotes."""


class UnreadableError(PermanentError):
    """The event is not of a shape that the dialect knows."""


@dataclass(frozen=True, slots=True)
class HookCall:
    """A point that a native event stands for.

    Attributes:
        point: The point.
        own: The event's own keys of the webhooks contract, section 3.
    """

    point: Point
    own: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NativeEvent:
    """A native event, understood.

    Attributes:
        event: Its native name.
        agent: Who fired it; not always the agent whose dialect it is (some read each other's settings).
        firings: Points that it stands for, in order; none when it says nothing of interest.
        session_id: The agent's session.
        working_dir: The agent's working folder.
        tool_name: The tool that it is about.
        tool_args: That tool's arguments, None when it is about no tool.
        call_id: The model's id of the call, `""` where the agent does not tell it.
        duration_ms: How long the call took, None where the agent does not tell it.
        bypasses: The agent runs in a mode that asks no person for permission anyway.
        response: The tool's result as the agent reported it, None before the call and where it cannot be changed.
        takes_text: The agent lets its hook change the message and the model's answer, and add to the system prompt.
        fixed_args: Why a changed form of the arguments cannot be answered, `""` where it can.
    """

    event: str
    agent: str
    firings: tuple[HookCall, ...]
    session_id: str | None = None
    working_dir: str | None = None
    tool_name: str | None = None
    tool_args: Mapping[str, Any] | None = None
    call_id: str = ""
    duration_ms: float | None = None
    bypasses: bool = False
    response: Any = None
    takes_text: bool = False
    fixed_args: str = ""


@dataclass(frozen=True, slots=True)
class BridgeDecision:
    """What the webhooks made of an event.

    Attributes:
        denied: Why the step must not happen, None when it may.
        args: The whole new arguments of the tool call, None when they stay.
        warnings: For the user to see.
        result: What the model is to read as the tool's result, None when that stays.
        text: What takes the place of the message or of the model's answer, or is added to the system prompt; None when
            those stay.
    """

    denied: str | None = None
    args: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    result: str | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class HookExit:
    """What a native hook command ends with.

    Attributes:
        code: Exit code.
        out: For its standard output, `""` or one JSON text, alone on its last line.
        err: For its standard error.
    """

    code: int = 0
    out: str = ""
    err: str = ""

    @classmethod
    def of(cls, said: Mapping[str, Any], err: str = "") -> HookExit:
        """Exit code 0 and a JSON object; nothing at all when the object is empty."""
        return cls(0, json.dumps(said, ensure_ascii=False) if said else "", err)


class Noise(StrEnum):
    """What can make a hook's shell print before the hook does. The values are the letters that the shim sends."""

    BASH_ENV = "B"  # a file, or a trace to standard output, for every bash that is no login shell
    ENV = "E"  # a file for shells that follow POSIX
    ZSH = "Z"  # a start file that every zsh reads

    @property
    def fix(self) -> str:
        """What the user can do about it."""
        return _FIXES[self]


_FIXES = {
    Noise.BASH_ENV: "BASH_ENV (or BASH_XTRACEFD) is set; start the agent without it",
    Noise.ENV: "ENV is set; start the agent without it",
    Noise.ZSH: "zsh reads a .zshenv; move what it does to .zshrc",
}


class Recheck(StrEnum):
    """What an agent does with arguments that its hook modified."""

    ASKS_AGAIN = "asks again"  # its permission check sees the new arguments
    RUNS_THEM = "runs them"  # without asking: only where no person would have been asked anyway


@dataclass(frozen=True, slots=True)
class NativeHook:
    """One native event that can be installed.

    Attributes:
        name: As the agent calls it.
        points: What it stands for, in order.
        limit_seconds: The longest that the agent lets its hook run, None when the hook may say so itself.
    """

    name: str
    points: tuple[Point, ...]
    limit_seconds: float | None = None

    @property
    def gating(self) -> bool:
        """A webhook's answer can refuse the step."""
        return any(POINTS[point].may_deny for point in self.points)

    @property
    def for_tools(self) -> bool:
        """It concerns one tool call."""
        return any(POINTS[point].for_tools for point in self.points)


@dataclass(frozen=True, slots=True)
class InstalledLine:
    """One hook to be installed.

    Attributes:
        event: For this event.
        command: Run by a shell.
        timeout_seconds: After which the agent gives up on it, and goes on.
    """

    event: NativeHook
    command: str
    timeout_seconds: int


def closed_by_exit(said: Mapping[str, Any] | None = None) -> str:
    """Return the tail of a closed line for an agent that obeys exit code 2.

    The shim ends with `SAID` when it has given a reason itself; anything else that fails gets one here, since Codex and
    Gemini CLI run the tool when the reason is missing.

    Args:
        said: Printed as well, for an agent that reads the reason on standard output.
    """
    words = f"echo '{NOT_ASKED}' >&2;"
    if said is not None:
        words = f"echo '{json.dumps(said)}'; {words}"
    return f" || {{ [ $? -eq {SAID} ] || {{ {words} }}; exit {BLOCKED}; }}"


def closed_by_words(said: Mapping[str, Any]) -> str:
    """Return the tail of a closed line for an agent that obeys a JSON refusal on standard output, and no exit code.

    The JSON gets a line of its own, so that what was printed before it does not become a part of it.
    """
    return f" || {{ echo; echo '{json.dumps(said)}'; exit {BLOCKED}; }}"


class Dialect(Protocol):
    """One agent's way of speaking."""

    name: str
    """As in `hookyard bridge install NAME`."""

    title: str
    """As its makers write it."""

    proven: str
    """The version that the end-to-end tests run, `""` when it is known from documentation only."""

    events: tuple[NativeHook, ...]
    """Native events that stand for points."""

    tools: tuple[str, ...]
    """Its own tools by the names that its hooks get, as far as they are known; those of MCP servers are not."""

    recheck: Recheck
    """What the agent does with modified arguments."""

    plugin: Path | None
    """Template of the program that its hooks are, None where they are kept in JSON."""

    noise: frozenset[Noise]
    """What makes the shell print that the agent runs its hooks in. A refusal survives that, a modification does not."""

    closed_tail: str
    """The end of a closed line: refuses when the shim could not run or could not ask. Starts with ` || `."""

    blocks_prompts: bool
    """It obeys a refusal of the user's message. Where it does not, every tool call of that turn is refused instead."""

    def read(self, event: str, native: Mapping[str, Any]) -> NativeEvent:
        """Understand what the agent gave its hook. Raises UnreadableError."""
        ...

    def answer(self, heard: NativeEvent, ruling: BridgeDecision) -> HookExit:
        """Word a ruling so that the agent obeys it. `apply_recheck` has been applied to the ruling."""
        ...

    def refuse(self, event: str, reason: str) -> HookExit:
        """Word a refusal of a native event so that the agent obeys it, whatever its hook's shell printed before."""
        ...

    def settings_file(self, home: Path, environ: Mapping[str, str], project: Path | None) -> Path:
        """Return the file that holds the agent's hooks: the user's, or a project's."""
        ...

    def other_files(self, home: Path, environ: Mapping[str, str], project: Path | None) -> tuple[Path, ...]:
        """Return the other files, and directories with all their files, that decide which hooks the agent runs, or that
        it runs none.

        A governed agent may write to none of them, whether they exist or not.
        """
        ...

    def install(self, settings: dict[str, Any], lines: Sequence[InstalledLine], ours: Callable[[str], bool]) -> None:
        """Put hooks into its settings, in place of those that are ours. No lines: take ours out, leave no trace."""
        ...


def is_closed(dialect: Dialect, command: str) -> bool:
    """Return whether an installed line refuses whatever goes wrong."""
    return command.endswith(dialect.closed_tail)


def apply_recheck(
    dialect: Dialect,
    heard: NativeEvent,
    ruling: BridgeDecision,
    *,
    allow_modify: bool = False,
    noise: frozenset[Noise] = frozenset(),
) -> BridgeDecision:
    """Return a ruling that the agent can follow without bypassing the person at the keyboard.

    Args:
        dialect: Speaks to the agent.
        heard: The native event.
        ruling: What the webhooks made of it.
        allow_modify: The user installed the bridge with `--allow-modify`.
        noise: What can make the hook's shell print.

    Returns:
        The ruling, or a deny where a modification would run arguments that no person approved, or would be lost. A
        result that the agent cannot change stays, with a warning.
    """
    lost = _lost(dialect, noise)
    if ruling.result is not None and (heard.response is None or lost):
        kept = f"a webhook changed the tool's result, which {lost or f'{dialect.title} cannot do'}: it stays as it is"
        ruling = replace(ruling, result=None, warnings=(*ruling.warnings, kept))
    if ruling.denied is not None:
        return ruling
    if ruling.text is not None and lost:
        return replace(ruling, denied=f"Not done: a webhook changed the text, which {lost}.", text=None)
    if ruling.args is None:
        return ruling
    if fixed := heard.fixed_args or lost:
        return replace(ruling, denied=f"Not run: a webhook changed the arguments, which {fixed}.", args=None)
    if dialect.recheck is Recheck.ASKS_AGAIN or heard.bypasses or allow_modify:
        return ruling
    why = (
        f"Not run: a webhook changed the arguments, and {dialect.title} would run the changed ones without asking for "
        "permission. `hookyard bridge install --allow-modify` allows that."
    )
    return replace(ruling, denied=why, args=None)


BEFORE_TOOL = (Point.TOOL_CALL_START, Point.PRE_TOOL)
"""No agent tells the two apart: both are fired, in this order."""

PROMPT = (Point.MESSAGE, Point.TURN_START)
TURN_END = (Point.TURN_COMPLETE, Point.POST_TURN)


def _lost(dialect: Dialect, noise: frozenset[Noise]) -> str:
    """Return why an agent would not read a JSON answer, `""` where it would."""
    causes = sorted(dialect.noise & noise)
    if not causes:
        return ""
    fixes = " and ".join(cause.fix for cause in causes)
    return f"{dialect.title} would miss because its hook's shell may print before the answer: {fixes}"


def before_tool(call_id: str) -> tuple[HookCall, ...]:
    """Return the calls of the points before a tool call."""
    own = {"call_id": call_id} if call_id else {}
    return tuple(HookCall(point, own) for point in BEFORE_TOOL)


def after_tool(call_id: str, result: str, *, success: bool) -> tuple[HookCall, ...]:
    """Return the call of the point after a tool call; the caller that measured it adds `duration_ms`."""
    own = {"call_id": call_id} if call_id else {}
    return (HookCall(Point.POST_TOOL, {**own, "result": result, "success": success}),)


def prompt(text: str) -> tuple[HookCall, ...]:
    """Return the calls of the points of a user message."""
    return HookCall(Point.MESSAGE, {"content": text}), HookCall(Point.TURN_START, {"phase": "prompt"})


def turn_end(result_type: str = "Responded") -> tuple[HookCall, ...]:
    """Return the calls of the points at the end of a turn; the caller that counted adds the statistics."""
    own = {"result_type": result_type}
    return HookCall(Point.TURN_COMPLETE, own), HookCall(Point.POST_TURN, own)


def text_of(native: Mapping[str, Any], *keys: str) -> str:
    """Return the text of the first key that holds one, `""` when none does."""
    for key in keys:
        value = native.get(key)
        if isinstance(value, str) and value:
            return value
    return ""


def needed(native: Mapping[str, Any], key: str) -> str:
    """Return a text that the event must have.

    Raises:
        UnreadableError: It is not there.
    """
    value = text_of(native, key)
    if not value:
        raise UnreadableError(f"the event has no {key}")
    return value


def arguments(native: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a tool's arguments as an object, in the shape that gates receive.

    An object, or the JSON text of one, is given as it is. Other text (the patch of a freeform `apply_patch`), a list
    and any other value are given as `{"input": VALUE}`. No arguments (missing, null, blank text) are `{}`.
    """
    value = native.get(key)
    given = _object_in(value) if isinstance(value, str) else value
    if isinstance(given, dict):
        return given
    return {} if given is None or given == "" else {"input": given}


def fixed(native: Mapping[str, Any], key: str) -> str:
    """Say why a changed form of a tool's arguments cannot be given back, `""` where it can.

    The agent takes an object; arguments that were none would reach the tool in a shape that it does not know.
    """
    value = native.get(key, {})
    given = _object_in(value) if isinstance(value, str) else value
    return "" if isinstance(given, dict) else "were not an object, so an object cannot take their place"


def _object_in(text: str) -> dict[str, Any] | str:
    """Return the object that a JSON text holds, else the text; `""` for a blank text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else text if text.strip() else ""


def part_of(native: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object within an event, empty when it is missing."""
    value = native.get(key)
    return value if isinstance(value, dict) else {}


def as_text(value: Any) -> str:
    """Return a text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def number(native: Mapping[str, Any], key: str) -> float | None:
    """Return a number, None when it is missing."""
    value = native.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def warn(warnings: Sequence[str]) -> str:
    """Return warnings as lines for stderr or for a message to the user."""
    return "\n".join(warnings)
