"""A program as an agent: the prompt on its input, its output is the answer.

It is one step to hookyard: what the program does inside is not seen, so no tool points fire; a webhook can refuse or
change the message, and is notified of the end.
"""

from __future__ import annotations

from hookyard.agents.base import AgentError, AgentResult, Assignment, HookFirer, Parts, Recorder, WorkspaceTools
from hookyard.agents.processes import run
from hookyard.agents.profiles import Profile
from hookyard.agents.session import AgentSession

ANSWER_BYTES = 262_144
"""Longest answer that is kept; of a longer one the beginning and the end."""

STDERR_CHARS = 2_000
"""How much of a failed program's complaints goes into the error."""


class Command:
    """Runs a program once for each assignment.

    Args:
        argv: Program and arguments; no shell reads them.
        parts: What agents are made with.
    """

    kind = "command"
    can_be_gated = True

    def __init__(self, argv: tuple[str, ...], parts: Parts) -> None:
        self._argv = argv
        self._clock = parts.clock

    async def run(
        self, assignment: Assignment, hooks: HookFirer, recorder: Recorder, tools: WorkspaceTools | None
    ) -> AgentResult:
        """Give it the prompt and wait for its answer.

        Raises:
            AgentError: It could not be started, or ended with a code other than 0.
        """

        life = AgentSession(assignment, hooks, recorder, agent="command", clock=self._clock)

        async def work(prompt: str) -> str:
            finished = await run(
                self._argv,
                working_dir=assignment.working_dir,
                environment=assignment.environment,
                stdin=prompt.encode(),
                stdout_limit=ANSWER_BYTES,
            )
            last_words = finished.stderr[-STDERR_CHARS:]
            life.stderr_line(last_words)
            if finished.code:
                raise AgentError(
                    f"the command {self._argv[0]} ended with code {finished.code}",
                    stack=last_words,
                    hint="the run's notes have its last words on stderr" if last_words.strip() else None,
                )
            answer = finished.stdout.strip()
            recorder.message("assistant", answer)
            return answer

        return await life.run(work)


def unavailable() -> str | None:
    """Return None: the kind is always available."""
    return None


def make(profile: Profile, parts: Parts) -> Command:
    """Return the agent of a profile."""
    assert profile.argv is not None  # the profile's own check
    return Command(profile.argv, parts)
