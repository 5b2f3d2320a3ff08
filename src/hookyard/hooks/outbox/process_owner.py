"""The names under which processes lease the outbox's lanes, and whether such a process is still there.

Used by `outbox`. A process that was killed leaves its leases behind; a process that sees its end need not wait for
them to end. Where that cannot be seen (another machine or container on the same file) the lease decides.
"""

from __future__ import annotations

import os
import secrets
import socket
from functools import cache
from pathlib import Path


def new_owner() -> str:
    """Return a name for an owner of this process: its number, where that number is meaningful, and a unique part."""
    return f"{os.getpid()}@{_host_name()}:{secrets.token_hex(8)}"


def is_gone(owner: str) -> bool:
    """Return whether the process of an owner has certainly ended."""
    number, _, rest = owner.partition("@")
    place, _, _ = rest.rpartition(":")
    if place != _host_name() or not number.isdecimal() or int(number) <= 0:
        return False
    try:
        os.kill(int(number), 0)  # asks, sends nothing
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


@cache
def _host_name() -> str:
    """Return where process numbers are counted: the machine, and on Linux the namespace, since each container counts
    from one."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{namespace}"
