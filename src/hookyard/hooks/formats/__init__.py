"""Chat formats and the plain one: one file per service, found by its presence.

A module of this package that ends in `FORMAT = …` (see `base.Format`) is a format. Third parties add formats by entry
points of the group `hookyard.formats`. `config` reads the names, `webhook` picks the format of an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from hookyard.core.plugins import Discovered, built_in, discover
from hookyard.hooks.formats.base import Format

DEFAULT = "hookyard"
"""The format of every address that is not a known chat service's."""


@cache
def discovered() -> Discovered[Format]:
    """Return every format by name, and the third parties' formats that cannot be used."""
    return discover(
        "hookyard.formats",
        built_in(__name__, __path__, "FORMAT"),
        lambda part: part.name,
        ("name", "chat", "rates", "matches", "build", "judge"),
        "a format (hookyard.hooks.formats.base.Format)",
    )


def all_formats() -> Mapping[str, Format]:
    """Return every usable format by name."""
    return discovered().parts


def for_url(url: str) -> Format:
    """Return the format that `auto` means for an address: the known service's, else hookyard's own body."""
    formats = all_formats()
    return next((f for f in formats.values() if f.matches(url)), formats[DEFAULT])
