"""The event types that a server knows: the built-in ones and those that administrators have declared.

`current` is read by the endpoints for every event; `declare` and `remove` are the API's. A change is known at once
in the process that makes it and within two seconds in the others.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from sqlalchemy import Connection, select

from hookyard.core.clock import Clock
from hookyard.core.errors import ConflictError, HookyardError, NotFoundError
from hookyard.events.catalog import Catalog, EventType, Value, declare
from hookyard.store import schema
from hookyard.store.database import Database, announce

POLL_INTERVAL_SECONDS = 1.0

TOPIC = "event_types"


class EventTypes:
    """Holds the catalog of this server.

    Args:
        database: Where declarations are stored.
        clock: Dates them.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._current = Catalog()

    @property
    def current(self) -> Catalog:
        """Every type known now; cheap."""
        return self._current

    async def load(self) -> Catalog:
        """Read the declarations."""
        self._current = await self._database.read(load_catalog)
        return self._current

    async def follow(self) -> None:
        """Keep the catalog up to date until cancelled."""
        with self._database.signals.subscribe(TOPIC) as changed:
            while True:
                try:
                    await self.load()
                except HookyardError:
                    await asyncio.sleep(POLL_INTERVAL_SECONDS)
                await changed.wait(POLL_INTERVAL_SECONDS)

    async def declare(
        self, name: str, variables: Sequence[tuple[str, str, Value]], *, description: str = ""
    ) -> EventType:
        """Declare an event type, or change a declared one.

        Args:
            name: Such as `deploy.finished`.
            variables: Name, type (`string`, `number`, `boolean`) and example of each.
            description: When it happens.

        Raises:
            InvalidError: A name or a variable that cannot be.
        """
        declared = declare(name, variables, description=description)
        definition = json.dumps({"variables": [list(v) for v in variables], "description": description})
        now = self._clock.now()

        def store(conn: Connection) -> None:
            conn.execute(schema.event_types.delete().where(schema.event_types.c.name == name))
            conn.execute(schema.event_types.insert().values(name=name, definition=definition, created_at=now))
            _changed(conn)

        await self._database.write(store)
        await self.load()
        return declared

    async def remove(self, name: str) -> None:
        """Take a declaration back; events of that type stay.

        Raises:
            NotFoundError: No such declaration.
            ConflictError: A built-in type.
        """
        known = self._current.get(name)
        if known is not None and not known.declared:
            raise ConflictError(f"{name} is a built-in event type", hint="only declared types can be removed")

        def store(conn: Connection) -> None:
            gone = conn.execute(schema.event_types.delete().where(schema.event_types.c.name == name))
            if gone.rowcount == 0:
                raise NotFoundError(f"there is no declared event type {name!r}")
            _changed(conn)

        await self._database.write(store)
        await self.load()


def load_catalog(conn: Connection) -> Catalog:
    """Return the catalog with the types declared in the database."""
    declared = []
    for name, text in conn.execute(select(schema.event_types.c.name, schema.event_types.c.definition)):
        definition = json.loads(text)
        variables = [(v[0], v[1], v[2]) for v in definition["variables"]]
        declared.append(declare(name, variables, description=definition["description"]))
    return Catalog(declared)


def _changed(conn: Connection) -> None:
    conn.execute(schema.workspaces.update().values(revision=schema.workspaces.c.revision + 1))
    announce(conn, TOPIC)
