"""The signals that end a server or a worker in order: its runs are given back, and start again elsewhere.

Used by `serve` and `worker`.
"""

from __future__ import annotations

import signal


def shutdown_signals() -> tuple[signal.Signals, ...]:
    """Return Ctrl-C, SIGTERM and the hangup of the terminal; the last not under `nohup`."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, signal.SIGHUP
