"""Which tools of the agents here a gate covers, and warnings of matchers that fit none of them.

"Here" are the built-in agent and those that `hookyard bridge install` has hooked for the user or the project. Used by
`cli.hooks`. Names of MCP servers' tools and of an adapter's own tools are not known.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hookyard.agents.tool_names import TOOL_NAMES
from hookyard.bridge.dialects import all_dialects
from hookyard.bridge.install import Bridge
from hookyard.hooks.config.configuration import ConfiguredHook
from hookyard.hooks.config.entry import ConfigProblem
from hookyard.hooks.matcher import covered, sample_tool, unknown_names
from hookyard.hooks.points import POINTS
from hookyard.hooks.samples import SAMPLE_TOOL

BUILT_IN = "built-in"


@dataclass(frozen=True, slots=True)
class Coverage:
    """The known tools of the agents here.

    Attributes:
        agents: By the agent's name.
    """

    agents: Mapping[str, Sequence[str]]

    @classmethod
    def here(cls, project: Path) -> Coverage:
        """Return the coverage of the built-in agent and of those that are hooked for this user or project."""
        hooked = {
            one.agent for one in Bridge.of_environment(os.environ).status(project, ask_codex=False) if one.installed
        }
        dialects = {name: dialect.tools for name, dialect in all_dialects().items() if name in hooked}
        return cls({BUILT_IN: TOOL_NAMES, **dialects})

    def of(self, gate: ConfiguredHook) -> dict[str, list[str]] | None:
        """Return the tools of each agent that a gate covers, None when it listens to no tool call."""
        if not _for_tools(gate):
            return None
        return {agent: covered(gate.matcher, tools) for agent, tools in self.agents.items()}

    def line(self, gate: ConfiguredHook) -> str | None:
        """Return what a gate with a matcher covers as a line, None for those that take every tool or none."""
        covers = self.of(gate)
        if covers is None or gate.matcher is None:
            return None
        parts = [f"{agent}: {', '.join(tools) or 'no known tool'}" for agent, tools in covers.items()]
        return f"{gate.name} ({gate.matcher}) covers {'; '.join(parts)}"

    def sample_tool(self, gate: ConfiguredHook) -> str | None:
        """Return a tool that a sample for a gate can be about, None when its matcher fits none that is known."""
        every = {name: dialect.tools for name, dialect in all_dialects().items()}
        return sample_tool(gate.matcher, {**self.agents, **every}, SAMPLE_TOOL)

    def problems(self, gates: Iterable[ConfiguredHook]) -> list[ConfigProblem]:
        """Return a warning for each matcher that fits no known tool, and for each name that looks misspelt."""
        found = []
        for gate in gates:
            if _for_tools(gate) and gate.matcher is not None:
                found += [self._warning(gate, message) for message in self._complaints(gate.matcher)]
        return found

    def _complaints(self, matcher: str) -> list[str]:
        here = [tool for tools in self.agents.values() for tool in tools]
        every = [tool for dialect in all_dialects().values() for tool in dialect.tools]
        if len(unknown_names(matcher, here)) == len(matcher.split("|")):
            near = next((name for _, name in unknown_names(matcher, here) if name), None)
            hint = f"; did you mean {near!r}?" if near else f"; they have {', '.join(here)}"
            return [f"{matcher!r} fits no known tool of the agents here ({', '.join(self.agents)}){hint}"]
        unknown = unknown_names(matcher, [*here, *every])
        return [f"{glob!r} fits no known tool; did you mean {name!r}?" for glob, name in unknown if name]

    def _warning(self, gate: ConfiguredHook, message: str) -> ConfigProblem:
        return ConfigProblem(gate.place, gate.name, "matcher", message, "warning")


def _for_tools(gate: ConfiguredHook) -> bool:
    return any(POINTS[point].for_tools for point in gate.points)
