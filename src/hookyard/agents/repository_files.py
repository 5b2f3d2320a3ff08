"""Which of a repository's own files an agent's program may read: what cannot run a program or change an address.

Used before a program is started in a folder, and again when it has read its configuration. The lists name what is
allowed, so that a key or a file which a newer version of a program introduces is rejected until it was reviewed
it.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hookyard.agents.base import AgentError

SETTINGS_BYTES = 262_144
"""Largest settings file that is read; a larger one is refused."""

GEMINI_NAMES = frozenset(
    {"settings.json", "gemini.md", "commands", "skills", "styleguide.md", "config.yaml", ".gitignore", "readme.md"}
    | {"system.md"}  # read only when GEMINI_SYSTEM_MD says so, and the launch sets that variable
)
"""What a repository's `.gemini` may hold, in lower case.

Commands run only for a prompt that begins with `/`, and no prompt is passed on like that.
"""

GEMINI_KEYS: Mapping[str, frozenset[str] | None] = {
    "$schema": None,
    "theme": None,
    "contextFileName": None,
    "vimMode": None,
    "general": frozenset({"vimMode", "enableAutoUpdate", "enableAutoUpdateNotification", "disableAutoUpdate"}),
    "ui": frozenset(
        {"theme", "customThemes", "accessibility", "hideBanner", "hideTips", "hideFooter", "hideWindowTitle"}
        | {"hideContextSummary", "showLineNumbers", "showMemoryUsage", "showStatusInTitle", "useFullWidth"}
    ),
    "context": frozenset({"fileName", "importFormat", "discoveryMaxDirs", "fileFiltering"}),
    "model": frozenset({"name", "maxSessionTurns", "compressionThreshold", "skipNextSpeakerCheck"}),
    "output": frozenset({"format"}),
    "hooks": None,  # switched off by name, see agents.gemini
}
"""Keys that a repository's Gemini CLI settings may have, with the keys below them; None = not looked into."""

PROGRAM_FILES = (
    *(".gemini/settings.json", ".gemini/.env", ".gemini/extensions", ".gemini/agents", ".gemini/policies"),
    *(".gemini/commands", ".claude/settings.json", ".claude/settings.local.json", ".claude/commands"),
    *(".claude/agents", ".claude/skills", ".claude/hooks", ".mcp.json", ".codex", ".copilot", ".github/hooks"),
    *(".opencode", "opencode.json", "opencode.jsonc", ".cursor/mcp.json", ".cursor/hooks.json", ".cursor/cli.json"),
    *(".vscode/mcp.json", ".goose", ".goosehints.local", ".qwen", ".kimi", ".vibe", ".atomcode", ".env", ".envrc"),
)
"""Files by which the known agents are given programs to run or addresses to use.

For an ACP agent, of which nothing else is known, none of them may be there.
"""


def refusal(kind: str, path: Path, what: str) -> AgentError:
    """Return the error of a run that a repository's file keeps from starting."""
    return AgentError(
        f"{path}: {what}, and an agent of kind {kind} would read it",
        hint="remove it, or give the agent profile another folder; variables belong in the profile's environment",
    )


def check_gemini(directory: Path) -> Mapping[str, Any]:
    """Check what Gemini CLI would read of a repository; return its settings.

    Raises:
        AgentError: A file or a key is not one of those that are allowed; says which.
    """
    for above in (directory, *directory.parents):
        for own in _named(above, ".gemini"):
            for path in _named(own, ".env"):
                raise refusal("gemini", path, "it can set any variable, addresses and programs included")
    settings: Mapping[str, Any] = {}
    for own in _named(directory, ".gemini"):
        if own.is_symlink() or not own.is_dir():
            raise refusal("gemini", own, "it is not a plain directory")
        for path in _entries("gemini", own):
            if path.name.lower() not in GEMINI_NAMES:
                raise refusal("gemini", path, f"only {', '.join(sorted(GEMINI_NAMES))} may be in it")
            if path.name.lower() == "settings.json":
                settings = read_settings("gemini", path)
                _check_keys("gemini", path, settings, GEMINI_KEYS)
    return settings


def check_unknown(directory: Path) -> None:
    """Check a repository for an ACP agent, of which it is not known what it reads.

    Raises:
        AgentError: The folder, or one above it in its repository, has a file by which a known agent runs programs;
            says which.
    """
    for above in _to_the_top(directory):
        for name in PROGRAM_FILES:
            if os.path.lexists(above / name):
                raise refusal("acp", above / name, "it can name programs to run or addresses to use")


def _to_the_top(directory: Path) -> Iterator[Path]:
    """Return the directory and its parents within the repository; the account's own configuration lies above."""
    above = (directory, *directory.parents)
    top = next((n for n, one in enumerate(above) if os.path.lexists(one / ".git")), 0)
    yield from above[: top + 1]


def read_settings(kind: str, path: Path) -> Mapping[str, Any]:
    """Read a settings file strictly: every other program must read the same from it.

    Raises:
        AgentError: It is not a small plain file with one JSON object; comments are allowed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise refusal(kind, path, "it is not a plain file")
            data = file.read(SETTINGS_BYTES + 1)
    except OSError as error:
        raise refusal(kind, path, f"it cannot be read ({error.strerror})") from error
    if len(data) > SETTINGS_BYTES:
        raise refusal(kind, path, f"it is larger than {SETTINGS_BYTES} bytes")
    try:
        settings = json.loads(_without_comments(data.decode("utf-8")), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise refusal(kind, path, f"it is not JSON ({error})") from error
    if not isinstance(settings, dict):
        raise refusal(kind, path, "it is not a JSON object")
    return settings


def _check_keys(
    kind: str, path: Path, settings: Mapping[str, Any], allowed: Mapping[str, frozenset[str] | None]
) -> None:
    for key, value in settings.items():
        if key not in allowed:
            raise refusal(kind, path, f"the key {key!r} is not one of those that can neither run nor address anything")
        below = allowed[key]
        if below is None:
            continue
        if not isinstance(value, dict):
            raise refusal(kind, path, f"the key {key!r} is not an object")
        for name in value:
            if name not in below:
                what = f"the key '{key}.{name}' is not one of those that can neither run nor address anything"
                raise refusal(kind, path, what)


def _named(directory: Path, name: str) -> Iterator[Path]:
    """Return entries with a name in any case: some file systems ignore case."""
    try:
        found = [entry.name for entry in os.scandir(directory) if entry.name.lower() == name]
    except OSError:
        # A folder that cannot be listed may still be entered by a name that is known.
        found = [name] if os.path.lexists(directory / name) else []
    yield from (directory / one for one in found)


def _entries(kind: str, directory: Path) -> Iterable[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError as error:
        raise refusal(kind, directory, f"it cannot be listed ({error.strerror})") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _without_comments(text: str) -> str:
    """Take `//` and `/* */` out of a JSON text, but not out of its strings."""
    out: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == '"':
            end = _string_end(text, at)
            out.append(text[at:end])
        elif text.startswith("//", at):
            end = next((i for i in range(at, len(text)) if text[i] in "\r\n"), len(text))
        elif text.startswith("/*", at):
            end = text.find("*/", at + 2) + 2
            if end == 1:
                raise ValueError("a comment does not end")
            out.append(" ")
        else:
            end = at + 1
            out.append(text[at])
        at = end
    return "".join(out)


def _string_end(text: str, start: int) -> int:
    at = start + 1
    while at < len(text) and text[at] != '"':
        at += 2 if text[at] == "\\" else 1
    return at + 1
