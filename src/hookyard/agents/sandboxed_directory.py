"""The working folder: opens files inside it and nothing outside, whatever links and races there are.

Used by the file tools. A path is walked one part at a time from the open folder; a symbolic link on the way is read and
walked too, never followed by the kernel, so that no link can lead out, not even one that is put there between a check
and its use.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from hookyard.agents.session import ToolError

MAX_LINKS = 40
"""Symbolic links on the way to one file, as Linux has it."""

MAX_FOLDERS = 200
"""Folders on the way to one file. Each is held open until the file is reached, and the worker has only so many."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW

_HOOK_FILES = re.compile(
    r"""
    (^|/) (
        hooks\.toml
      | \.hookyard (/.*)?
      | \.atomcode/hooks (/.*)?
      | \.claude/settings[^/]*\.json
      | \.codex/(hooks\.json|config\.toml)
      | \.gemini/(settings\.json|\.env|extensions(/.*)?|agents(/.*)?|policies(/.*)?)
      | \.mcp\.json
      | \.cursor/(hooks|mcp)\.json
      | \.copilot/(hooks(/.*)?|config\.json)
      | \.github/hooks (/.*)?
      | \.(config/)?opencode/plugins? (/.*)?
    ) $
    """,
    re.VERBOSE | re.IGNORECASE,
)

_HOOK_FILES_NAMED = re.compile(
    r"hooks\.toml|\.hookyard\b|\.atomcode/hooks|\.claude/settings|\.codex/(?:hooks|config)|\.gemini/settings"
    r"|\.copilot/(?:hooks|config)|\.github/hooks|\.(?:config/)?opencode/plugin",
    re.IGNORECASE,
)


_GIT_FILES = re.compile(r"(^|/)(\.git|git~1)[. ]*(:[^/]*)?(/|$)", re.IGNORECASE)
"""What git reads to know what to run; some file systems take other spellings for the same name."""


def is_git_file(relative: str) -> bool:
    """Return whether a path inside the folder is a `.git` or lies in one."""
    return _GIT_FILES.search(relative) is not None


def is_hook_file(relative: str) -> bool:
    """Return whether a path inside the directory configures hooks: hookyard's, AtomCode's, or another agent's."""
    return _HOOK_FILES.search(relative) is not None


def names_hook_file(text: str) -> bool:
    """Return whether a shell command names such a file. A command can name a file in other ways: this is a fence, not a
    wall."""
    return _HOOK_FILES_NAMED.search(text) is not None


@dataclass(frozen=True, slots=True)
class OpenedPath:
    """Where a path leads.

    Attributes:
        parent: Open descriptor of the folder that holds it.
        name: Its name in there, `.` for the working folder itself.
        relative: The way from the working folder, without links.
    """

    parent: int
    name: str
    relative: str


