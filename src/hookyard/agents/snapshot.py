"""A folder as a git tree, made without git ever looking at the folder.

Git would open the repositories that it finds below a folder. Here the folder is walked by ourselves; git is given
contents to store and names to ignore, nothing else. A `.git` below the top is data like any other file; since a tree
cannot hold that name, it is kept as `dot-git`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hookyard.agents.repository import Repository

ESCAPED = b"dot-git"
"""Name under which a nested `.git` is kept."""

_GITLINK = b"160000"
_INVISIBLE = [
    chr(code).encode() for code in (*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF)
]
"""Characters that the file system of macOS leaves out of account when it compares names."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file in the folder.

    Attributes:
        path: Where it is, from the top.
        kept_as: Its name in the tree.
        mode: Its mode in the tree.
    """

    path: bytes
    kept_as: bytes
    mode: bytes


@dataclass(slots=True)
class _Walk:
    """What a walk has found so far."""

    top: bytes
    found: list[Found] = field(default_factory=list)
    nested: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A stored folder.

    Attributes:
        tree: Id of the tree.
        nested: Each nested `.git`, and the name it is kept under.
    """

    tree: str
    nested: Sequence[tuple[str, str]]


def take(repository: Repository, top: Path, base: str, index: Path) -> Snapshot:
    """Store a folder as a tree.

    What the folder's `.gitignore` files name is left out, unless it was tracked.

    Args:
        repository: Where the objects go.
        top: The folder; nothing may be at work in it.
        base: The commit on which the folder is based.
        index: The folder's own index: what is tracked besides the commit, and what is left out of a sparse checkout.

    Raises:
        AgentError: Git failed, or a file cannot be read.
    """
    before = _tree(repository, base)
    tracked, sparse = _index(repository, index)
    walk = _Walk(os.fsencode(top))
    _walk(repository, top, walk, before.keys() | tracked)
    lines = dict(_stored(repository, top, walk.found))
    there = set(lines)
    for path, (mode, object_id) in before.items():
        is_empty_module = mode == _GITLINK and not _has_children(walk.top + b"/" + path)
        if path not in there and (path in sparse or is_empty_module) and not _in_the_way(path, there):
            lines[path] = (mode, object_id)
    listing = b"".join(b"%s %s\t%s\0" % (mode, made, path) for path, (mode, made) in lines.items())
    repository.git("read-tree", "--empty")
    repository.git("update-index", "-z", "--index-info", given=listing)
    made = repository.git("write-tree").decode().strip()
    return Snapshot(made, [(os.fsdecode(path), os.fsdecode(kept)) for path, kept in walk.nested])


def _tree(repository: Repository, commit: str) -> dict[bytes, tuple[bytes, bytes]]:
    listing = repository.git("ls-tree", "-r", "-z", "--full-tree", commit)
    found = {}
    for line in listing.split(b"\0")[:-1]:
        meta, _, path = line.partition(b"\t")
        mode, _, object_id = meta.split(b" ")
        found[path] = (mode, object_id)
    return found


def _index(repository: Repository, index: Path) -> tuple[set[bytes], set[bytes]]:
    """Return the paths of an index, and those among them that are marked as not checked out."""
    if not index.is_file() or index.is_symlink():
        return set(), set()
    more = {"GIT_INDEX_FILE": str(index)}
    # One that cannot be read costs only what it would have added.
    listing = repository.git("ls-files", "-t", "-z", "--cached", codes=(0, 1, 128), more=more)
    lines = listing.split(b"\0")[:-1]
    return {line[2:] for line in lines}, {line[2:] for line in lines if line.startswith(b"S ")}


