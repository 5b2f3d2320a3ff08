"""Settings that keep hooks in groups by event, each group with a matcher: Claude Code's way, taken over by others.

Used by the dialects whose agents do so. Only what is ours is touched: other groups, other hooks of a group and the
order of both stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hookyard.bridge.dialects.base import InstalledLine
from hookyard.core.errors import InvalidError


def install(
    settings: dict[str, Any],
    lines: Sequence[InstalledLine],
    ours: Callable[[str], bool],
    *,
    matcher: str,
    timeout_unit: int = 1,
) -> None:
    """Put hooks into settings in place of those that are ours.

    Args:
        settings: The agent's settings; changed.
        lines: What is to be there.
        ours: Whether a command is ours.
        matcher: What the agent calls "every tool".
        timeout_unit: 1 for an agent that counts seconds, 1000 for one that counts milliseconds.

    Raises:
        InvalidError: The settings are not of the agent's shape.
    """
    groups = settings.setdefault("hooks", {})
    if not isinstance(groups, dict):
        raise InvalidError("`hooks` is no object", hint="fix the file, then install again")
    for event in list(groups):
        if isinstance(groups[event], list):
            groups[event] = [kept for group in groups[event] if (kept := _without(group, ours)) is not None]
            if not groups[event]:
                del groups[event]
    for line in lines:
        present = groups.setdefault(line.event.name, [])
        if not isinstance(present, list):
            raise InvalidError(f"`hooks.{line.event.name}` is no list", hint="fix the file, then install again")
        hook = {"type": "command", "command": line.command, "timeout": line.timeout_seconds * timeout_unit}
        present.append({"matcher": matcher, "hooks": [hook]} if line.event.for_tools else {"hooks": [hook]})
    if not groups:
        del settings["hooks"]


def _without(group: Any, ours: Callable[[str], bool]) -> Any:
    """Return a group without our hooks; None when nothing else was in it."""
    if not isinstance(group, dict) or not isinstance(group.get("hooks"), list):
        return group
    kept = [hook for hook in group["hooks"] if not (isinstance(hook, dict) and ours(str(hook.get("command", ""))))]
    if len(kept) == len(group["hooks"]):
        return group
    return {**group, "hooks": kept} if kept else None
