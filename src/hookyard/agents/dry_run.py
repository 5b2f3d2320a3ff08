"""The agent that only stores the rendered prompt: what runs when nothing is configured.

It fires the points that it has: those of the session, the message and the turn.
"""

from __future__ import annotations

from hookyard.agents.base import AgentResult, Assignment, HookFirer, Parts, Recorder, WorkspaceTools
from hookyard.agents.profiles import Profile
from hookyard.agents.session import AgentSession

ANSWER = "Dry run: the prompt was stored and nothing else was done. Choose an agent profile to have it answered."


class DryRun:
    """Stores the prompt."""

    kind = "dry-run"
    can_be_gated = True

    def __init__(self, parts: Parts) -> None:
        self._clock = parts.clock

    async def run(
        self, assignment: Assignment, hooks: HookFirer, recorder: Recorder, tools: WorkspaceTools | None
    ) -> AgentResult:
        """Do nothing, and say so."""

        async def nothing(prompt: str) -> str:
            recorder.note(ANSWER)
            return ANSWER

        return await AgentSession(assignment, hooks, recorder, clock=self._clock).run(nothing)


def unavailable() -> str | None:
    """Return None: the kind is always available."""
    return None


def make(profile: Profile, parts: Parts) -> DryRun:
    """Return the agent of a profile."""
    return DryRun(parts)
