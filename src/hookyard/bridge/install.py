"""Puts our hooks into an agent's own configuration, takes them out again, and says how things stand.

Called by `cli.bridge`. What is written is decided by `plan`, how by the agent's dialect, and how safely by
`native_file`.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hookyard.bridge import codex_trust, relay, shim
from hookyard.bridge.dialects import all_dialects, dialect_of
from hookyard.bridge.dialects.base import Dialect, InstalledLine, is_closed
from hookyard.bridge.handler import SEEN
from hookyard.bridge.native_file import NativeFile, write_whole
from hookyard.bridge.plan import Commands, lines_for
from hookyard.bridge.plugin_file import PluginFile
from hookyard.core.errors import ConflictError, HookyardError, InvalidError, NotFoundError
from hookyard.hooks.hooks import Hooks

BACKUPS = "bridge"


@dataclass(frozen=True, slots=True)
class Done:
    """What an installation or its removal did.

    Attributes:
        path: The agent's settings file.
        changed: It was written.
        events: Native events that are hooked now.
        closed: Those that refuse when the webhooks cannot be asked.
        notes: What else the user should know.
    """

    path: Path
    changed: bool
    events: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """How one settings file stands.

    Attributes:
        agent: Whose.
        path: Which.
        scope: `user` or `project`.
        installed: Native events that are hooked by us.
        missing: Events that would be hooked by installing again, and those whose line would change.
        trusted: Whether the agent runs them, None where it asks no person or cannot be asked.
        last_heard: Seconds since the epoch when the relay last received an event of the agent, None = never.
        fault: Why the file cannot be read, `""` when it can.
    """

    agent: str
    path: Path
    scope: str
    installed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    trusted: bool | None = None
    last_heard: float | None = None
    fault: str = ""


@dataclass(frozen=True)
class Bridge:
    """One user's installation.

    Attributes:
        home: The user's `HOOKYARD_HOME`.
        user: The user's home folder, where the agents keep their settings.
        environ: The user's variables.
        interpreter: What runs the shim.
    """

    home: Path
    user: Path
    environ: Mapping[str, str] = field(repr=False)
    interpreter: Path = Path(sys.executable)

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> Bridge:
        """Return the installation of the user who runs this process."""
        home = Path(environ.get("HOOKYARD_HOME") or Path.home() / ".hookyard").expanduser().absolute()
        return cls(home, Path.home(), environ)

    @property
    def folder(self) -> Path:
        """The relay's folder."""
        return self.home / relay.FOLDER

    @property
    def commands(self) -> Commands:
        """Words our lines."""
        return Commands(self.interpreter, Path(shim.__file__), self.folder)

    def file(self, dialect: Dialect, project: Path | None) -> NativeFile:
        """Return the settings file of an agent, the user's or a project's, or its plugin."""
        path, backups = dialect.settings_file(self.user, self.environ, project), self.home / BACKUPS
        return NativeFile(path, backups) if dialect.plugin is None else PluginFile(path, backups, dialect.plugin)

    def install(
        self, agent: str, project: Path | None = None, *, allow_modify: bool = False, trust_codex: bool = False
    ) -> Done:
        """Install the hooks of an agent.

        Args:
            agent: A dialect's name.
            project: A project's folder; None hooks it for all of the user's work.
            allow_modify: Modified arguments may run where the agent asks no person about them.
            trust_codex: Have Codex trust our hooks, in place of the user's review.

        Raises:
            NotFoundError: There is no such agent, or nothing to hook it for.
            ConflictError: What a project needs is hooked for all of the user's work already.
            InvalidError: Its settings cannot be read or written; nothing was changed.
            TemporaryError: It was hooked, but Codex could not be asked to trust that.
        """
        dialect = dialect_of(agent)
        if trust_codex and agent != "codex":
            raise InvalidError("--trust-codex is for codex only")
        commands = self.commands
        lines = self._lines(dialect, project, allow_modify=allow_modify)
        if not lines and project is not None and _installed(self.file(dialect, None), dialect, commands.ours):
            raise ConflictError(
                f"{dialect.title} is hooked for all of your work already, and this project's webhooks need no more",
                hint=f"take that out first: hookyard bridge uninstall {agent}",
            )
        if not lines:
            raise NotFoundError(
                f"no webhook is configured that {dialect.title} could call",
                hint="write one into hooks.toml (and trust a project's file), then install again",
            )
        self._prepare()
        native = self.file(dialect, project)
        first = not _installed(native, dialect, commands.ours)
        changed = native.change(lambda settings: dialect.install(settings, lines, commands.ours), keep=first)
        self.end_relay()  # the next one has this installation's variables
        notes = self._notes(dialect, project, trust_codex=trust_codex)
        closed = tuple(line.event.name for line in lines if is_closed(dialect, line.command))
        return Done(native.path, changed, tuple(line.event.name for line in lines), closed, notes)

    def uninstall(self, agent: str, project: Path | None = None) -> Done:
        """Take our hooks out; the file is as it was before, to the byte where it was not changed otherwise."""
        dialect = dialect_of(agent)
        native = self.file(dialect, project)
        if not _installed(native, dialect, self.commands.ours):
            return Done(native.path, changed=False)
        changed = native.change(lambda settings: dialect.install(settings, (), self.commands.ours), restore=True)
        return Done(native.path, changed)

    def status(self, project: Path | None = None, *, ask_codex: bool = True) -> list[Status]:
        """Return the state of every agent, for the user and for a project."""
        directories = (None,) if project is None else (None, project)
        return [
            self._status(dialect, directory, ask_codex=ask_codex)
            for dialect in all_dialects().values()
            for directory in directories
        ]

    def relay_pid(self) -> int | None:
        """Return the relay's process id, None when no relay runs."""
        with contextlib.suppress(OSError, ValueError), (self.folder / relay.LOCK).open(encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read())
        return None

    def reach(self, seconds: float = 10.0) -> float | None:
        """Ask the relay as an agent's hook does, starting it if need be: how long that took, None = no answer."""
        if not self.folder.is_dir():
            return None
        line = self.commands.line(dialect_of("claude-code"), "nothing", seconds, "cs")
        began = time.monotonic()
        done = subprocess.run(line, shell=True, input=b"{}", capture_output=True, check=False)  # noqa: S602 - our own
        return time.monotonic() - began if done.returncode == 0 else None

    def end_relay(self) -> bool:
        """End the relay, if one runs; the next event starts another."""
        pid = self.relay_pid()
        if pid is None:
            return False
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)
        return True

    def _lines(self, dialect: Dialect, project: Path | None, *, allow_modify: bool) -> tuple[InstalledLine, ...]:
        """Return the lines to install.

        What the user's own installation hooks already is not hooked by a project's again, unless the project has a gate
        that fails closed and the user's line does not.
        """
        hooks = Hooks.load(project, environ=self.environ, home=self.home, warn=lambda _: None)
        lines = lines_for(dialect, hooks, self.commands, allow_modify=allow_modify)
        if project is None:
            return lines
        already = _installed(self.file(dialect, None), dialect, self.commands.ours)
        return tuple(
            line
            for line in lines
            if (there := already.get(line.event.name)) is None
            or (is_closed(dialect, line.command) and not is_closed(dialect, there))
        )

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings = {name: value for name, value in self.environ.items() if relay.is_setting(name)}
        write_whole(self.folder / relay.VARIABLES, json.dumps(settings))

    def _notes(self, dialect: Dialect, project: Path | None, *, trust_codex: bool) -> tuple[str, ...]:
        notes = []
        if not dialect.proven:
            notes.append(f"{dialect.title} is known from its documentation only: nobody has seen these hooks run")
        if dialect.name == "codex":
            program = shutil.which("codex", path=self.environ.get("PATH"))
            if trust_codex:
                if program is None:
                    raise NotFoundError("codex is not on the PATH, so it cannot be asked to trust the hooks")
                left = codex_trust.trust(program, project or self.user, self.commands.ours, self.environ)
                if left:
                    raise InvalidError(f"Codex still does not trust {left} of the hooks", hint="review them in Codex")
            else:
                notes.append("Codex skips the hooks until you have reviewed them: start codex and open /hooks")
        if dialect.plugin is not None:
            notes.append(f"{dialect.title} loads plugins when it starts: restart it")
        if dialect.name == "copilot":
            notes.append("Copilot also runs Claude Code's hooks in a trusted folder; nothing is asked about twice")
        return tuple(notes)

    def _status(self, dialect: Dialect, project: Path | None, *, ask_codex: bool) -> Status:
        native, commands = self.file(dialect, project), self.commands
        scope = "user" if project is None else "project"
        try:
            there = _installed(native, dialect, commands.ours)
            wanted = {line.event.name: line.command for line in self._lines(dialect, project, allow_modify=False)}
        except HookyardError as error:
            return Status(dialect.name, native.path, scope, fault=str(error))
        if not there:
            return Status(dialect.name, native.path, scope)
        # A line that allows modifications was asked for by its user: that alone is no difference.
        plain = {event: commands.plain(command) for event, command in there.items()}
        outdated = native.outdated()
        missing = tuple(event for event, command in wanted.items() if outdated or plain.get(event) != command)
        heard = None
        with contextlib.suppress(OSError):
            heard = (self.folder / f"{SEEN}{dialect.name}").stat().st_mtime
        trusted = self._trusted(project) if dialect.name == "codex" and ask_codex else None
        return Status(dialect.name, native.path, scope, tuple(there), missing, trusted, heard)

    def _trusted(self, project: Path | None) -> bool | None:
        program = shutil.which("codex", path=self.environ.get("PATH"))
        if program is None:
            return None
        with contextlib.suppress(HookyardError):
            return not codex_trust.untrusted(program, project or self.user, self.commands.ours, self.environ)
        return None


def _installed(native: NativeFile, dialect: Dialect, ours: Callable[[str], bool]) -> dict[str, str]:
    """Return our installed command of each event in a file."""
    names = {event.name for event in dialect.events}
    found: dict[str, str] = {}
    for command in _commands(native.settings()):
        if ours(command):
            event = next((word for word in command.split() if word in names), None)
            if event is not None:
                found[event] = command
    return found


def _commands(value: Any) -> Sequence[str]:
    """Return every command anywhere in the settings: each agent nests them in its own way."""
    if isinstance(value, dict):
        own = [text for key in ("command", "bash") if isinstance(text := value.get(key), str)]
        return [*own, *(command for inner in value.values() for command in _commands(inner))]
    if isinstance(value, list):
        return [command for inner in value for command in _commands(inner)]
    return []
