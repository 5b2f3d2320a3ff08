"""Whether any of a few files changed, cheaply and only once the change has settled.

Called by `hooks.hooks` before points are fired. An editor that empties a file before it writes it, or puts a new one in
its place, must not open a gate for that moment: a change counts when the file has been as it is for a little while.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from hookyard.core.clock import Clock

POLL_INTERVAL_SECONDS = 0.25
SETTLED_AFTER_SECONDS = 0.1

Print = tuple[tuple[int, int, int] | None, ...]
"""For each file its inode, size and time of change in nanoseconds; None when it is not there."""


class FileWatcher:
    """Watches files by looking at them now and then.

    Args:
        paths: The files, whether they exist or not.
        clock: Says when to look, and how old a change is.
    """

    def __init__(self, paths: Sequence[Path], clock: Clock) -> None:
        self._paths = [str(path) for path in paths]
        self._clock = clock
        self._known = self._look()
        self._pending: tuple[Print, float] | None = None
        self.next_look = clock.monotonic() + POLL_INTERVAL_SECONDS

    def changed(self) -> bool:
        """Return whether the files differ from the last `True` and the change has settled."""
        now = self._clock.monotonic()
        seen = self._look()
        if seen == self._known:
            self._pending = None
        elif self._pending is None or self._pending[0] != seen:
            self._pending = (seen, now)
            if self._is_old(seen):
                return self._accept(seen, now)
        elif now - self._pending[1] >= SETTLED_AFTER_SECONDS:
            return self._accept(seen, now)
        self.next_look = now + (SETTLED_AFTER_SECONDS if self._pending else POLL_INTERVAL_SECONDS)
        return False

    def _accept(self, seen: Print, now: float) -> bool:
        self._known, self._pending = seen, None
        self.next_look = now + POLL_INTERVAL_SECONDS
        return True

    def _is_old(self, seen: Print) -> bool:
        """Return whether nothing vanished and what changed was last written a while ago."""
        limit = (self._clock.now() - SETTLED_AFTER_SECONDS) * 1e9
        return all(
            new is not None and new[2] <= limit for new, old in zip(seen, self._known, strict=True) if new != old
        )

    def _look(self) -> Print:
        return tuple(_print_of(path) for path in self._paths)


def _print_of(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a Path costs as much again, and this runs all the time
    except OSError:
        return None
    return found.st_ino, found.st_size, max(found.st_mtime_ns, found.st_ctime_ns)
