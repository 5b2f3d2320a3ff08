"""Services that send webhooks of their own: one file per service, found by its presence.

A module of this package with `SOURCE = …` (see `base.Integration`) is an integration. Third parties add integrations by
entry points of the group `hookyard.integrations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from hookyard.core.plugins import Discovered, built_in, discover
from hookyard.events.integrations.base import Integration


@cache
def discovered() -> Discovered[Integration]:
    """Return every integration by its kind, and the third parties' integrations that cannot be used."""
    return discover(
        "hookyard.integrations",
        built_in(__name__, __path__, "SOURCE"),
        lambda part: part.kind,
        ("kind", "home", "verify", "translate", "comment"),
        "an integration (hookyard.events.integrations.base.Integration)",
    )


def integrations() -> Mapping[str, Integration]:
    """Return every usable integration by its kind."""
    return discovered().parts
