"""Test kit for programs that embed hookyard, and for `hooks.toml` files.

`Receiver` is a real webhook receiver on loopback that records every request and answers what a test tells it.
`scripted_model` replaces the model of the built-in agent by answers from a file (needs the extra `agent`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from hookyard.testing.receiver import Received, Receiver, webhook_entry

if TYPE_CHECKING:
    from hookyard.agents.scripted import scripted_model

__all__ = ["Received", "Receiver", "scripted_model", "webhook_entry"]


def __getattr__(name: str) -> object:
    if name == "scripted_model":
        return importlib.import_module("hookyard.agents.scripted").scripted_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
