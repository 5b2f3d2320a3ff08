"""Agents whose native hooks the bridge understands: one file per agent, found by its presence.

A module of this package with `DIALECT = …` (see `base.Dialect`) is a dialect. Third parties add dialects by entry
points of the group `hookyard.dialects`. Used by `relay`, `install` and `governor`.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from hookyard.core.errors import NotFoundError
from hookyard.core.plugins import Discovered, built_in, discover
from hookyard.hooks.protect import AgentFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookyard.bridge.dialects.base import Dialect


@cache
def discovered() -> Discovered[Dialect]:
    """Return every dialect by its agent's name, and the third parties' dialects that cannot be used."""
    return discover(
        "hookyard.dialects",
        built_in(__name__, __path__, "DIALECT"),
        lambda part: part.name,
        ("name", "title", "events", "tools", "read", "answer", "refuse", "closed_tail", "settings_file", "install"),
        "a dialect (hookyard.bridge.dialects.base.Dialect)",
    )


def all_dialects() -> Mapping[str, Dialect]:
    """Return every usable dialect by its agent's name, in alphabetical order."""
    return discovered().parts


def dialect_of(agent: str) -> Dialect:
    """Return the dialect of an agent.

    Raises:
        NotFoundError: There is none.
    """
    try:
        return all_dialects()[agent]
    except KeyError:
        raise NotFoundError(f"no agent {agent!r} can be bridged", hint=f"one of {', '.join(all_dialects())}") from None


def agent_files(environ: Mapping[str, str], home: Path | None = None) -> AgentFiles:
    """Return the files that decide which hooks the agents run, so that no governed agent writes to them.

    Args:
        environ: Variables that may have moved the agents' folders; those where they are by default count as well.
        home: The user's home folder; that of this process's user when None.
    """
    home = home or Path(os.path.expanduser("~"))  # noqa: PTH111 - never raises
    user: dict[Path, None] = {}
    project: dict[Path, None] = {}
    for dialect in all_dialects().values():
        for variables in (environ, {}):
            files = dialect.settings_file(home, variables, None), *dialect.other_files(home, variables, None)
            user.update(dict.fromkeys(files))
        files = dialect.settings_file(home, environ, Path()), *dialect.other_files(home, environ, Path())
        project.update(dict.fromkeys(files))
    return AgentFiles(tuple(path.absolute() for path in user), tuple(project))
