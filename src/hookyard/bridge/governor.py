"""Governs the agents that hookyard itself runs as processes, through their native hooks.

Made by `wiring` and handed to the agents' kinds. For each run there is a Unix socket in a folder of its own; the
agent's hook commands reach it through `shim`, and the run's own gate decides. Only tool events are asked for:
the other points of a run are fired by the worker. Everything fails closed: a gate that cannot be asked, an event that
cannot be read and a modification that cannot be expressed all deny.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from hookyard.bridge import shim, wire
from hookyard.bridge.dialects import all_dialects, dialect_of
from hookyard.bridge.dialects.base import (
    BridgeDecision,
    Dialect,
    HookExit,
    InstalledLine,
    NativeEvent,
    NativeHook,
    apply_recheck,
    as_text,
)
from hookyard.bridge.evaluate import new_arguments
from hookyard.bridge.plan import Commands
from hookyard.core.errors import HookyardError
from hookyard.hooks.decision import Decision
from hookyard.hooks.points import Point

DEADLINE_SECONDS = 590.0
"""For one event; the agent waits a little longer."""

HOOK_SECONDS = 600


class ToolGate(Protocol):
    """What decides."""

    async def before(self, name: str, call_id: str, args: str) -> Decision:
        """Call the gates before a tool call."""
        ...

    async def after(
        self, name: str, call_id: str, args: str, result: str, *, success: bool, duration_ms: float
    ) -> Decision:
        """Fire the point after a tool call."""
        ...


class HookGovernor:
    """Governs runs, each through a socket of its own."""

    def governs(self, kind: str) -> bool:
        """Return whether the governor can deny what an agent of this kind does."""
        return kind in all_dialects() and bool(dialect_of(kind).proven)

    @asynccontextmanager
    async def governing(self, kind: str, gate: ToolGate) -> AsyncIterator[Mapping[str, Any]]:
        """Connect native hooks to the gate inside the block."""
        dialect = dialect_of(kind)
        directory = Path(tempfile.mkdtemp(prefix="hookyard-"))  # readable by this user alone
        commands = Commands(Path(sys.executable), Path(shim.__file__), directory)
        asked = _GateServer(dialect, gate)
        server = await asyncio.start_unix_server(asked.answer, directory / shim.SOCKET)
        settings: dict[str, Any] = {}
        lines = [_line(event, dialect, commands) for event in dialect.events if event.for_tools]
        dialect.install(settings, lines, commands.ours)
        try:
            yield settings["hooks"]
        finally:
            server.close()
            await asked.end()
            shutil.rmtree(directory, ignore_errors=True)


def _line(event: NativeHook, dialect: Dialect, commands: Commands) -> InstalledLine:
    return InstalledLine(event, commands.line(dialect, event.name, DEADLINE_SECONDS, "c"), HOOK_SECONDS)


class _GateServer:
    """Answers the events of one run."""

    def __init__(self, dialect: Dialect, gate: ToolGate) -> None:
        self._dialect = dialect
        self._gate = gate
        self._started: dict[str, float] = {}
        self._under_way: set[asyncio.Task[Any]] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: an event in, an answer out. No answer is a deny, which the shim ensures."""
        task = asyncio.current_task()
        assert task is not None  # the server made one
        self._under_way.add(task)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                asked = await wire.read(reader)
                if asked is not None:
                    writer.write(wire.encode(await self._judge(asked)))
                    await writer.drain()
        except (OSError, TimeoutError):
            pass
        finally:
            self._under_way.discard(task)
            writer.close()

    async def end(self) -> None:
        """End the run: calls under way are abandoned."""
        for task in list(self._under_way):
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _judge(self, asked: wire.HookRequest) -> HookExit:
        try:
            heard = self._dialect.read(asked.event, asked.native())
            if heard.tool_name is None:
                return HookExit()
            if heard.firings[0].point is Point.POST_TOOL:
                await self._after(heard, heard.tool_name)
                return HookExit()
            ruling = await self._before(heard, heard.tool_name)
        except HookyardError as error:
            return self._dialect.refuse(asked.event, f"hookyard: {error}")
        # The run's owner has decided what may run unasked: there is no person to pass over.
        ruling = apply_recheck(self._dialect, heard, ruling, allow_modify=True, noise=asked.noise)
        return self._dialect.answer(heard, ruling)

    async def _before(self, heard: NativeEvent, tool_name: str) -> BridgeDecision:
        self._started[heard.call_id or tool_name] = time.monotonic()
        decision = await self._gate.before(tool_name, heard.call_id, as_text(heard.tool_args))
        if decision.denied:
            return BridgeDecision(f"Denied: {decision.message or 'a webhook gave no reason'}")
        return BridgeDecision() if decision.content is None else new_arguments(decision.content)

    async def _after(self, heard: NativeEvent, tool_name: str) -> None:
        started = self._started.pop(heard.call_id or tool_name, None)
        measured = 0.0 if started is None else (time.monotonic() - started) * 1000
        own = heard.firings[0].own
        await self._gate.after(
            tool_name,
            heard.call_id,
            as_text(heard.tool_args),
            own["result"],
            success=own["success"],
            duration_ms=measured if heard.duration_ms is None else heard.duration_ms,
        )
