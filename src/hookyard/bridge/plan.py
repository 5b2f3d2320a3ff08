"""Which native hooks are needed for the webhooks that are configured, with which deadline, and how closed.

Used by `install`: only events for which a webhook is configured are hooked, since every hook is a process at every tool
call. Pure: reads nothing but the loaded configuration.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hookyard.bridge.dialects.base import Dialect, InstalledLine, NativeHook
from hookyard.hooks.delivery.retry import whole_deadline
from hookyard.hooks.hooks import Hooks
from hookyard.hooks.points import POINTS, Point
from hookyard.hooks.webhook import Webhook

LEAST_SECONDS = 5.0
"""Time for a relay to start on a slow machine."""

MOST_SECONDS = 590.0
"""Longer than this no agent's turn should hang."""

AGENT_WAITS_LONGER_SECONDS = 5
"""An agent goes on when its hook's time is over, so the shim must have refused before."""

_OF_ITS_OWN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Commands:
    """Words a hook command.

    Attributes:
        interpreter: Absolute.
        shim: Absolute.
        folder: The relay's, absolute.
    """

    interpreter: Path
    shim: Path
    folder: Path

    def line(self, dialect: Dialect, event: str, seconds: float, mode: str) -> str:
        """Return the command of one event. Where it is closed, a missing interpreter or file refuses too."""
        argv = [str(self.interpreter), "-S", "-E", "-I", str(self.shim), str(self.folder), dialect.name, event]
        command = shlex.join([*argv, f"{seconds:g}", mode])
        return f"{command}{dialect.closed_tail}" if "c" in mode else command

    def plain(self, command: str) -> str:
        """Return one of our lines as it would be without `--allow-modify`."""
        return command.replace(" csm || ", " cs || ").removesuffix("m")

    def ours(self, command: str) -> bool:
        """Return whether a command in an agent's settings runs our shim, of this or an earlier installation."""
        return f"{self.shim.parent.name}/{self.shim.name}" in command and "hookyard" in command


def lines_for(
    dialect: Dialect, hooks: Hooks, commands: Commands, *, allow_modify: bool = False
) -> tuple[InstalledLine, ...]:
    """Return the hooks that an agent needs now."""
    return tuple(
        _line(dialect, event, hooks, commands, allow_modify=allow_modify)
        for event in dialect.events
        if any(hooks.configuration.at(point) for point in decided_at(dialect, event))
    )


def decided_at(dialect: Dialect, event: NativeHook) -> tuple[Point, ...]:
    """Return the points whose webhooks decide at an event. A message that an agent cannot reject rejects the calls of
    its turn instead."""
    if Point.PRE_TOOL in event.points and not dialect.blocks_prompts:
        return (*event.points, Point.MESSAGE)
    return event.points


def _line(
    dialect: Dialect, event: NativeHook, hooks: Hooks, commands: Commands, *, allow_modify: bool
) -> InstalledLine:
    seconds = _seconds(event.points, hooks)
    if event.limit_seconds is not None:
        seconds = min(seconds, event.limit_seconds - 0.5)
    points = [point for point in decided_at(dialect, event) if POINTS[point].may_deny]
    closed = any(hooks.fail_closed(point) for point in points)
    mode = ("c" if closed else "") + "s" + ("m" if allow_modify else "")
    command = commands.line(dialect, event.name, seconds, mode)
    return InstalledLine(event, command, math.ceil(seconds) + AGENT_WAITS_LONGER_SECONDS)


def _seconds(points: Sequence[Point], hooks: Hooks) -> float:
    """Return the longest time that the webhooks of some points may take, one point after the other."""
    total = _OF_ITS_OWN_SECONDS
    for point in points:
        each = [_longest(gate) for gate in hooks.configuration.at(point) if isinstance(gate, Webhook) and gate.waits]
        total += sum(each) if POINTS[point].gating else max(each, default=0.0)
    return math.ceil(min(max(total, LEAST_SECONDS), MOST_SECONDS))


def _longest(webhook: Webhook) -> float:
    whole = whole_deadline(webhook.timeout_secs, webhook.retries)
    return whole if webhook.deadline_secs is None else min(whole, webhook.deadline_secs)
