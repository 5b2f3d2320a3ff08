"""Fixtures of the webhooks half."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.hooks.receiver import FakeClock, Home, Receiver


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that runs for one test."""
    async with Receiver.running() as receiver:
        yield receiver


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    """A home that closes what was loaded from it."""
    home = Home(tmp_path / "home")
    home.path.mkdir()
    yield home
    for hooks in home.opened:
        await hooks.aclose()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that the test owns."""
    return FakeClock()
