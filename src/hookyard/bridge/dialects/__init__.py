"""One file for each agent whose native hooks can reach us, found by its presence: no list names them.

Used by `relay`, `install` and `governor`. A file of this folder holds one dialect as `DIALECT`; `base` says
what that is.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from hookyard.errors import NotFoundError

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
        raise NotFoundError(f"no agent {agent!r} can be bridged", mend=f"one of {', '.join(all_dialects())}") from None
