"""Who does something in a workspace.

Made by `web.auth` (a person or a token) and by `workspace.agent_tools` (a run), used by every operation: it names who
did it, how far what they write is trusted, and which runs led to it. Nothing here is ever read from a request's body.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hookyard.core.ids import RunId, UserId
from hookyard.events.model import NO_CAUSE, AuthorTrust, Cause


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something.

    Attributes:
        user_id: Their id; of an agent, the run's id.
        name: The name that events and comments show.
        trust: How far what they write is trusted.
        cause: The runs that led to it.
        run_id: The run that does it, None for a person.
    """

    user_id: UserId
    name: str
    trust: AuthorTrust = AuthorTrust.MEMBER
    cause: Cause = field(default=NO_CAUSE)
    run_id: RunId | None = None
