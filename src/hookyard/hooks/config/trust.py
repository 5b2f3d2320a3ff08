"""Which version of a project's hooks file may act: only one that the user has seen and trusted.

Used by `configuration` when it reads a project's file and by `hookyard hooks trust`. A file is trusted by its path and
its text; a changed one keeps acting as it was when it was last trusted. Nothing here reads the network or runs
anything.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from hookyard.hooks.config.last_good import LastGoodStore


class TrustStatus(StrEnum):
    """How a project's file stands."""

    TRUSTED = "trusted"
    CHANGED = "changed"  # the last trusted version acts
    UNKNOWN = "never trusted"  # nothing of it acts


class Trust:
    """The project files that a user trusts.

    Args:
        home: The user's `HOOKYARD_HOME`.
    """

    def __init__(self, home: Path) -> None:
        self._versions = LastGoodStore(home / "trusted")

    @property
    def folder(self) -> Path:
        """Where the trusted versions are kept."""
        return self._versions.folder

    def path_of(self, path: Path) -> Path:
        """Return the file that stores which version of a path is trusted; it changes with the trust."""
        return self._versions.path_of(path)

    def status(self, path: Path, text: str | None) -> tuple[TrustStatus, str | None]:
        """Return the trust of a file, and the text that is in effect.

        Args:
            path: The file, absolute.
            text: What it holds now, None when it cannot be read.
        """
        kept = self._versions.get(path)
        if kept is None or kept.text is None:
            return TrustStatus.UNKNOWN, None
        return (TrustStatus.TRUSTED if kept.text == text else TrustStatus.CHANGED), kept.text

    def trust(self, path: Path, text: str) -> bool:
        """Trust this version from now on; return whether that could be stored."""
        return self._versions.keep(path, text, held_gate=False)

    def distrust(self, path: Path) -> bool:
        """Revoke trust. Return True if the file was trusted."""
        return self._versions.forget(path)
