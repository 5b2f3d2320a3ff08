"""Ports of servers that cannot choose one themselves, or that come back to theirs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_port() -> Iterator[int]:
    """A free port of 127.0.0.1 that the system gives to nobody else meanwhile.

    A server that sets SO_REUSEADDR, as nearly all do, can listen there, end and come back. While none does, connections
    are refused. A port that is looked up and let go may be another program's by the time it is used.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]
