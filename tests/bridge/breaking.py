"""Ways in which an installation can break after it was made, each with the real parts."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from hookyard.bridge import shim
from hookyard.bridge.install import Bridge
from hookyard.bridge.plan import Commands


@dataclass(frozen=True)
class Apart(Bridge):
    """An installation whose shim and interpreter are its own, so that a test may break them.

    Attributes:
        parts: The folder that holds them.
    """

    parts: Path = Path()

    @classmethod
    def of(cls, bridge: Bridge, parts: Path) -> Apart:
        """Make the parts of an installation."""
        own = cls(bridge.home, bridge.user, bridge.environ, parts / "python", parts)
        own.shim.parent.mkdir(parents=True)
        shutil.copy(shim.__file__, own.shim)
        own.interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')  # a link would have no packages
        own.interpreter.chmod(0o755)
        return own

    @property
    def shim(self) -> Path:
        """Its copy of the shim."""
        return self.parts / "hookyard" / "bridge" / "shim.py"

    @property
    def commands(self) -> Commands:
        """Words its lines."""
        return replace(super().commands, shim=self.shim)


def no_shim(own: Apart) -> None:
    """The shim's file is deleted."""
    own.shim.unlink()


def no_interpreter(own: Apart) -> None:
    """The interpreter is deleted."""
    own.interpreter.unlink()


def no_library(own: Apart) -> None:
    """Python does not find its own library."""
    # `-E` and `-I` keep this variable from a healthy line.
    own.interpreter.write_text(f'#!/bin/sh\nshift 3\nPYTHONHOME=/nowhere exec {sys.executable} -S "$@"\n')


def no_relay(own: Apart) -> None:
    """The relay's folder is gone."""
    own.folder.rename(own.folder.with_name("gone"))


def killed(own: Apart) -> None:
    """The shim is killed before it says a word."""
    own.shim.write_text("import os\nos.kill(os.getpid(), 9)\n")


def silent(own: Apart) -> None:
    """Something ends with exit code 2 and says nothing."""
    own.shim.write_text("import os\nos._exit(2)\n")


BREAKS: dict[str, Callable[[Apart], None]] = {
    way.__name__: way for way in (no_shim, no_interpreter, no_library, no_relay, killed, silent)
}
