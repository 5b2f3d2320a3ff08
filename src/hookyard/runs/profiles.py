"""The agent profile that a run names: stored under that name, given inline with the callback, or the default.

Asked by `tokens` when a run is admitted and by `environments` when an attempt begins.
"""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from hookyard.agents import profiles
from hookyard.agents.profiles import Profile, read_profile
from hookyard.store.schema import agent_profiles


def stored_profile(conn: Connection, named: str) -> Profile | None:
    """Return the profile as it is now; None when there is none of that name.

    Args:
        conn: In a read or a write.
        named: As `runs.agent` has it: a name, or the JSON of an inline agent.

    Raises:
        InvalidError: It cannot be read: it was stored by another hookyard.
    """
    if named.startswith("{"):
        return read_profile(json.loads(named))
    config = conn.execute(select(agent_profiles.c.config).where(agent_profiles.c.name == named)).scalar_one_or_none()
    if config is not None:
        return read_profile(config, name=named)
    return profiles.DEFAULT if named in ("", profiles.DEFAULT.name) else None
