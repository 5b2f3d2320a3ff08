"""How often one may try to sign in.

Called by `accounts`. Failures are counted per login and per address in memory: a restart forgets them, which
an attacker cannot bring about. At most 10 failures in 5 minutes each; a login that is locked out of one address's reach
can still use a login link.
"""

from __future__ import annotations

from collections import OrderedDict, deque

from hookyard.core.clock import Clock
from hookyard.core.errors import LimitError

FAILURES = 10
WINDOW_SECONDS = 300.0
_KEYS_KEPT = 10_000


class SignInLimit:
    """Counts failed tries.

    Args:
        clock: Its `monotonic` ends the windows.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def begin(self, *, address: str, login: str | None = None) -> None:
        """Begin a try. It counts as a failure until it has succeeded, so that tries at the same time count too.

        Raises:
            LimitError: There were too many failures; says when to come back.
        """
        now = self._clock.monotonic()
        keys = _keys(address, login)
        if (wait := max(self._wait(key, now) for key in keys)) > 0:
            raise LimitError("too many failed tries to sign in", hint="wait, or use a login link", retry_after=wait)
        for key in keys:
            self._failures.setdefault(key, deque(maxlen=FAILURES)).append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > _KEYS_KEPT:
            self._failures.popitem(last=False)

    def succeeded(self, *, address: str, login: str | None = None) -> None:
        """Count the begun attempt as successful and forget the login's earlier failures."""
        if login is not None:
            self._failures.pop(f"login {login}", None)
        if mine := self._failures.get(f"address {address}"):
            mine.pop()

    def _wait(self, key: str, now: float) -> float:
        failures = self._failures.get(key)
        if failures is None or len(failures) < FAILURES:
            return 0.0
        return failures[0] + WINDOW_SECONDS - now


def _keys(address: str, login: str | None) -> list[str]:
    return [f"address {address}", *([] if login is None else [f"login {login}"])]