def _walk(repository: Repository, top: Path, walk: _Walk, tracked: Iterable[bytes]) -> None:
    """Find all files, one level after the other."""
    names = set(tracked)
    folders_of_tracked = {
        b"/".join(parts[:n]) for parts in (p.split(b"/") for p in names) for n in range(1, len(parts))
    }
    keep = names | folders_of_tracked
    level: list[tuple[bytes, bytes, bool]] = [(b"", b"", False)]
    while level:
        children = [child for directory in level for child in _children(walk, *directory)]
        asked = [path for path, _, _, is_nested in children if not is_nested and path not in keep]
        ignored = _ignored(repository, top, asked)
        level = []
        for path, kept_as, mode, is_nested in children:
            if path in ignored:
                continue
            if stat.S_ISDIR(mode):
                level.append((path, kept_as, is_nested))
            elif stat.S_ISLNK(mode):
                walk.found.append(Found(path, kept_as, b"120000"))
            elif stat.S_ISREG(mode):
                walk.found.append(Found(path, kept_as, b"100755" if mode & 0o100 else b"100644"))


def _children(walk: _Walk, directory: bytes, kept_as: bytes, is_nested: bool) -> list[tuple[bytes, bytes, int, bool]]:
    found = []
    with os.scandir(walk.top + b"/" + directory) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    names = {entry.name for entry in listed}
    for entry in listed:
        mode = entry.stat(follow_symlinks=False).st_mode
        path = directory + b"/" + entry.name if directory else entry.name
        inside = is_nested
        name = entry.name
        if _is_git_name(entry.name):
            if not directory and entry.name == b".git" and not stat.S_ISDIR(mode):
                continue  # what ties a worktree to its repository
            name = _free(ESCAPED, names)
            names.add(name)
            inside = True
        below = kept_as + b"/" + name if kept_as else name
        if inside and not is_nested:
            walk.nested.append((path, below))
        found.append((path, below, mode, inside))
    return found


def _is_git_name(name: bytes) -> bool:
    """Return whether a git tree cannot hold a name, since some file system reads it as `.git`."""
    for invisible in _INVISIBLE:
        name = name.replace(invisible, b"")
    parts = (part.lower().partition(b":")[0].rstrip(b". ") for part in name.split(b"\\"))
    return any(part in (b".git", b"git~1") for part in parts)


def _free(name: bytes, taken: set[bytes]) -> bytes:
    number = 1
    free = name
    while free in taken:
        number += 1
        free = name + b"-%d" % number
    return free


def _ignored(repository: Repository, top: Path, paths: list[bytes]) -> set[bytes]:
    if not paths:
        return set()
    asked = b"".join(b"./" + path + b"\0" for path in paths)
    found = repository.git("check-ignore", "-z", "--stdin", "--no-index", at=top, given=asked, codes=(0, 1))
    return {path.removeprefix(b"./") for path in found.split(b"\0")[:-1]}


def _stored(repository: Repository, top: Path, found: Sequence[Found]) -> Iterable[tuple[bytes, tuple[bytes, bytes]]]:
    """Store contents as they are; gives each name in the tree with its mode and the id of its content."""
    links = repository.own / "links"
    links.mkdir()
    lines = []
    for number, one in enumerate(found):
        path = os.fsencode(top) + b"/" + one.path
        if one.mode == b"120000":
            held = links / str(number)
            held.write_bytes(os.readlink(path))  # noqa: PTH115 - bytes, whatever they are
            path = os.fsencode(held)
        lines.append(_quoted(path))
    if not found:
        return []
    given = b"\n".join(lines) + b"\n"
    ids = repository.git("hash-object", "-w", "--no-filters", "--stdin-paths", given=given).split()
    return [(one.kept_as, (one.mode, made)) for one, made in zip(found, ids, strict=True)]


def _quoted(path: bytes) -> bytes:
    """Return a path in the quoted form that git reads from a line, whatever its bytes."""
    return b'"' + b"".join(b"\\%03o" % byte if byte < 32 or byte in b'"\\' else bytes([byte]) for byte in path) + b'"'


def _has_children(directory: bytes) -> bool:
    try:
        with os.scandir(directory) as entries:
            return any(entries)
    except OSError:
        return False


def _in_the_way(path: bytes, there: set[bytes]) -> bool:
    parts = path.split(b"/")
    return any(b"/".join(parts[:n]) in there for n in range(1, len(parts)))
