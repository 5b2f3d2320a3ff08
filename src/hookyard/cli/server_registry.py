"""Where a server is: what `serve` notes in its data folder, and `login-link` reads there.

Each server has a file of its own, locked while it lives, with its address in it. The kernel frees the lock however its
holder ends, so the file of a killed server is recognised, and removed by the next process that reads it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from hookyard.settings import Settings

DIRECTORY = "hookyard.servers"
"""Folder of the notes, in the data folder."""

_LONGEST = 4096


def login_url(url: str, secret: str) -> str:
    """Return a one-time login link of the server at an address."""
    return f"{url}/login/{secret}"


@contextlib.contextmanager
def registered(settings: Settings) -> Iterator[None]:
    """Keep the server's address in its data directory while it serves. A server goes on without it where the directory
    is not writable."""
    file, path = -1, settings.data / DIRECTORY / secrets.token_hex(8)
    unfinished = path.with_name(f".{path.name}")
    with contextlib.suppress(OSError):
        _live_servers(settings.data)  # removes what killed servers have left
        path.parent.mkdir(mode=0o700, exist_ok=True)
        file = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(file, settings.url.encode())
        # Locked and complete before it becomes visible: an unlocked one is treated as a dead server's.
        unfinished.rename(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            unfinished.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        if file >= 0:
            os.close(file)


def server_url(settings: Settings) -> str:
    """Return the address of the server that works on the data directory: that of the settings when a server runs there
    or none is registered, else that of the server that started last."""
    if settings.public_url:
        return settings.url
    addresses = _live_servers(settings.data)
    return settings.url if not addresses or settings.url in addresses else addresses[-1]


def _live_servers(data: Path) -> list[str]:
    """Return the addresses of running servers, the newest last, and remove the entries of dead ones."""
    try:
        paths = [path for path in (data / DIRECTORY).iterdir() if not path.name.startswith(".")]
    except OSError:
        return []
    notes = [_note(path) for path in paths]
    return [address for _, address in sorted(note for note in notes if note is not None)]


def _note(path: Path) -> tuple[float, str] | None:
    """Return when a running server registered its address, and the address; None when it has ended."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if _is_free(file):
            path.unlink(missing_ok=True)
            return None
        address = os.read(file, _LONGEST).decode(errors="replace")
        return (os.fstat(file).st_mtime, address) if address.startswith(("http://", "https://")) else None
    except OSError:
        return None
    finally:
        os.close(file)


def _is_free(file: int) -> bool:
    """Return whether no process holds the lock of an entry; take the lock in that case."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
