"""The last good version of every hooks file, kept on disk, so that a slip in a file does not open a gate.

Used by `configuration` (the user's and the server's files) and `trust` (the version of a project's file that was
trusted). A process that starts while the file cannot be parsed, such as one hook call of a coding agent, still has the
gates. The copies hold what the files hold, so they are readable by the user alone. Losing them is not an error.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LastGoodVersion:
    """What is remembered of a file.

    Attributes:
        text: The file as it was, None when the copy cannot be read.
        held_gate: It held a gate that fails closed. True also when the copy cannot be read: better safe.
    """

    text: str | None
    held_gate: bool


class LastGoodStore:
    """Versions of files by their paths.

    Args:
        directory: Where they are kept; made when first needed.
    """

    def __init__(self, directory: Path) -> None:
        self.folder = directory
        self._unwritten: dict[Path, LastGoodVersion] = {}  # what a home that cannot be written did not take

    def path_of(self, path: Path) -> Path:
        """Return the file that holds the stored version of a path."""
        name = hashlib.sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return self.folder / f"{name}.json"

    def get(self, path: Path) -> LastGoodVersion | None:
        """Return the stored version of a path, None when there is none."""
        try:
            kept = json.loads(self.path_of(path).read_text(encoding="utf-8"))
            return LastGoodVersion(str(kept["text"]), bool(kept["held_gate"]))
        except FileNotFoundError:
            return self._unwritten.get(path)
        except (OSError, ValueError, KeyError, TypeError):
            return self._unwritten.get(path) or LastGoodVersion(None, held_gate=True)

    def keep(self, path: Path, text: str, *, held_gate: bool) -> bool:
        """Remember a version; writes only when it differs, whole or not at all.

        Returns:
            Whether it is on disk now; if not, this process still remembers it.
        """
        version = LastGoodVersion(text, held_gate)
        if self.get(path) == version:
            return True
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(
                self.path_of(path),
                json.dumps({"path": str(path), "held_gate": held_gate, "text": text}, ensure_ascii=False),
            )
        except OSError:
            self._unwritten[path] = version
            return False
        return True

    def forget(self, path: Path) -> bool:
        """Forget a path; whether there was something to forget."""
        try:
            self.path_of(path).unlink()
        except FileNotFoundError:
            return False
        return True


def write_whole(path: Path, text: str) -> None:
    """Put a text in the place of a file at once, readable by its owner alone.

    Raises:
        OSError: It could not be written; the old file stays.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".new")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
