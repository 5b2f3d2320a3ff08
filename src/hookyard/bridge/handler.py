"""Answers the events that arrive: a dialect reads, the webhooks of the project are asked, a dialect words the answer.

Made by `relay` for its life and by `hookyard bridge run` for one event. Whatever goes wrong ends in an answer: a
refusal where a gate fails closed, else "go on" with a line for the user.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path

from hookyard.bridge.dialects import agent_files, dialect_of
from hookyard.bridge.dialects.base import (
    BLOCKED,
    BridgeDecision,
    Dialect,
    HookExit,
    NativeEvent,
    UnreadableError,
    apply_recheck,
    as_text,
    part_of,
    text_of,
)
from hookyard.bridge.evaluate import evaluate
from hookyard.bridge.plan import decided_at
from hookyard.bridge.sessions import Session, Sessions, project_of
from hookyard.bridge.wire import HookRequest
from hookyard.core.clock import Clock
from hookyard.core.errors import HookyardError
from hookyard.hooks.hooks import Hooks
from hookyard.hooks.points import POINTS

MARGIN_SECONDS = 0.25
"""The answer leaves this long before the shim gives up."""

MAX_PROJECTS = 64
MAX_IN_FLIGHT = 256
SEEN = "seen-"

_lines: ContextVar[list[str] | None] = ContextVar("lines", default=None)


@dataclass(frozen=True, slots=True)
class _InFlight:
    """An event that may arrive twice: from an agent that runs another's hooks too, or from a user's open line and a
    project's closed one.
    """

    line: tuple[str, bool]
    ruling: asyncio.Task[BridgeDecision]


class HookRequestHandler:
    """Answers events for one user.

    Args:
        directory: The relay's own, where it stores which agents sent events.
        home: The user's `HOOKYARD_HOME`.
        environ: Variables for the webhooks' configuration.
        clock: Measures.
        tell: Takes lines that belong to no event.
    """

    def __init__(
        self, directory: Path, home: Path, environ: Mapping[str, str], clock: Clock, tell: Callable[[str], None]
    ) -> None:
        self._folder = directory
        self._home = home
        self._environ = dict(environ)
        self._tell = tell
        self._sessions = Sessions(clock)
        self._hooks: OrderedDict[Path, Hooks] = OrderedDict()
        self._twins: OrderedDict[int, _InFlight] = OrderedDict()
        self._asking: set[asyncio.Task[BridgeDecision]] = set()

    async def handle(self, asked: HookRequest) -> HookExit:
        """Answer an event, in time."""
        lines: list[str] = []
        _lines.set(lines)
        closed = asked.closed
        dialect: Dialect | None = None
        try:
            dialect = dialect_of(asked.agent)
            try:
                heard = dialect.read(asked.event, asked.native())
            except UnreadableError:
                closed = closed or self._closed_now(dialect, asked)
                raise
            heard = replace(heard, working_dir=heard.working_dir or asked.folder)
            if heard.firings:
                self._note(heard.agent)
            session = self._sessions.of(heard.agent, heard.session_id, heard.working_dir or asked.folder)
            hooks = self._hooks_of(session.project)
            closed = closed or _fails_closed(hooks, heard)
            ruling = await self._decide(asked, heard, hooks, session)
            if ruling.denied is not None and not heard.tool_name and not dialect.blocks_prompts:
                session.refused = ruling.denied
            ruling = apply_recheck(dialect, heard, ruling, allow_modify=asked.allow_modify, noise=asked.noise)
            return _with_lines(dialect.answer(heard, ruling), lines)
        except TimeoutError:
            return _failed(dialect, asked.event, "the webhooks did not answer in time", closed=closed)
        except HookyardError as error:
            return _failed(dialect, asked.event, str(error), closed=closed)

    def _closed_now(self, dialect: Dialect, asked: HookRequest) -> bool:
        """Return whether a fail-closed gate may concern an event that cannot be read.

        The event may still tell its session and folder. Every project that it can belong to counts, and every gate of
        its points, since its tool is not known.
        """
        points = [
            point
            for event in dialect.events
            if event.name == asked.event and event.gating
            for point in decided_at(dialect, event)
            if POINTS[point].may_deny
        ]
        try:
            native = asked.native()
        except UnreadableError:
            native = {}
        directories = {asked.folder, text_of(native, "cwd") or asked.folder}
        projects = {project_of(directory) for directory in directories}
        session = text_of(native, "session_id", "sessionId") or text_of(part_of(native, "input"), "sessionID")
        if session:
            projects.add(self._sessions.of(dialect.name, session, text_of(native, "cwd") or asked.folder).project)
        return any(self._hooks_of(project).fail_closed(point) for project in projects for point in points)

    async def _decide(self, asked: HookRequest, heard: NativeEvent, hooks: Hooks, session: Session) -> BridgeDecision:
        """Return the ruling, once for an event that arrives twice. The second caller goes on alone when the first is
        late."""
        key, line = _what(heard), (asked.agent, asked.closed)
        twin = self._twins.pop(key, None)
        if twin is not None and twin.line != line:
            task = twin.ruling
        else:
            task = asyncio.create_task(evaluate(hooks, heard, session, self._sessions.clock))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
            self._twins[key] = _InFlight(line, task)
            while len(self._twins) > MAX_IN_FLIGHT:
                self._twins.popitem(last=False)
        return await asyncio.wait_for(asyncio.shield(task), max(asked.seconds - MARGIN_SECONDS, 0.01))

    def _hooks_of(self, project: Path) -> Hooks:
        found = self._hooks.get(project)
        if found is None:
            files = agent_files(self._environ)
            found = Hooks.load(project, environ=self._environ, home=self._home, warn=self._warn, agent_files=files)
            self._hooks[project] = found
        self._hooks.move_to_end(project)
        return found

    async def wait_idle(self) -> None:
        """Close projects that have been idle for long."""
        while len(self._hooks) > MAX_PROJECTS and not self._asking:
            _, hooks = self._hooks.popitem(last=False)
            await hooks.aclose()

    async def aclose(self) -> None:
        """Let what is under way end, then close; what waits in outboxes stays on disk."""
        if self._asking:
            await asyncio.wait(self._asking, timeout=2.0)
        for task in self._asking:
            task.cancel()
        await asyncio.gather(*(hooks.aclose() for hooks in self._hooks.values()), return_exceptions=True)

    def _warn(self, line: str) -> None:
        lines = _lines.get()
        if lines is None:
            self._tell(line)
        else:
            lines.append(line)

    def _note(self, agent: str) -> None:
        """Leave a file whose time says when the agent last sent an event."""
        with contextlib.suppress(OSError):
            path = self._folder / f"{SEEN}{agent}"
            try:
                os.utime(path)
            except FileNotFoundError:
                path.touch(mode=0o600)


def _what(heard: NativeEvent) -> int:
    """Return a digest of what happened, equal for every native form of it; arguments may be large."""
    call = "" if heard.agent == "copilot" else heard.call_id  # it tells it in one of its two ways only
    said = [firing.own.get("content", "") for firing in heard.firings]
    tool = (heard.tool_name or "").lower()
    points = tuple(firing.point for firing in heard.firings)
    return hash((heard.agent, heard.session_id, call, tool, as_text(heard.tool_args), as_text(said), points))


def _fails_closed(hooks: Hooks, heard: NativeEvent) -> bool:
    return any(
        hooks.fail_closed(firing.point, heard.tool_name) for firing in heard.firings if POINTS[firing.point].may_deny
    )


def _failed(dialect: Dialect | None, event: str, why: str, *, closed: bool) -> HookExit:
    """Return the answer to an event that could not be judged."""
    reason = f"hookyard: {why}"
    if not closed:
        return HookExit(err=reason)
    return HookExit(BLOCKED, err=reason) if dialect is None else dialect.refuse(event, reason)


def _with_lines(answer: HookExit, lines: list[str]) -> HookExit:
    """Return the answer with the webhooks' own lines after its text on stderr."""
    if not lines or answer.code:
        return answer
    return replace(answer, err="\n".join(filter(None, (answer.err, *lines))))
