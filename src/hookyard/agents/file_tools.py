"""What the file tools do, in plain blocking code; `agents.tools` calls it in threads.

Bounded by size, by number and by a deadline, since a thread cannot be cancelled.
"""

from __future__ import annotations

import fnmatch
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager

from hookyard.agents.sandboxed_directory import MAX_FOLDERS, SandboxedDirectory
from hookyard.agents.session import ToolError

READ_BYTES = 10_000_000
"""Largest file that is read as text."""

GIVEN_CHARS = 65_536
"""Longest text that a tool gives back."""

LISTED = 1_000
FOUND = 200
LINE_CHARS = 300
SEARCHED_BYTES = 2_000_000
SEARCH_SECONDS = 10.0

_SKIPPED = frozenset({".git", "node_modules", ".venv", "__pycache__"})


def read(directory: SandboxedDirectory, path: str, offset: int, limit: int) -> str:
    """Return lines of a text file.

    Raises:
        ToolError: It is not there, not a text, or too large.
    """
    lines = _text(directory, path).splitlines(keepends=True)
    shown = "".join(lines[offset - 1 : offset - 1 + limit])
    if len(shown) > GIVEN_CHARS:
        shown = shown[:GIVEN_CHARS] + "\n"
        rest = "the rest of it was cut; ask for fewer lines"
    elif offset - 1 + limit < len(lines):
        rest = f"there are {len(lines)} lines; ask for more with offset"
    else:
        return shown or "[empty]"
    return f"{shown}[… {rest} …]"


def write(directory: SandboxedDirectory, path: str, content: str) -> str:
    """Write a file whole."""
    data = content.encode(errors="surrogatepass")
    relative = directory.write(path, data)
    return f"Wrote {len(data)} bytes to {relative}."


def edit(directory: SandboxedDirectory, path: str, old: str, new: str, *, everywhere: bool) -> str:
    """Replace a text in a file.

    Raises:
        ToolError: The text is not there, or there more than once.
    """
    text = _text(directory, path)
    count = text.count(old)
    if count == 0:
        raise ToolError(f"old_text does not occur in {path}; read the file and give it exactly.")
    if count > 1 and not everywhere:
        raise ToolError(f"old_text occurs {count} times in {path}; give more of its surroundings, or replace_all.")
    relative = directory.write(path, text.replace(old, new).encode())
    return f"Replaced {count} occurrence{'s' if count > 1 else ''} in {relative}."


def listing(directory: SandboxedDirectory, path: str) -> str:
    """Return the names in a directory: directories with a slash, files with their size."""
    with _opened(directory, path) as descriptor:
        lines = []
        with os.scandir(descriptor) as entries:
            for entry in entries:
                lines.append(_line(entry))
                if len(lines) > LISTED:
                    break
    more = [f"[… more than {LISTED} …]"] if len(lines) > LISTED else []
    return "\n".join([*sorted(lines[:LISTED]), *more]) or "[empty]"


def search(directory: SandboxedDirectory, pattern: str, path: str, glob: str) -> str:
    """Return the lines that match a regular expression, as `file:line: text`.

    Raises:
        ToolError: The expression is none.
    """
    from hookyard.hooks.redaction.redactor import compiled  # here: few runs search, and the engine takes time

    try:
        expression = compiled(pattern)
    except ValueError as error:
        raise ToolError(f"This is not a regular expression (RE2 syntax): {error}") from None
    deadline = time.monotonic() + SEARCH_SECONDS
    found: list[str] = []
    with _opened(directory, path) as descriptor:
        for name, data in _entries(descriptor, glob):
            if time.monotonic() > deadline:
                return "\n".join([*found, f"[… stopped after {SEARCH_SECONDS:g} s; search a smaller folder …]"])
            for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
                if expression.search(line):
                    found.append(f"{name}:{number}: {line.strip()[:LINE_CHARS]}")
                    if len(found) >= FOUND:
                        return "\n".join([*found, f"[… {FOUND} lines shown; there may be more …]"])
    return "\n".join(found) or "[nothing found]"


@contextmanager
def _opened(directory: SandboxedDirectory, path: str) -> Iterator[int]:
    """Yield an open directory inside the working directory."""
    with directory.open_parent(path) as place:
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        descriptor = os.open(place.name, flags, dir_fd=place.parent)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _entries(top: int, glob: str) -> Iterator[tuple[str, bytes]]:
    """Yield everything below an open directory with its content, which is empty for entries that are not read. The
    caller can stop between any two entries. Links are not followed, so nothing outside is read."""
    for where, directories, names, descriptor in os.fwalk(".", dir_fd=top):
        yield where, b""
        # Each folder on the way down is held open, and by a call of its own.
        deepest = where.count("/") >= MAX_FOLDERS
        directories[:] = [] if deepest else sorted(name for name in directories if name not in _SKIPPED)
        for name in sorted(names):
            data = _plain(name, descriptor) if fnmatch.fnmatch(name, glob) else None
            path = os.path.normpath(os.path.join(where, name))  # noqa: PTH118 - relative to a descriptor
            yield _shown(path), data or b""


def _plain(name: str, directory: int) -> bytes | None:
    """Return the content of a plain text file of reasonable size, else None."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > SEARCHED_BYTES:
            return None
        data = file.read()
    return None if b"\0" in data[:8192] else data


def _text(directory: SandboxedDirectory, path: str) -> str:
    data, size = directory.read(path, READ_BYTES + 1)
    if len(data) > READ_BYTES:
        raise ToolError(f"{path} is too large ({size} bytes); look at parts of it with bash.")
    if b"\0" in data[:8192]:
        raise ToolError(f"{path} is a binary file of {size} bytes and cannot be read as text.")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ToolError(f"{path} is not UTF-8 text ({size} bytes).") from None


def _line(entry: os.DirEntry[str]) -> str:
    name = _shown(entry.name)
    if entry.is_symlink():
        return f"{name}@"
    if entry.is_dir(follow_symlinks=False):
        return f"{name}/"
    return f"{name}  {entry.stat(follow_symlinks=False).st_size}"


def _shown(name: str) -> str:
    r"""Return a file name as text; bytes that are not UTF-8, which no model request can hold, become `\xff` escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
