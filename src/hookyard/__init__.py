"""hookyard: hooks for AI agents, in both directions.

`Hooks` is the Python API of the webhooks half. Names are loaded when they are first used, so that importing the package
costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hookyard.hooks.decision import Decision, Result, Verdict
    from hookyard.hooks.hooks import Hooks
    from hookyard.hooks.points import Point

__all__ = ["Decision", "Hooks", "Point", "Result", "Verdict"]

_HOMES = {
    "Decision": "hookyard.hooks.decision",
    "Hooks": "hookyard.hooks.hooks",
    "Point": "hookyard.hooks.points",
    "Result": "hookyard.hooks.decision",
    "Verdict": "hookyard.hooks.decision",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
