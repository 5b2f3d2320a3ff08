"""What the relay remembers of the agents' sessions: turns, calls under way, the project that each one began in.

Used by `evaluate` and `handler`. In memory only and bounded: a relay that is restarted counts from zero.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from hookyard.core.clock import Clock

MOST_SESSIONS = 1000
MOST_CALLS = 256
_MARKS = (".hookyard/hooks.toml", ".atomcode/hooks/hooks.toml", ".git")


@dataclass
class Session:
    """One session of one agent.

    Attributes:
        project: The folder whose webhooks count, fixed by its first event: an agent that changes its folder stays
            governed.
        turn: Number of the turn under way, from 1; 0 before the first.
        tool_calls: Calls seen in it.
        turn_began: When it began, on the clock that never goes back.
        calls: When calls under way began.
        refused: Why the message of this turn was refused by an agent that goes on all the same, None when it was not.
    """

    project: Path
    turn: int = 0
    tool_calls: int = 0
    turn_began: float | None = None
    calls: dict[str, float] = field(default_factory=dict)
    refused: str | None = None

    def begin_turn(self, now: float) -> None:
        """Begin a turn: the user has sent a message."""
        self.turn += 1
        self.tool_calls = 0
        self.turn_began = now
        self.refused = None

    def begin_call(self, key: str, now: float) -> None:
        """Remember that a tool call is about to run."""
        self.tool_calls += 1
        if len(self.calls) < MOST_CALLS:
            self.calls[key] = now

    def end_call(self, key: str, now: float) -> float | None:
        """Return the milliseconds since a tool call began, None when its beginning was not seen."""
        began = self.calls.pop(key, None)
        return None if began is None else round((now - began) * 1000, 1)


class Sessions:
    """The sessions seen lately.

    Args:
        clock: Measures turns and calls.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._known: OrderedDict[tuple[str, str], Session] = OrderedDict()

    def of(self, agent: str, session_id: str | None, directory: str) -> Session:
        """Return the session of an event; an event without a session id gets a session of its own."""
        if not session_id:
            return Session(project_of(directory))
        key = (agent, session_id)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Session(project_of(directory))
            if len(self._known) > MOST_SESSIONS:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return found


def project_of(directory: str) -> Path:
    """Return the project of a directory: the nearest parent with a hooks file or a repository, else the directory
    itself."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        start = Path(directory).resolve()
        for candidate in (start, *start.parents):
            if any((candidate / mark).exists() for mark in _MARKS):
                return candidate
        return start
    return Path("/")
