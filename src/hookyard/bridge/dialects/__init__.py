"""One file for each agent whose native hooks can reach us, found by its presence: no list names them.

Used by `relay`, `install` and `governor`. A file of this folder holds one dialect as `DIALECT`; `base` says
what that is.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from hookyard.core.errors import NotFoundError
from hookyard.hooks.protect import AgentFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hookyard.bridge.dialects.base import Dialect

_NO_DIALECT = {"base"}


@cache
def all_dialects() -> Mapping[str, Dialect]:
    """Every dialect by its agent's name, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _NO_DIALECT)
    found = [importlib.import_module(f"{__name__}.{name}").DIALECT for name in names]
    return MappingProxyType({dialect.name: dialect for dialect in found})


def dialect_of(agent: str) -> Dialect:
    """The dialect of an agent.

    Raises:
        NotFoundError: There is none.
    """
    try:
        return all_dialects()[agent]
    except KeyError:
        raise NotFoundError(f"no agent {agent!r} can be bridged", hint=f"one of {', '.join(all_dialects())}") from None


def agent_files(environ: Mapping[str, str], home: Path | None = None) -> AgentFiles:
    """What decides which hooks the agents run that can be bridged, so that no governed agent writes to it.

    Args:
        environ: Variables that may have moved the agents' folders; those where they are by default count as well.
        home: The user's home folder; that of whoever runs this process when None.
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
