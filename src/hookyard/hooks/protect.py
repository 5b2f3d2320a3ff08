"""Keeps a governed agent from rewriting what governs it: tool calls that write to hook files are denied by default.

Asked by `hooks` before the webhooks of a tool call. This holds for an agent that cooperates: one that has a shell as
the same user can always find a way that no look at its arguments finds.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hookyard.hooks import shell

_READERS = re.compile(
    r"(read|view|list|search|find|grep|glob|ls|cat|get|fetch|open)(_|$)|^(Read|Grep|Glob|LS|View)", re.IGNORECASE
)
_TRUST = re.compile(r"\bhookyard\b.{0,80}\bhooks\b.{0,80}\btrust\b", re.DOTALL)
_UNHOOK = re.compile(r"\bhookyard\b.{0,80}\bbridge\b.{0,80}\buninstall\b", re.DOTALL)
_COMMAND_KEYS = {"command", "cmd", "script", "code", "argv", "args", "input", "patch"}
_LONGEST_PATH = 4096
_MOST_WAYS = 64
_MOST_BASES = 4
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class AgentFiles:
    """What decides which hooks the agents of a machine run: files, and folders with everything in them.

    Which these are is known to the bridge's dialects; nothing here knows an agent.

    Attributes:
        user: The user's own, absolute.
        project: A project's, relative to its folder.
    """

    user: tuple[Path, ...] = ()
    project: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Protection:
    """The files that govern an agent.

    Attributes:
        files: Hook files, whether they exist or not, absolute.
        folders: Folders in which everything belongs to hookyard.
        home: What `~` stands for.
        agents: What decides which hooks other agents run.
        project: The folder of the project, whose files of `agents` count; those of the folder where the agent works and
            of the folders above it count in any case.
    """

    files: tuple[Path, ...]
    folders: tuple[Path, ...] = ()
    home: Path = Path("/")
    agents: AgentFiles = AgentFiles()
    project: Path | None = None

    def refusal(self, tool_name: str | None, tool_args: str, working_dir: str | None) -> str | None:
        """Return why a tool call must not run, None when it may.

        Args:
            tool_name: The tool.
            tool_args: Its arguments as a JSON text.
            working_dir: What its relative paths are relative to.
        """
        # Nearly every call ends here: nothing in it looks like one of our files, nor could by way of an escape.
        if not self._may_name(tool_args) and "\\u00" not in tool_args:
            return None
        if tool_name is not None and _READERS.search(tool_name):
            return None
        try:
            arguments = json.loads(tool_args)
        except (ValueError, RecursionError):
            arguments = tool_args
        look = _Look(self, Path(os.path.normpath(working_dir or os.sep)))
        for key, text in _texts(arguments, "command"):
            if key in _COMMAND_KEYS:
                found = self._in_command(text, look)
            else:
                found = look.why(text) if len(text) < _LONGEST_PATH else None
            if found:
                return found
        return None

    @cached_property
    def _names(self) -> frozenset[str]:
        """One of these is in every path that is to be kept, or that would take one along when it is removed."""
        agents = {
            name for place in (*self.agents.user, *self.agents.project) for name in (place.name, place.parent.name)
        }
        return frozenset({"hook", "outbox.db"} | {name for name in agents if len(name) > 3 and "hook" not in name})

    def _may_name(self, text: str) -> bool:
        return any(name in text for name in self._names)

    def _in_command(self, command: str, look: _Look) -> str | None:
        if _TRUST.search(command):
            return "only a person may trust a project's webhooks"
        if _UNHOOK.search(command):
            return "only a person may take the hooks out of an agent"
        words = shell.split_words(command)
        ways = shell.redirect_targets(words)
        for way in ways[:_MOST_WAYS]:
            look.go(way)
        removes = shell.removes(words)
        for word in dict.fromkeys(words):
            if self._may_name(word) and len(word) < _LONGEST_PATH:
                found = look.why(word, removes=removes and word not in ways)
                if found:
                    return None if shell.is_read_only(command) else found
        return None


class _Look:
    """A look at the paths of one tool call."""

    def __init__(self, protection: Protection, working_dir: Path) -> None:
        self._given = protection
        self._work = working_dir
        self._bases = [working_dir]

    def go(self, directory: str) -> None:
        """Follow a change of directory, so that later relative paths are resolved there."""
        self._bases = [self._work, *self._bases[1:][1 - _MOST_BASES :], self._absolute(directory, self._bases[-1])]

    def why(self, text: str, *, removes: bool = False) -> str | None:
        """Return why a path must not be written to, None when it may.

        Args:
            text: The path as it was given.
            removes: A folder may be taken away with everything in it.
        """
        for base in self._bases:
            path = self._absolute(text, base)
            if self._covers(path, self._own, removes=removes):
                return f"{text} governs this agent; a person has to change it"
            if self._covers(path, self._of_agents, removes=removes):
                return f"{text} decides which hooks an agent runs; a person has to change it"
        return None

    def _absolute(self, text: str, base: Path) -> Path:
        for home in ("~/", "$HOME/", "${HOME}/"):
            if text.startswith(home):
                return self._given.home / text.removeprefix(home)
        return base / os.path.expandvars(text)

    @cached_property
    def _own(self) -> set[Path]:
        files, directories = self._given.files, self._given.folders
        return {*files, *(Path(os.path.realpath(file)) for file in files), *directories}

    @cached_property
    def _of_agents(self) -> set[Path]:
        """What decides which hooks agents run that are started where this one works, or above."""
        agents, project = self._given.agents, self._given.project
        near = [directory / place for directory in {project or self._work, self._work} for place in agents.project]
        linked = [Path(os.path.realpath(place)) for place in (*agents.user, *near)]
        above = [directory / place for directory in self._work.parents for place in agents.project]
        return {*agents.user, *near, *linked, *above}

    def _covers(self, path: Path, kept: set[Path], *, removes: bool) -> bool:
        """Return whether a path is a protected one, or in one, also by way of `..`, a link or a shell pattern."""
        try:
            plain, real = Path(os.path.normpath(path)), Path(os.path.realpath(path))
            if any(form in kept or not kept.isdisjoint(form.parents) for form in (plain, real)):
                return True
            if _GLOB.search(plain.name):
                return any(place.parent == plain.parent and _matches(place.name, plain.name) for place in kept)
            # A command that removes something of its working directory names that directory often.
            return (
                removes
                and not self._work.is_relative_to(plain)
                and any(place.is_relative_to(plain) and os.path.lexists(place) for place in kept)
            )
        except (OSError, ValueError):
            return False


def _matches(name: str, pattern: str) -> bool:
    """Match as a shell does: a pattern that does not begin with a dot skips names that do."""
    return fnmatch.fnmatchcase(name, pattern) and name.startswith(".") <= pattern.startswith(".")


def _texts(value: object, key: str) -> Iterator[tuple[str, str]]:
    """Yield every text in JSON arguments, with its key."""
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
