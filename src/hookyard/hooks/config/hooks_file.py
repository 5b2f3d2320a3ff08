"""The hooks files: where they are, and which version of each one's text acts.

Called by `configuration`. A file that no longer parses acts in its last good version, and one of a project as it was
when it was last trusted. What the text says is not this module's business.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from hookyard.hooks.config.last_good import LastGoodStore
from hookyard.hooks.config.trust import Trust, TrustStatus

LARGEST_FILE = 1024 * 1024
"""Bytes of a hooks file at most."""

_MOST_LEVELS = 20
"""Tables and lists within one another; a webhook's own are four."""

# What a text that does not parse may have meant as a gate that fails closed: better one too many.
_DENY_TEXT = re.compile(r"""(?i)\bdeny\b|on_fail\w*['"]?\s*=(?!\s*['"]{1,3}allow)""")
_LINE_OF_ERROR = re.compile(r"\s*\(at line (\d+), column \d+\)$")


class Role(StrEnum):
    """Whose file it is."""

    USER = "user"
    PROJECT = "project"
    SERVER = "server"


class FileState(StrEnum):
    """Which version of a file acts."""

    ABSENT = "absent"
    LOADED = "loaded"
    LAST_GOOD = "last good version"
    BROKEN = "not loaded"
    CLOSED = "not loaded; tool calls are denied"
    UNTRUSTED = "never trusted"
    LAST_TRUSTED = "last trusted version"


@dataclass(frozen=True, slots=True)
class HooksFile:
    """A file that may hold webhooks.

    Attributes:
        path: Absolute.
        role: Whose it is.
    """

    path: Path
    role: Role


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to say of a file as a whole.

    Attributes:
        message: What is wrong or noteworthy, with the hint.
        line: 1-based, None when it concerns no line.
        severity: `error` or `warning`.
    """

    message: str
    line: int | None = None
    severity: str = "error"


@dataclass(frozen=True, slots=True)
class Acting:
    """What acts of a file.

    Attributes:
        state: Which version.
        text: Its text, which parses; None when nothing of it acts.
        remarks: What is to be said of it.
    """

    state: FileState
    text: str | None = None
    remarks: tuple[Remark, ...] = ()


def user_sources(home: Path, atomcode_home: Path, project: Path | None) -> tuple[HooksFile, ...]:
    """Return the files of an agent of a user, in the order of the contract."""
    sources = [
        HooksFile(atomcode_home / "hooks" / "hooks.toml", Role.USER),
        HooksFile(home / "hooks.toml", Role.USER),
    ]
    if project is not None:
        sources.append(HooksFile(project / ".atomcode" / "hooks" / "hooks.toml", Role.PROJECT))
        sources.append(HooksFile(project / ".hookyard" / "hooks.toml", Role.PROJECT))
    unique = {source.path: source for source in reversed(sources)}  # a project that is the home: the user's own counts
    unique.update({source.path: source for source in sources if source.role is Role.USER})
    return tuple(source for source in sources if unique.get(source.path) is source)


def acting(source: HooksFile, remembered: LastGoodStore, trust: Trust | None) -> Acting:
    """Return which version of a file is in effect.

    Args:
        source: The file.
        remembered: Last good versions of the user's and the server's files.
        trust: Trusted versions of project files; without it no project file acts.
    """
    text, fault = read(source.path)
    if text is None and fault is None:
        return Acting(FileState.ABSENT)
    if source.role is Role.PROJECT:
        return _trusted(source, text, fault, trust)
    if fault is None:
        return Acting(FileState.LOADED, text)
    kept = remembered.get(source.path)
    if kept and kept.text is not None and parse_fault(kept.text) is None:
        note = Remark("its last good version is used until it is mended", severity="warning")
        return Acting(FileState.LAST_GOOD, kept.text, (fault, note))
    if kept or _DENY_TEXT.search(text or ""):
        note = Remark("it held a gate that fails closed: tool calls are denied until it is mended", fault.line)
        return Acting(FileState.CLOSED, None, (fault, note))
    return Acting(FileState.BROKEN, None, (fault,))


def _trusted(source: HooksFile, text: str | None, fault: Remark | None, trust: Trust | None) -> Acting:
    remarks = (fault,) if fault else ()
    standing, trusted = trust.status(source.path, text) if trust else (TrustStatus.UNKNOWN, None)
    if standing is TrustStatus.TRUSTED:
        return Acting(FileState.LOADED, trusted, remarks)
    if standing is TrustStatus.CHANGED:
        note = "it changed since it was trusted; the trusted version acts until `hookyard hooks trust`"
        return Acting(FileState.LAST_TRUSTED, trusted, (*remarks, Remark(note, severity="warning")))
    note = "a project's webhooks act only after `hookyard hooks trust`"
    return Acting(FileState.UNTRUSTED, None, (*remarks, Remark(note, severity="warning")))


def read(path: Path) -> tuple[str | None, Remark | None]:
    """Return the text of a hooks file, and why it cannot be used.

    Returns:
        The text, as far as it can be made out, None when there is no file or it cannot be read; and the fault, None
        when the text parses.
    """
    try:
        # A device or a pipe, to which a repository's file may link, would never end.
        if not stat.S_ISREG(path.stat().st_mode):
            return None, Remark("is not a regular file")
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None, None
    except OSError as error:
        return None, Remark(f"cannot be read: {os.strerror(error.errno or 0)}")
    if len(content) > LARGEST_FILE:
        return _made_out(content), Remark("is larger than 1 MiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        fault = Remark(f"is not UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8", line)
        return _made_out(content), fault
    return text, parse_fault(text)


def _made_out(content: bytes) -> str:
    """Return what can be read of a file that is not used, to see whether it names a gate; of UTF-16 too."""
    return content.replace(b"\0", b"").decode("utf-8", "replace")


def parse_fault(text: str) -> Remark | None:
    """Return why a text is not TOML, None when it is."""
    try:
        parsed = tomllib.loads(text)
    except RecursionError:
        return Remark("is nested too deeply")
    except tomllib.TOMLDecodeError as error:
        found = _LINE_OF_ERROR.search(str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        return Remark(f"is not TOML: {_LINE_OF_ERROR.sub('', str(error))}", line)
    return Remark("is nested too deeply") if _is_deep(parsed) else None


def _is_deep(parsed: Mapping[str, Any]) -> bool:
    """Return whether a value has more levels than any webhook needs; later code may then recurse safely."""
    level: list[Any] = [parsed]
    for _ in range(_MOST_LEVELS):
        inner = [value for held in level for value in (held.values() if isinstance(held, dict) else held)]
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return False
    return True
