"""The signals that end a server or a worker in order: its runs are given back, and start again elsewhere.

Used by `serve` and `worker`.
"""

from __future__ import annotations

import signal


def shutdown_signals() -> tuple[signal.Signals, ...]:
    """Ctrl-C, SIGTERM and a terminal that is closed; the last not where `nohup` has said that it shall not end it."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return signal.SIGINT, signal.SIGTERM
    return signal.SIGINT, signal.SIGTERM, signal.SIGHUP
