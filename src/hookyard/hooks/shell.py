"""What can be read off a shell command: its words, where it goes, whether it only reads.

Used by `protect`. It understands what agents write, not all of a shell: who wants to hide something from it can.
"""

from __future__ import annotations

import re
from itertools import islice, pairwise

_APART = re.compile(r"[\s'\"=<>|&;`()]+")
_COMMANDS = re.compile(r"[|;&\n]+")
_READERS = {"cat", "less", "more", "head", "tail", "grep", "rg", "ls", "stat", "wc", "file", "diff", "cmp", "jq"}
_HARMLESS = {"cd", "echo", "pwd", "test"}
_GIT_READERS = {"add", "blame", "commit", "diff", "grep", "log", "show", "status"}
_REMOVERS = {"rm", "mv", "rmdir", "unlink", "shred", "trash", "rename", "ln"}
_GOERS = {"cd", "pushd"}
_SILENCED = re.compile(r"\s(?:[12&]?>{1,2}\s?/dev/null|2>&1)(?=[\s;|&)]|$)")
_MORE_THAN_READING = re.compile(r"[<>`]|\$\(|\s(?:--output|--pre)\b")
# `cat > notes.md <<'END'`, alone on its line.
_DOCUMENT = re.compile(r"(?m)^[ \t]*(?:cat|tee)\b[^\n|;&`]{0,300}<<-?[ \t]{0,8}(['\"]?)(\w{1,40})\1[^\n|;&`]{0,300}$")
_PATCH, _END_OF_PATCH = "*** Begin Patch", "*** End Patch"
_PATCHED = re.compile(r"(?m)^[ \t]*\*\*\* (?:Add File|Update File|Delete File|Move to): ([^\n]+)$")

_MOST_PARTS = 32
"""Patches and here-documents that are recognised in one command; the others are read as words."""


def split_words(command: str) -> list[str]:
    """Return everything in a command that may name a file, without what is only written into a file, or by a patch."""
    found: list[str] = []
    for _ in range(_MOST_PARTS):
        before, _, patch = command.partition(_PATCH)
        patch, is_whole, after = patch.partition(_END_OF_PATCH)
        if not is_whole:
            break
        found += _APART.split(before)
        found += (name.strip() for name in _PATCHED.findall(patch))
        command = after
    found += _APART.split(_without_documents(command))
    return [word for word in found if word]


def redirect_targets(named: list[str]) -> list[str]:
    """Return the directory to which a command of these words changes before the rest."""
    return [following for word, following in pairwise(named) if word in _GOERS]


def is_read_only(command: str) -> bool:
    """Return whether no part of a command changes a file of the working directory (`git commit` changes none)."""
    plain = _SILENCED.sub(" ", command)
    if _MORE_THAN_READING.search(plain):
        return False
    return all(_reads(part.split()) for part in _COMMANDS.split(plain) if part.strip())


def removes(named: list[str]) -> bool:
    """Return whether a command of these words may remove whole directories."""
    return not _REMOVERS.isdisjoint(named)


def _reads(part: list[str]) -> bool:
    if part[0] == "git":
        return len(part) > 1 and part[1] in _GIT_READERS
    return part[0] in _READERS or part[0] in _HARMLESS


def _without_documents(command: str) -> str:
    """Return the command without the here-documents that are written into files and hold nothing that a shell would
    run."""
    kept, at = [], 0
    for begin in islice(_DOCUMENT.finditer(command), _MOST_PARTS):
        if begin.start() < at:
            continue
        found = re.compile(rf"(?m)^\t*{begin[2]}[ \t]*$").search(command, begin.end())
        if found is None:
            break
        document = command[begin.end() : found.start()]
        if begin[1] or not ("$(" in document or "`" in document):
            kept.append(command[at : begin.end()])
            at = found.start()
    return "".join([*kept, command[at:]])
