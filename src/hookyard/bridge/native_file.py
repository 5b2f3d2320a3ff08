"""An agent's settings file: read with care, written whole or not at all, put back as it was.

Used by `install`; `plugin_file` is another kind of it. The file is the user's: broken JSON is never written over, a
link stays a link, the file's mode stays, and the text that was there before the first installation is kept, so that it
can be restored to the byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hookyard.core.errors import InvalidError

LARGEST_FILE = 8 * 1024 * 1024
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True, slots=True)
class NativeFile:
    """One settings file.

    Attributes:
        path: Where it is, whether it exists or not.
        backups: Folder of our own where the text before the first installation is kept.
    """

    path: Path
    backups: Path

    def text(self) -> str | None:
        """Return the exact text of the file, None when it does not exist.

        Raises:
            InvalidError: It cannot be read as text.
        """
        try:
            if self.path.stat().st_size > LARGEST_FILE:
                raise InvalidError("is larger than 8 MiB", where=str(self.path))
            return self.path.read_bytes().decode()  # as bytes: its line ends and its byte order mark are to come back
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError(f"cannot be read: {_plain(error)}", where=str(self.path)) from None

    def settings(self) -> dict[str, Any]:
        """Return the settings in the file, empty when it does not exist.

        Raises:
            InvalidError: It holds something else, so it is unknown what to keep, and nothing is written.
        """
        return self.parsed(self.text())

    def parsed(self, text: str | None) -> dict[str, Any]:
        """Return the object in a text of the file's kind; raises as `settings`."""
        try:
            value = _value(text)
        except json.JSONDecodeError as error:
            hint = "fix it (comments are no JSON either), then install again; nothing was written"
            raise InvalidError(f"is not JSON: {error.msg}", where=f"{self.path}:{error.lineno}", hint=hint) from None
        except RecursionError:
            raise InvalidError("is nested too deeply", where=str(self.path)) from None
        if not isinstance(value, dict):
            raise InvalidError("holds no JSON object", where=str(self.path), hint="nothing was written")
        return value

    def worded(self, settings: dict[str, Any]) -> str | None:
        """Return the text for an object, None for no file at all."""
        return _readable(settings) + "\n"

    def outdated(self) -> bool:
        """Return whether the text would change although the settings are equal."""
        return False

    def change(self, change: Callable[[dict[str, Any]], None], *, keep: bool = False, restore: bool = False) -> bool:
        """Change the settings and write them.

        Args:
            change: Changes them in place.
            keep: Nothing of ours is in the file yet: its text is worth keeping.
            restore: The change takes out what is ours: where the file was not changed otherwise since the first
                installation, the very text that was there before comes back.

        Returns:
            Whether anything was to be changed.
        """
        before = self.text()
        settings = self.parsed(before)
        known = json.dumps(settings)
        try:
            change(settings)
        except InvalidError as error:
            raise InvalidError(error.what, where=str(self.path), hint=error.hint) from None
        if json.dumps(settings) == known and not self.outdated():
            return False
        kept = self._kept()
        if restore and kept is not None:
            then = self.parsed(kept.before)
            change(then)
            if then == settings:
                self._restore(kept.before)
                return True
        if keep:
            self._keep(before)
        self._write(self.worded(settings))
        return True

    def _write(self, text: str | None) -> None:
        if text is not None:
            write_whole(Path(os.path.realpath(self.path)), text)
            return
        self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()  # when we made it; a folder with anything in it stays

    def _restore(self, before: str | None) -> None:
        """Restore the exact text from before the installation: no hook of ours is left."""
        self._write(before)
        self._place.unlink(missing_ok=True)

    @property
    def _place(self) -> Path:
        digest = hashlib.sha256(str(self.path).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        return self.backups / f"{digest}.json"

    def _keep(self, before: str | None) -> None:
        if not self._place.exists():
            self.backups.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(self._place, json.dumps({"path": str(self.path), "before": before}, ensure_ascii=False))

    def _kept(self) -> _Kept | None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return _Kept(json.loads(self._place.read_text(encoding="utf-8"))["before"])
        return None


@dataclass(frozen=True, slots=True)
class _Kept:
    before: str | None


def _value(text: str | None) -> Any:
    text = (text or "").removeprefix(_BYTE_ORDER_MARK)
    return json.loads(text) if text.strip() else {}


def _readable(settings: Mapping[str, Any]) -> str:
    text = json.dumps(settings, indent=2, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, which JSON can hold as an escape only
        return json.dumps(settings, indent=2)
    return text


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all; its mode stays, a new one is for this user alone.

    Raises:
        InvalidError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(mode)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidError(f"cannot be written: {_plain(error)}", where=str(path)) from None


def _plain(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8"