class SandboxedDirectory:
    """A working folder.

    Args:
        root: It, absolute.
        guard_hook_files: Refuse to write files that configure hooks.
    """

    def __init__(self, root: Path, *, guard_hook_files: bool = True) -> None:
        self.root = root
        self._guard = guard_hook_files

    @contextmanager
    def open_parent(self, path: str, *, make_parents: bool = False) -> Iterator[OpenedPath]:
        """Open the parent directory of a path and return it with the last name.

        Raises:
            ToolError: It leads outside, or a folder on the way is missing.
        """
        if "\0" in path or len(path) > 4096:
            raise ToolError("This is not a path.")
        with ExitStack() as opened:
            try:
                yield self._walk(path, opened, make_parents=make_parents)
            except OSError as error:
                raise ToolError(f"{path}: {error.strerror or 'cannot be used'}.") from None

    def read(self, path: str, limit: int) -> tuple[bytes, int]:
        """Return the first `limit` bytes of a file, and its size.

        Raises:
            ToolError: It is no plain file inside, or cannot be read.
        """
        with self.open_parent(path) as place:
            descriptor = os.open(place.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place.parent)
            with os.fdopen(descriptor, "rb") as file:
                found = os.fstat(descriptor)
                if stat.S_ISDIR(found.st_mode):
                    raise ToolError(f"{path} is a directory; use list_directory.")
                if not stat.S_ISREG(found.st_mode):
                    raise ToolError(f"{path} is not a plain file.")
                return file.read(limit), found.st_size

    def write(self, path: str, content: bytes) -> str:
        """Put a file there whole, keeping the mode of one that was there; gives its path inside.

        Raises:
            ToolError: It leads outside, configures hooks, or cannot be written.
        """
        with self.open_parent(path, make_parents=True) as place:
            self._may_write(path, place.relative)
            mode = 0o666
            try:
                found = os.stat(place.name, dir_fd=place.parent, follow_symlinks=False)
            except FileNotFoundError:
                found = None
            if found is not None:
                if not stat.S_ISREG(found.st_mode):
                    raise ToolError(f"{path} is not a plain file.")
                mode = stat.S_IMODE(found.st_mode)
            new = f".{secrets.token_hex(8)}.part"  # not made of the name, which may be as long as names can be
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            descriptor = os.open(new, flags, mode, dir_fd=place.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    if found is not None:
                        os.fchmod(descriptor, mode)
                os.replace(new, place.name, src_dir_fd=place.parent, dst_dir_fd=place.parent)
            except BaseException:
                os.unlink(new, dir_fd=place.parent)
                raise
            return place.relative

    def _may_write(self, path: str, relative: str) -> None:
        if is_git_file(relative):
            raise ToolError(f"{path} belongs to git, which runs what is written there; use git commands with bash.")
        if self._guard and is_hook_file(relative):
            raise ToolError(f"{path} configures hooks, and a governed agent may not write that.")

    def _walk(self, path: str, opened: ExitStack, *, make_parents: bool) -> OpenedPath:
        def keep(descriptor: int) -> int:
            opened.callback(os.close, descriptor)
            return descriptor

        directories = [keep(os.open(self.root, os.O_RDONLY | os.O_DIRECTORY))]
        names: list[str] = []
        left = deque(self._parts(path))
        links = entered = 0
        while left:
            part = left.popleft()
            if part == "..":
                if not names:
                    raise ToolError(f"{path} lies outside the working folder.")
                directories.pop()
                names.pop()
                continue
            target = _link(part, directories[-1])
            if target is not None:
                links += 1
                if links > MAX_LINKS:
                    raise ToolError(f"{path}: too many symbolic links.")
                if target.startswith("/"):
                    del directories[1:], names[:]
                left.extendleft(reversed(self._parts(target)))
                continue
            if not left:
                return OpenedPath(directories[-1], part, "/".join([*names, part]))
            entered += 1
            if entered > MAX_FOLDERS:
                raise ToolError(f"More than {MAX_FOLDERS} folders lie on the way to this path.")
            to_write = "/".join([*names, part, *left]) if make_parents else None
            directories.append(keep(self._enter(path, part, directories[-1], to_write)))
            names.append(part)
        return OpenedPath(directories[-1], ".", "/".join(names) or ".")

    def _enter(self, path: str, name: str, directory: int, to_write: str | None) -> int:
        """Return an open subdirectory; create it when it is missing and lies on the way to a file to be written."""
        try:
            return os.open(name, _FOLDER, dir_fd=directory)
        except FileNotFoundError:
            if to_write is None:
                raise
        self._may_write(path, to_write)  # before: a refused file leaves no folders behind
        os.mkdir(name, dir_fd=directory)
        return os.open(name, _FOLDER, dir_fd=directory)

    def _parts(self, path: str) -> list[str]:
        if path.startswith("/"):
            normal = Path(os.path.normpath(path))
            for root in (self.root, self.root.resolve()):
                if normal.is_relative_to(root):
                    return list(normal.relative_to(root).parts)
            raise ToolError(f"{path} lies outside the working folder.")
        return [part for part in path.split("/") if part not in ("", ".")]


def _link(name: str, directory: int) -> str | None:
    """Return the target of a symbolic link, None for anything else."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT, errno.ENOTDIR):
            return None
        raise
