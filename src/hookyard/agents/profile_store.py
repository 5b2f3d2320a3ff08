"""Agent profiles, kept: what administrators write down and members choose by name.

Called by `web.api.agent_profiles`, the settings page and the checks of a callback's choice. What a profile may say is
`agents.profiles`'; whose events it serves is part of what callbacks match by, so that a change is one of every
workspace.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from hookyard.agents.profiles import DEFAULT, Profile, read_profile
from hookyard.core.clock import Clock
from hookyard.core.errors import ConflictError, InvalidError, NotFoundError, Problem
from hookyard.store import schema
from hookyard.store.database import Database, announce

TOPIC = "agent-profiles"
"""Signalled when a profile has changed."""


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """A profile as it is kept.

    Attributes:
        profile: What it says.
        created_at: Seconds since the epoch.
        updated_at: Seconds since the epoch.
    """

    profile: Profile
    created_at: float
    updated_at: float


class AgentProfiles:
    """The profiles of an installation.

    Args:
        database: Where they are kept.
        clock: Dates them.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def create(self, name: str, config: dict[str, Any]) -> StoredProfile:
        """Create a profile and return it.

        Raises:
            InvalidError: It cannot be used.
            ConflictError: The name is taken.
        """
        profile, now = _read(name, config), self._clock.now()
        row = {"name": name, "config": _dump(profile), "created_at": now, "updated_at": now}

        def write(conn: Connection) -> None:
            conn.execute(insert(schema.agent_profiles).values(**row))
            _changed(conn)

        try:
            await self._database.write(write)
        except IntegrityError:
            raise ConflictError("there is a profile of that name", where=name, hint="choose another") from None
        return StoredProfile(profile, now, now)

    async def replace(self, name: str, config: dict[str, Any]) -> StoredProfile:
        """Change what a profile says, all of it.

        Raises:
            InvalidError: It cannot be used.
            NotFoundError: There is none of that name.
        """
        profile, table = _read(name, config), schema.agent_profiles
        change = update(table).where(table.c.name == name).values(config=_dump(profile), updated_at=self._clock.now())

        def write(conn: Connection) -> StoredProfile:
            row = conn.execute(change.returning(*table.c)).first()
            if row is None:
                raise NotFoundError("no such agent profile", where=name)
            _changed(conn)
            return _kept(row)

        return await self._database.write(write)

    async def delete(self, name: str) -> None:
        """Forget a profile; runs of callbacks that name it fail and say so.

        Raises:
            NotFoundError: There is none of that name.
        """
        table = schema.agent_profiles

        def write(conn: Connection) -> None:
            if conn.execute(delete(table).where(table.c.name == name)).rowcount == 0:
                raise NotFoundError("no such agent profile", where=name)
            _changed(conn)

        await self._database.write(write)

    async def get(self, name: str) -> StoredProfile:
        """Return one profile.

        Raises:
            NotFoundError: There is none of that name.
        """
        table = schema.agent_profiles
        row = await self._database.read(lambda conn: conn.execute(select(table).where(table.c.name == name)).first())
        if row is None:
            raise NotFoundError("no such agent profile", where=name)
        return _kept(row)

    async def list(self, *, after: str = "", limit: int = 1000) -> Sequence[StoredProfile]:
        """Return profiles in the order of their names."""
        table = schema.agent_profiles
        query = select(table).where(table.c.name > after).order_by(table.c.name).limit(limit)
        return await self._database.read(lambda conn: [_kept(row) for row in conn.execute(query)])

    async def check_choice(self, agent: str | dict[str, Any]) -> None:
        """Check that a callback can name or describe this agent.

        Raises:
            InvalidError: No such profile, or a description that cannot be used.
        """
        if isinstance(agent, dict):
            try:
                read_profile(agent)
            except InvalidError as error:
                problems = tuple(Problem(f"agent.{p.field}".rstrip("."), p.message) for p in error.problems)
                raise InvalidError("the agent cannot be used", where="agent", problems=problems) from None
        elif agent not in ("", DEFAULT.name):
            known = [kept.profile.name for kept in await self.list()]
            if agent not in known:
                message = (
                    f"there is no agent profile {agent[:100]!r}; choose one of {', '.join([*known, DEFAULT.name])}"
                )
                raise InvalidError(message, where="agent", problems=(Problem("agent", message),))


def _read(name: str, config: dict[str, Any]) -> Profile:
    profile = read_profile({**config, "name": name})
    if not name:
        raise InvalidError("name is empty", where="name", problems=(Problem("name", "is empty; give it a name"),))
    return profile


def _dump(profile: Profile) -> str:
    return json.dumps(profile.as_config(), ensure_ascii=False)


def _changed(conn: Connection) -> None:
    conn.execute(update(schema.workspaces).values(revision=schema.workspaces.c.revision + 1))
    announce(conn, TOPIC)


def _kept(row: Row[tuple[object, ...]]) -> StoredProfile:
    return StoredProfile(read_profile(row.config, name=row.name), row.created_at, row.updated_at)
