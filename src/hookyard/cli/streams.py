"""Standard output and standard error of a command whose reader may be gone: `hookyard … | head -1`, `2>&1 | grep -m1`.

Installed once by `cli.main`. Messages on stderr are dropped when nothing can be written there; stdout that cannot be
written to ends the command, quietly when only its reader has gone.
"""

from __future__ import annotations

import contextlib
import io
import sys
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Errors(io.FileIO):
    """Descriptor 2; a write that fails is dropped, so no message can end the command that it comes from."""

    def write(self, data: Buffer, /) -> int:
        """Write, and count everything as written when that fails."""
        try:
            written = super().write(data)
        except OSError:
            written = None
        return memoryview(data).nbytes if written is None else written


class _Output(io.FileIO):
    """Descriptor 1; the first write that fails raises, later ones go nowhere.

    Attributes:
        failed: The first error of a write.
    """

    failed: OSError | None = None

    def write(self, data: Buffer, /) -> int:
        """Write.

        Raises:
            OSError: The first write that fails; what is left in buffers then must not fail again at exit.
        """
        if self.failed is not None:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self.failed = error
            raise


def install() -> None:
    """Put both in place of `sys.stdout` and `sys.stderr`, where those are the process's own."""
    out, err = _own(sys.stdout, 1), _own(sys.stderr, 2)
    if out is not None:
        sys.stdout = _text(_Output(1, "wb", closefd=False), out, lines=out.isatty())
    if err is not None:
        sys.stderr = _text(_Errors(2, "wb", closefd=False), err, lines=True)


def lost_output() -> OSError | None:
    """Write out what stdout still holds, and return why it could not be written; None when it was."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.failed if isinstance(raw, _Output) else None


def _own(stream: IO[str] | None, number: int) -> io.TextIOWrapper | None:
    """Return a stream that writes to a descriptor of the process, None when it does not."""
    try:
        return stream if isinstance(stream, io.TextIOWrapper) and stream.fileno() == number else None
    except (OSError, ValueError):
        return None


def _text(raw: io.FileIO, as_before: io.TextIOWrapper, *, lines: bool) -> io.TextIOWrapper:
    """Return a text stream with the encoding of another one; what its encoding lacks is written with backslashes."""
    with contextlib.suppress(OSError, ValueError):
        as_before.flush()
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding=as_before.encoding, errors="backslashreplace", line_buffering=lines)
