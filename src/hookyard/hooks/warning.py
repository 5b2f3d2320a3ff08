"""Lines for the user: where they go, and that a lost one never changes what a webhook decided.

Used by everything of this package that warns. A reader of stderr may be gone (`2>&1 | grep -m1`), a terminal closed, a
disk full, and a function that the user gave may raise.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass


def to_stderr(line: str) -> None:
    """Print a hook message on stderr; drop it where stderr cannot be written to."""
    stream = sys.stderr
    if stream is None:  # closed when Python started; print() would write to stdout instead
        return
    with contextlib.suppress(OSError, ValueError):
        raw = getattr(getattr(stream, "buffer", None), "raw", None)
        if not isinstance(stream, io.TextIOWrapper) or not isinstance(raw, io.FileIO):
            print(line, file=stream, flush=True)
            return
        # A line that fails in a buffer stays there and fails again when the process ends, which then exits with 120.
        stream.flush()
        left = memoryview(f"{line}\n".encode(stream.encoding, "backslashreplace"))
        while left:
            left = left[raw.write(left) or len(left) :]


@dataclass(frozen=True, slots=True)
class Warn:
    """Takes lines for the user and never raises.

    Attributes:
        write: Takes each line; whatever it raises is dropped together with the line.
    """

    write: Callable[[str], None] = to_stderr

    @classmethod
    def of(cls, write: Callable[[str], None]) -> Warn:
        """Return a function as one that never raises; one that never does is returned as it is."""
        return write if isinstance(write, cls) else cls(write)

    def __call__(self, line: str) -> None:
        """Take a line."""
        with contextlib.suppress(Exception):
            self.write(line)
