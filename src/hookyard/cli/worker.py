"""`hookyard worker`: a further worker on the same database, in the foreground.

It takes the environment and the data folder of the server for which it works; with PostgreSQL it may be on another
machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import click

from hookyard.cli import logs
from hookyard.cli.db import existing
from hookyard.cli.options import data_option
from hookyard.cli.signals import shutdown_signals
from hookyard.cli.variables import warn_of_unknown
from hookyard.core.errors import UnavailableError
from hookyard.settings import Settings


@click.command(short_help="Run a further worker on the same database")
@data_option
def worker(data: Path | None) -> None:
    """Execute runs until a signal (Ctrl-C, SIGTERM, or its terminal is closed). What is not done by then
    starts again elsewhere."""
    settings = Settings.load(data=data)
    logs.configure()
    with contextlib.suppress(UnavailableError):  # it is waited for below
        existing(settings).close()
    warn_of_unknown(os.environ)
    import uvloop

    uvloop.run(_work(settings))


async def _work(settings: Settings) -> None:
    """Work until a signal. One that comes while the worker starts, such as while it waits for the database, ends it."""
    ready, stop = asyncio.Event(), asyncio.Event()
    working = asyncio.create_task(_until(stop, settings, ready))

    def on_signal() -> None:
        stop.set()
        if not ready.is_set():
            working.cancel()

    for number in shutdown_signals():
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    with contextlib.suppress(asyncio.CancelledError):
        await working


async def _until(stop: asyncio.Event, settings: Settings, ready: asyncio.Event) -> None:
    from hookyard import wiring

    async with wiring.working(settings):
        click.echo("hookyard worker is ready")
        ready.set()
        await stop.wait()
