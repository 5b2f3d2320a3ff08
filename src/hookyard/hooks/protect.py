"""Keeps a governed agent from rewriting what governs it: tool calls that write to hook files are denied by default.

Asked by `facade` before the webhooks of a tool call. This holds for an agent that cooperates: one that has a shell as
the same user can always find a way that no look at its arguments finds.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_READERS = re.compile(
    r"(read|view|list|search|find|grep|glob|ls|cat|get|fetch|open)(_|$)|^(Read|Grep|Glob|LS|View)", re.IGNORECASE
)
_READING_COMMANDS = {"cat", "less", "more", "head", "tail", "grep", "rg", "ls", "stat", "wc", "file", "diff"}
_SHELL_SYNTAX = re.compile(r"[<>|&;`$()\n]")
_TRUST = re.compile(r"\bhookyard\b.{0,80}\bhooks\b.{0,80}\btrust\b", re.DOTALL)
_UNHOOK = re.compile(r"\bhookyard\b.{0,80}\bbridge\b.{0,80}\buninstall\b", re.DOTALL)
_COMMAND_KEYS = {"command", "cmd", "script", "code", "argv", "args", "input"}


@dataclass(frozen=True, slots=True)
class Protection:
    """The files that govern an agent.

    Attributes:
        files: Hook files, whether they exist or not, absolute.
        folders: Folders in which everything belongs to hookyard.
        home: What `~` stands for.
    """

    files: tuple[Path, ...]
    folders: tuple[Path, ...] = ()
    home: Path = Path("/")

    def refusal(self, tool_name: str | None, tool_args: str, working_dir: str | None) -> str | None:
        """Why a tool call must not run, None when it may.

        Args:
            tool_name: The tool.
            tool_args: Its arguments as a JSON text.
            working_dir: What its relative paths are relative to.
        """
        # Nearly every call ends here: nothing in it looks like one of our files, nor could by way of an escape.
        if "hook" not in tool_args and "outbox.db" not in tool_args and "\\u00" not in tool_args:
            return None
        if tool_name is not None and _READERS.search(tool_name):
            return None
        try:
            arguments = json.loads(tool_args)
        except (ValueError, RecursionError):
            arguments = tool_args
        base = Path(working_dir or os.sep)
        for key, text in _texts(arguments, "command"):
            if key in _COMMAND_KEYS:
                found = self._in_command(text, base)
                if found:
                    return found
            elif len(text) < 4096 and self._covers(self._absolute(text, base)):
                return f"{text} governs this agent; a person has to change it"
        return None

    def _in_command(self, command: str, base: Path) -> str | None:
        if _TRUST.search(command):
            return "only a person may trust a project's webhooks"
        if _UNHOOK.search(command):
            return "only a person may take the hooks out of an agent"
        words = re.split(r"[\s'\"=<>|&;`()]+", command)
        named = next((word for word in words if "hook" in word and self._covers(self._absolute(word, base))), None)
        if named is None:
            return None
        if words[0] in _READING_COMMANDS and not _SHELL_SYNTAX.search(command):
            return None
        return f"{named} governs this agent; a person has to change it"

    def _absolute(self, text: str, base: Path) -> Path:
        for home in ("~/", "$HOME/", "${HOME}/"):
            if text.startswith(home):
                return self.home / text.removeprefix(home)
        return base / os.path.expandvars(text)

    def _covers(self, path: Path) -> bool:
        """Whether a path is one of ours, also by way of `..` or a link."""
        try:
            forms = {Path(os.path.normpath(path)), Path(os.path.realpath(path))}
        except (OSError, ValueError):
            return False
        ours = {*self.files, *(Path(os.path.realpath(file)) for file in self.files)}
        return any(
            form in ours or any(form.is_relative_to(folder) or folder == form for folder in self.folders)
            for form in forms
        )


def _texts(value: object, key: str) -> Iterator[tuple[str, str]]:
    """Every text in JSON arguments, with the key that it stands under."""
    if isinstance(value, str):
        yield key.lower(), value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from _texts(part, str(name))
    elif isinstance(value, list) and key.lower() in _COMMAND_KEYS and all(isinstance(part, str) for part in value):
        yield key.lower(), " ".join(value)
    elif isinstance(value, Sequence):
        for part in value:
            yield from _texts(part, key)
