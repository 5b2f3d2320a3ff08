"""Formats: one file per service, found by being here.

A file of this folder that ends in `FORMAT = …` (see `base.Format`) is a format; nothing else has to be edited. Used by
`config.configuration` (names, picking by address) and `delivery.delivery`.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from hookyard.hooks.formats.base import Format

DEFAULT = "hookyard"
"""The format of every address that is no known chat service's."""


@cache
def all_formats() -> dict[str, Format]:
    """Every format by name, in the order of the names."""
    found: dict[str, Format] = {}
    for module in pkgutil.iter_modules(__path__):
        made: Format | None = getattr(importlib.import_module(f"{__name__}.{module.name}"), "FORMAT", None)
        if made is not None:
            found[made.name] = made
    return found


def for_url(url: str) -> Format:
    """The format that `auto` means for an address: the known service's, else hookyard's own body."""
    formats = all_formats()
    return next((f for f in formats.values() if f.matches(url)), formats[DEFAULT])
