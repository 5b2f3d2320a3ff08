"""Directories that attempts left because their worker was killed: removed once no process can be working in them.

Run by `wiring` with every worker. Only what lies in the data folder's own `work` and is named like an attempt is
looked at, never a folder of an agent profile; the work in a git worktree is committed to its branch first, and what
cannot be saved stays where it is.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import Connection, select

from hookyard.agents.worktree import clean_up_worktrees, is_worktree, remove_folder
from hookyard.core.clock import Clock
from hookyard.core.errors import HookyardError
from hookyard.core.ids import RunId
from hookyard.runs.liveness import LEASE_SECONDS
from hookyard.runs.queue import Execution
from hookyard.store.database import Database
from hookyard.store.schema import attempts

logger = logging.getLogger(__name__)

EVERY_SECONDS = 600.0

GRACE_SECONDS = 4 * LEASE_SECONDS
"""After an attempt was given up: its worker may only have hung, and then ends its agents itself."""

MAX_AGE_SECONDS = 86_400.0
"""Age of a folder whose attempt is not known any more."""

_AT_ONCE = 500
_NAME = re.compile(r"(run_[0-9A-Za-z]+)-([0-9]+)")


def directory_name(execution: Execution) -> str:
    """Return the name of an attempt's directory."""
    return f"{execution.run_id}-{execution.attempt}"


class WorkspaceCleanup:
    """The folders under one data folder.

    Args:
        database: Knows which attempts have ended.
        clock: The time.
        scratch: Where the folders of attempts are.
    """

    def __init__(self, database: Database, clock: Clock, scratch: Path) -> None:
        self._database = database
        self._clock = clock
        self._scratch = scratch

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            try:
                await self.clean_up()
            except HookyardError as error:
                logger.warning("folders that were left wait", extra={"error": str(error)})
            await asyncio.sleep(EVERY_SECONDS)

    async def clean_up(self) -> None:
        """Take away what can be.

        Raises:
            TemporaryError: The database is away.
        """
        there = list((await asyncio.to_thread(self._there)).items())
        for first in range(0, len(there), _AT_ONCE):
            part = dict(there[first : first + _AT_ONCE])
            for execution in await self._database.read(lambda conn, part=part: self._over(conn, part)):  # type: ignore[misc]
                await _take_away(self._scratch / directory_name(execution))

    def _there(self) -> Mapping[Execution, float]:
        """Return every directory named like an attempt's, and when it was last changed."""
        found = {}
        for entry in self._scratch.iterdir() if self._scratch.is_dir() else ():
            name = _NAME.fullmatch(entry.name)
            if name is not None and entry.is_dir() and not entry.is_symlink():
                found[Execution(RunId(name[1]), int(name[2]))] = entry.stat().st_mtime
        return found

    def _over(self, conn: Connection, there: Mapping[Execution, float]) -> list[Execution]:
        """Return the attempts that ended a while ago, or were forgotten long ago."""
        now = self._clock.now()
        query = select(attempts.c.run_id, attempts.c.number, attempts.c.finished_at).where(
            attempts.c.run_id.in_({execution.run_id for execution in there})
        )
        ends = {Execution(RunId(row.run_id), row.number): row.finished_at for row in conn.execute(query)}

        def is_over(execution: Execution, changed_at: float) -> bool:
            if execution not in ends:
                return changed_at < now - MAX_AGE_SECONDS
            ended_at = ends[execution]
            return ended_at is not None and ended_at < now - GRACE_SECONDS

        return [execution for execution, changed_at in there.items() if is_over(execution, changed_at)]


async def _take_away(directory: Path) -> None:
    if await asyncio.to_thread(is_worktree, directory):
        await clean_up_worktrees(directory, logger.warning)
        return
    await asyncio.to_thread(remove_folder, directory)
    if await asyncio.to_thread(directory.exists):
        logger.warning("the folder of an attempt cannot be removed", extra={"folder": str(directory)})
        return
    logger.info("took away the folder of an attempt that its worker had left", extra={"folder": str(directory)})
