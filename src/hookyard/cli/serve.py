"""`hookyard serve`: the server in the foreground.

Prints one ready line with the address on stdout, and on the first start a one-time login link; everything else is log,
on stderr. What keeps it from starting is one line with the hint.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hookyard.cli import logs
from hookyard.cli.options import data_option
from hookyard.cli.server_registry import login_url, registered
from hookyard.cli.signals import shutdown_signals
from hookyard.cli.variables import warn_of_unknown
from hookyard.core.errors import InvalidError, PermanentError
from hookyard.settings import Settings

if TYPE_CHECKING:
    from hookyard.wiring import App

_GRACE_SECONDS = 5
_BACKLOG = 2048


@click.command(short_help="Run the server")
@click.option("--host", metavar="ADDRESS", help="Address to listen on; 127.0.0.1 unless HOOKYARD_HOST says otherwise.")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port to listen on; 8484, and 0 for any free one.")
@data_option
@click.option("--no-worker", is_flag=True, help="Take events and serve pages, but leave the runs to `hookyard worker`.")
def serve(host: str | None, port: int | None, data: Path | None, no_worker: bool) -> None:
    """Run the server until a signal (Ctrl-C, SIGTERM, or its terminal is closed)."""
    settings = Settings.load(data=data)
    settings = replace(settings, host=host or settings.host, port=settings.port if port is None else port)
    logs.configure()
    warn_of_unknown(os.environ)
    gc.disable()  # until `_calm_collector`: starting makes next to no garbage, and looking for it took a tenth of it
    import uvloop

    uvloop.run(_serve(settings, work=not no_worker))


async def _serve(settings: Settings, *, work: bool) -> None:
    from hookyard import wiring

    with listening(settings.host, settings.port) as listener:
        settings = replace(settings, port=listener.getsockname()[1])
        serving = asyncio.Event()
        async with wiring.running(settings, work=work, serving=serving) as app:
            secret = await app.first_link()
            link = None if secret is None else login_url(settings.url, secret)

            def ready() -> None:
                _calm_collector()
                announce(settings, link)
                serving.set()

            with registered(settings):
                await _until_told(app, listener, ready)


async def _until_told(app: App, listener: socket.socket, ready: Callable[[], None]) -> None:
    import uvicorn

    from hookyard.web.connection import Connection, default_limits

    class Server(uvicorn.Server):
        """uvicorn, telling when it is ready, and without its own signal handling, which would end the process before
        our own parts are closed."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            """Start, and say so."""
            await super().startup(sockets)
            ready()

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Stop at the first signal, without waiting at the second."""

            def stop() -> None:
                self.force_exit = self.should_exit
                self.should_exit = True

            loop = asyncio.get_running_loop()
            for number in shutdown_signals():
                loop.add_signal_handler(number, stop)
            yield

    config = uvicorn.Config(
        app.asgi,
        http=Connection.limited(default_limits()),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # `web.app` reads them
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    await Server(config).serve(sockets=[listener])


def _calm_collector() -> None:
    """Collect garbage from now on, but leave out what was made while starting: it stays until the end, and walking
    through half a million objects every few seconds took a quarter of the writer's time."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()


def announce(settings: Settings, link: str | None) -> None:
    """Print the ready line, and the login link of a first start."""
    print(f"hookyard is ready at {settings.url}", flush=True)
    if link is not None:
        print(f"sign in (once, within 24 hours): {link}", flush=True)


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a bound socket; it is bound before anything else is opened, so that a second server fails at once.

    Raises:
        PermanentError: The port is in use or not ours to take.
        InvalidError: No such address.
    """
    try:
        family, kind, protocol, _, bound = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (socket.gaierror, UnicodeError) as error:  # the second: a name that cannot even be asked for, such as `a..b`
        why = f": {error.strerror}" if isinstance(error, OSError) else ""
        raise InvalidError(f"{host!r} is no address{why}", where="--host", hint="give one such as 127.0.0.1") from None
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(bound)
            listener.listen(_BACKLOG)
        except OSError as error:
            hints = {
                errno.EADDRINUSE: "it is in use: stop the other server, or give another with --port",
                errno.EACCES: "it is not ours to take: give one above 1023 with --port",
                errno.EADDRNOTAVAIL: "this machine has no such address: give one of its own with --host",
            }
            hint = hints.get(error.errno or 0, "give another with --host and --port")
            raise PermanentError("cannot listen", where=f"{host}:{port}", hint=hint) from None
        yield listener
