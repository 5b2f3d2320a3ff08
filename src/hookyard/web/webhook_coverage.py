"""Which tools of the agents that the server runs a webhook covers, as far as their names are known.

Used by the webhooks page and by a webhook's trial. Names of MCP servers' tools are not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from hookyard.agents.tool_names import TOOL_NAMES
from hookyard.bridge.dialects import all_dialects
from hookyard.hooks.matcher import covered, fault_of, sample_tool
from hookyard.hooks.points import POINTS, points_of
from hookyard.hooks.samples import SAMPLE_TOOL

_RUN_HERE = ("claude-code", "codex", "gemini")


@cache
def tools_of_agents() -> Mapping[str, Sequence[str]]:
    """Return the known tools of every agent that the server runs, by the agent's kind."""
    dialects = all_dialects()
    return MappingProxyType({"built-in": TOOL_NAMES, **{name: dialects[name].tools for name in _RUN_HERE}})


def coverage(entry: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the tools of each agent that a webhook's matcher covers; empty when it has none, or listens to no tool."""
    matcher, trigger = entry.get("matcher"), str(entry.get("trigger") or "*")
    if not isinstance(matcher, str) or not any(POINTS[point].for_tools for point in points_of(trigger)):
        return {}
    if fault_of(matcher) is not None:  # kept before such matchers were refused; as a gate it denies every tool
        return {}
    return {agent: covered(matcher, tools) for agent, tools in tools_of_agents().items()}


def trial_tool(entry: Mapping[str, Any]) -> str | None:
    """Return a tool that a trial of a webhook can be about, None when its matcher fits none that is known."""
    matcher = entry.get("matcher")
    return sample_tool(matcher if isinstance(matcher, str) else None, tools_of_agents(), SAMPLE_TOOL)
