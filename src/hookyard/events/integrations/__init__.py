"""The doors of services that send webhooks of their own: one file for each, found here without a list of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from hookyard.events.integrations.base import Integration


@cache
def integrations() -> Mapping[str, Integration]:
    """Every service by its kind: the `SOURCE` of every module beside this one that has one."""
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    found: list[Integration] = [module.SOURCE for module in modules if hasattr(module, "SOURCE")]
    return MappingProxyType({source.kind: source for source in sorted(found, key=lambda source: source.kind)})
