"""Fixtures of the webhooks half."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.hooks.receiver import FakeClock, Home, Receiver


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that runs for one test."""
    receiver = Receiver()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.port = runner.addresses[0][1]
    yield receiver
    await runner.cleanup()


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
