"""The live settings of a running server: what the environment and the settings file fix, over what is stored.

Called by `accept`, admission and the retention for a snapshot, and by the settings API to change one. A change is in
effect at once in the process that makes it and within two seconds in all others: they are signalled, and look every
second in case a signal was lost. The settings file is read again as often; while it cannot be used, what it said before
holds.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping

from sqlalchemy import Connection, select

from hookyard.core.clock import Clock
from hookyard.core.errors import ConflictError, HookyardError, InvalidError, NotFoundError, Problem
from hookyard.settings import LIVE, LiveSettings, SettingValue
from hookyard.store import schema
from hookyard.store.database import Database, announce
from hookyard.store.fast_sql import insert_or_update

POLL_INTERVAL_SECONDS = 1.0

TOPIC = "settings"

logger = logging.getLogger(__name__)


class LiveSettingsStore:
    """Holds the current snapshot.

    Args:
        database: Where changed settings are stored.
        clock: Dates the changes.
        fixed: What the environment and the settings file say, see `Settings.live`.
        read_again: Says what they say now; None = they stay as they are.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        fixed: LiveSettings,
        read_again: Callable[[], LiveSettings] | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._fixed = fixed
        self._read_again = read_again
        self._complaint = ""
        self._current = fixed

    @property
    def current(self) -> LiveSettings:
        """The snapshot in effect; cheap."""
        return self._current

    async def load(self) -> LiveSettings:
        """Read what is fixed and what is stored, and make it the snapshot in effect."""

        def read(conn: Connection) -> LiveSettings:
            return self._fixed_now().with_stored(_stored(conn))

        before = self._current
        self._current = await self._database.read(read)
        if self._current != before:
            # Who was woken by the change itself may have looked at the snapshot before it was this one.
            self._database.signals.notify(TOPIC)
        return self._current

    async def follow(self) -> None:
        """Keep the snapshot up to date until cancelled."""
        with self._database.signals.subscribe(TOPIC) as changed:
            while True:
                try:
                    await self.load()
                except HookyardError:
                    # The database is away for a moment: the last snapshot stays in effect.
                    await asyncio.sleep(POLL_INTERVAL_SECONDS)
                await changed.wait(POLL_INTERVAL_SECONDS)

    async def change(self, changes: Mapping[str, object], *, by: str) -> LiveSettings:
        """Store new values; all of them or none.

        Args:
            changes: Values by dotted name; None takes a stored value back to its default.
            by: Who changes them.

        Raises:
            NotFoundError: No such setting.
            ConflictError: The environment or the settings file fixes one of them.
            InvalidError: A value of the wrong type or out of bounds; every one is named.
        """
        checked = self._check(changes)
        now = self._clock.now()

        def store(conn: Connection) -> None:
            for name, value in checked.items():
                conn.execute(schema.settings.delete().where(schema.settings.c.name == name))
                if value is not None:
                    row = {"name": name, "value": json.dumps(value), "updated_at": now, "updated_by": by}
                    insert = insert_or_update(conn, schema.settings).values(row)
                    conn.execute(insert.on_conflict_do_update(index_elements=["name"], set_=row))
            announce(conn, TOPIC)

        await self._database.write(store)
        return await self.load()

    def _fixed_now(self) -> LiveSettings:
        """Return what the environment and the settings file pin; their previous values when the file is invalid."""
        if self._read_again is not None:
            try:
                self._fixed = self._read_again()
                self._complaint = ""
            except InvalidError as error:
                if (said := str(error)) != self._complaint:
                    self._complaint = said
                    logger.warning("the settings stay as they were: %s", said)
        return self._fixed

    def _check(self, changes: Mapping[str, object]) -> dict[str, SettingValue | None]:
        checked: dict[str, SettingValue | None] = {}
        problems: list[Problem] = []
        for name, value in changes.items():
            if name not in LIVE:
                raise NotFoundError(f"there is no setting {name!r}", hint="GET /settings lists them")
            if name in self._fixed.pinned:
                by = self._fixed.pinned[name]
                hint = "change it there and restart" if by == LIVE[name].variable else "change it there"
                raise ConflictError(f"{name} is fixed by {by}", where=name, hint=hint)
            try:
                checked[name] = None if value is None else LIVE[name].check(value)
            except InvalidError as error:
                problems.extend(error.problems)
        if problems:
            raise InvalidError("settings that cannot be used", problems=tuple(problems))
        return checked


def _stored(conn: Connection) -> dict[str, SettingValue]:
    stored: dict[str, SettingValue] = {}
    for name, text in conn.execute(select(schema.settings.c.name, schema.settings.c.value)):
        if name not in LIVE:
            continue  # of another version of hookyard
        try:
            stored[name] = LIVE[name].check(json.loads(text))
        except (InvalidError, ValueError):
            continue  # its bounds have changed since: the default holds
    return stored
