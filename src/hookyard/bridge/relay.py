"""The local relay: one process for a user, behind a Unix socket, that asks the webhooks for every agent's hooks.

Started by `shim` when it is needed, and ended by itself when it has been idle for a while. It keeps connections warm,
trust and outbox at hand, and looks at changed files by itself. Everything in it belongs to one user: its folder and
socket can be opened by no other user.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from hookyard.bridge.shim import SOCKET

if TYPE_CHECKING:
    from hookyard.bridge.handler import HookRequestHandler

IDLE_SECONDS = 900.0
POLL_INTERVAL_SECONDS = 5.0
LAST_CALLS_SECONDS = 0.2
LONGEST_END_SECONDS = 30.0
LARGEST_LOG = 256 * 1024
FOLDER = "relay"
LOCK = "lock"
LOG = "relay.log"
VARIABLES = "variables.json"

SETTINGS = frozenset(
    {
        "ATOMCODE_HOME",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "HOOKYARD_CA_BUNDLE",
    }
)
"""Variables that say where things are and who is on the way: those of the user who installed count, not those of the
agent that happened to start the relay, which a repository may have set."""

_DROPPED = ("HOOKYARD_", "SSLKEYLOGFILE")


def is_setting(name: str) -> bool:
    """Return whether a variable counts only as it was at installation; nothing else is stored then."""
    return name.upper() in SETTINGS


def environment(own: Mapping[str, str], directory: Path) -> dict[str, str]:
    """Return the variables for the webhooks' configuration: the starter's without settings, and the installed ones."""
    kept = {name: value for name, value in own.items() if not (is_setting(name) or name.startswith(_DROPPED))}
    with contextlib.suppress(OSError, ValueError):
        installed = json.loads((directory / VARIABLES).read_text(encoding="utf-8"))
        if isinstance(installed, dict):
            kept |= {str(name): str(value) for name, value in installed.items() if is_setting(str(name))}
    return kept


def main(arguments: list[str] | None = None) -> None:
    """Be the relay of a folder, unless there is one."""
    given = sys.argv[1:] if arguments is None else arguments
    directory = Path(given[0]).absolute()
    idle_seconds = float(given[1]) if len(given) > 1 else IDLE_SECONDS
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chdir(directory)  # a socket's path may be short only, that of a folder long
    with Path(LOCK).open("a", encoding="ascii") as lock:
        if not _alone(lock):
            return
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        _shorten(Path(LOG))
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(directory, idle_seconds))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's factory where the server's extra brought it, else None for the standard loop.

    Imported here, since a process that finds another relay at work ends before the import would pay.
    """
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _alone(lock: TextIO) -> bool:
    """Return whether this process has become the relay.

    One that is ending still has the lock, though it no longer listens. A process that came now and left because of
    it would leave the event that it was started for without an answer.
    """
    deadline = time.monotonic() + LONGEST_END_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if Path(SOCKET).exists() or time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True


async def _serve(directory: Path, idle_seconds: float) -> None:
    from hookyard.bridge.handler import HookRequestHandler
    from hookyard.core.clock import SystemClock

    clock = SystemClock()
    desk = HookRequestHandler(directory, directory.parent, environment(os.environ, directory), clock, tell)
    counter = ConnectionHandler(desk)
    _forget_socket()  # of a relay that was killed: we hold the lock
    mask = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(counter.serve, SOCKET)
    finally:
        os.umask(mask)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        while not stop.is_set() and not counter.idle_for(idle_seconds):
            await desk.wait_idle()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(POLL_INTERVAL_SECONDS, idle_seconds))
    finally:
        _forget_socket()
        await asyncio.sleep(LAST_CALLS_SECONDS)  # who connected just before is still answered
        server.close()
        await desk.aclose()


def _forget_socket() -> None:
    Path(SOCKET).unlink(missing_ok=True)


class ConnectionHandler:
    """Takes connections.

    Args:
        desk: Answers.
    """

    def __init__(self, desk: HookRequestHandler) -> None:
        self._desk = desk
        self._under_way = 0
        self._last = time.monotonic()

    def idle_for(self, seconds: float) -> bool:
        """Return whether no event has been answered for so many seconds."""
        return not self._under_way and time.monotonic() - self._last >= seconds

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection: an event in, an answer out. No answer is a refusal where the installation is closed."""
        from hookyard.bridge import wire

        self._under_way += 1
        try:
            async with asyncio.timeout(wire.LONGEST_SECONDS):
                asked = await wire.read(reader)
                if asked is not None:
                    writer.write(wire.encode(await self._desk.handle(asked)))
                    await writer.drain()
        except (OSError, TimeoutError):
            pass  # the shim has gone or never said anything
        except Exception as error:  # the outermost loop: one event's fault ends that event only
            tell(f"{type(error).__name__}: {error}")
        finally:
            self._under_way -= 1
            self._last = time.monotonic()
            writer.close()


def tell(line: str) -> None:
    """Write a line to the relay's log."""
    print(time.strftime("%Y-%m-%dT%H:%M:%S"), line, file=sys.stderr, flush=True)  # noqa: T201


def _shorten(log: Path) -> None:
    """Truncate the log when it has become long; it is open for appending, so this is enough."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > LARGEST_LOG:
            os.truncate(log, 0)
