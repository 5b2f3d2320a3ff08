"""`hookyard -p PROMPT`: one prompt with the built-in agent, governed by the webhooks of this user and project.

The answer goes to stdout and everything else to stderr, so that both can be piped. On a terminal the user is asked
before a tool that changes something runs; elsewhere no person could answer, so the webhooks alone decide and it never
waits for input. Called by `cli.main`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import click

from hookyard.agents.base import AgentResult, Assignment, Parts, Usage
from hookyard.agents.processes import OWN_PREFIX
from hookyard.agents.profiles import Profile, make_agent
from hookyard.bridge.dialects import agent_files
from hookyard.cli.terminal import escape_control
from hookyard.core.ids import Ids
from hookyard.hooks.decision import Decision
from hookyard.hooks.hooks import Hooks
from hookyard.hooks.points import Point
from hookyard.hooks.warning import to_stderr
from hookyard.settings import Settings

INTERRUPTED = 130
"""Exit code after Ctrl-C, as of a shell."""

TIMEOUT_SECONDS = 86_400.0
"""A prompt at a terminal has its user as its limit; this only ends a forgotten one."""

_SHOWN_CHARS = 500


def prompt(text: str, model: str | None = None, cwd: str | None = None) -> int:
    """Run a prompt, print the answer and return the exit code.

    Args:
        text: What to do.
        model: `provider:name`, over HOOKYARD_MODEL.
        cwd: The agent's working folder and the project whose webhooks count; the current one when None.

    Returns:
        The exit code.

    Raises:
        AgentError: It could not be done.
        click.UsageError: Nothing was asked, or there is no such folder.
    """
    directory = Path("." if cwd is None else cwd).resolve()
    if not text.strip():
        raise click.UsageError("the prompt is empty")
    if cwd == "" or not directory.is_dir():  # a script's empty variable is not the current folder
        raise click.BadParameter(f"there is no folder {str(cwd)!r}", param_hint="--cwd")
    ask = sys.stdin.isatty() and sys.stderr.isatty()
    try:
        result = asyncio.run(_run(text, model, directory, ask=ask))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("hookyard: interrupted", err=True)
        return INTERRUPTED
    click.echo(escape_control(result.answer) if sys.stdout.isatty() else result.answer)
    return 0


async def _run(prompt: str, model: str | None, directory: Path, *, ask: bool) -> AgentResult:
    this = asyncio.current_task()
    assert this is not None  # inside asyncio.run
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    settings = Settings.load()
    assignment = Assignment(
        prompt,
        directory,
        Ids().session(),
        timeout_seconds=TIMEOUT_SECONDS,
        environment={name: value for name, value in os.environ.items() if not name.startswith(OWN_PREFIX)},
    )
    parts = Parts(default_model=model or settings.model, permission=Asking() if ask else None)
    agent = make_agent(Profile(kind="built-in"), parts)
    lines = HookLines()
    kept = agent_files(os.environ)
    async with Hooks.load(directory, warn=lines, agent_files=kept) as hooks:
        lines.begin(hooks.loaded_line())
        return await agent.run(assignment, hooks, TerminalRecorder(sys.stderr.isatty()), None)


class HookLines:
    """The hooks' messages on stderr, kept back until the line is out that they begin with."""

    def __init__(self) -> None:
        self._early: list[str] | None = []

    def __call__(self, line: str) -> None:
        """Take a message."""
        if self._early is None:
            to_stderr(line)
        else:
            self._early.append(line)

    def begin(self, first: str | None) -> None:
        """Print the first line, if there is one, and what was kept back."""
        early, self._early = self._early or [], None
        for line in [*([first] if first else []), *early]:
            to_stderr(line)


@dataclass
class Asking:
    """Asks the person at the terminal. One question at a time; `a` answers for the rest of the session."""

    _one: asyncio.Lock = field(default_factory=asyncio.Lock)
    _all: bool = False

    async def __call__(self, tool_name: str, args: str) -> bool:
        """Return whether this call may proceed."""
        async with self._one:
            if self._all:
                return True
            shown = _plain(args)
            click.echo(f"Run {tool_name} {shown}? [y]es, [N]o, [a]ll: ", err=True, nl=False)
            said = (await _line()).strip().lower()
            self._all = said in ("a", "all")
            return self._all or said in ("y", "yes")


@dataclass(frozen=True)
class TerminalRecorder:
    """Shows on a terminal what the agent does, and keeps nothing.

    Attributes:
        wanted: A person is watching.
    """

    wanted: bool

    def message(self, role: str, text: str) -> None:
        """Ignore the message: the answer is printed at the end."""

    def tool_call(self, call_id: str, name: str, args: str) -> None:
        """Print one line."""
        if self.wanted:
            click.echo(click.style(f"· {name} {_plain(args)}", dim=True), err=True)

    def tool_result(self, call_id: str, result: str, *, success: bool, duration_ms: float, ran: bool = True) -> None:
        """Print one line when the tool failed."""
        if self.wanted and not success:
            click.echo(click.style(f"  {_plain(result)}", dim=True), err=True)

    def decision(self, point: Point, decision: Decision, call_id: str = "") -> None:
        """Ignore the decision: the hooks print their own messages."""

    def usage(self, usage: Usage) -> None:
        """Ignore the usage."""

    def agent_info(self, *, version: str = "", model: str = "") -> None:
        """Ignore the agent's version and model."""

    def note(self, text: str) -> None:
        """Print one line."""
        click.echo(f"hookyard: {_plain(text)}", err=True)


async def _line() -> str:
    """Read a line from the terminal, without a thread that Ctrl-C could not end."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    descriptor = sys.stdin.fileno()

    def readable() -> None:
        loop.remove_reader(descriptor)
        ready.set_result(None)

    loop.add_reader(descriptor, readable)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
    return os.read(descriptor, 1024).decode(errors="replace")


def _plain(text: str) -> str:
    """Return a model's text as one short line."""
    shown = escape_control(" ".join(text.split()))
    return shown if len(shown) <= _SHOWN_CHARS else shown[: _SHOWN_CHARS - 1] + "…"
