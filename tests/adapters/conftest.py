"""Fixtures of the adapters' tests: a real receiver, and a home whose hooks call it."""

from __future__ import annotations

from tests.agents.conftest import mock_model
from tests.hooks.conftest import home, receiver

__all__ = ["home", "mock_model", "receiver"]
