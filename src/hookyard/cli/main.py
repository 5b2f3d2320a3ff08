"""The `hookyard` command: its table of commands, its error lines, its exit codes.

Every command lives in a module that is imported only when the command is invoked, so that `--help` and the short
commands cost next to nothing. Exit codes: 0 done, 1 failed, 2 wrong usage. An error is one line on stderr.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from typing import NoReturn

import click

from hookyard.cli import streams
from hookyard.cli.errors import FAILED, line_of, line_of_fault, line_of_usage
from hookyard.cli.extras import require_extras
from hookyard.core.errors import HookyardError

# Name of the command: where it is (module:attribute), and what the help of `hookyard` says of it.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("hookyard.cli.demo:demo", "Show the whole of it at work, with no key and no network"),
    "serve": ("hookyard.cli.serve:serve", "Run the server"),
    "worker": ("hookyard.cli.worker:worker", "Run a further worker on the same database"),
    "login-link": ("hookyard.cli.login_link:login_link", "Print a new one-time login link"),
    "hooks": ("hookyard.cli.hooks:hooks", "The webhooks of this user and project"),
    "bridge": ("hookyard.cli.bridge:bridge", "Hooks of other agents, in and out"),
    "callbacks": ("hookyard.cli.callbacks:callbacks", "Callbacks as YAML: export, import, diff, test"),
    "events": ("hookyard.cli.events:events", "Send events to a running server, or watch them"),
    "runs": ("hookyard.cli.runs:runs", "List, show, cancel and retry runs of a running server"),
    "db": ("hookyard.cli.db:db", "Migrations, retention, a consistent copy"),
}

# The options of `hookyard` itself run one prompt; what they need is imported by that module.
PROMPT = "hookyard.cli.prompt:prompt"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are invoked."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        if cmd_name not in COMMANDS:
            return None
        require_extras(cmd_name)
        command = _load(COMMANDS[cmd_name][0])
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the named command; an unknown name is reported with the nearest ones of the table."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            raise click.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands' lines of the help from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(
    cls=LazyGroup,
    invoke_without_command=True,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage. Settings: HOOKYARD_* variables, or hookyard.toml.",
)
@click.option("-p", "--prompt", metavar="PROMPT", help="Run one prompt with the built-in agent and print its answer.")
@click.option("--model", metavar="M", help="With -p: the model, provider:name.")
@click.option("--cwd", metavar="DIR", type=click.Path(file_okay=False), help="With -p: the working folder.")
@click.version_option(package_name="hookyard", message="%(prog)s %(version)s")
@click.pass_context
def cli(ctx: click.Context, prompt: str | None, model: str | None, cwd: str | None) -> None:
    """Hooks for AI agents: lifecycle webhooks out, event callbacks in."""
    if ctx.invoked_subcommand is not None:
        if prompt is not None or model is not None or cwd is not None:
            raise click.UsageError("-p, --model and --cwd go without a command")
        return
    if prompt is None:
        raise click.UsageError("--model and --cwd go with -p PROMPT")
    require_extras("-p")
    ctx.exit(_load(PROMPT)(prompt, model, cwd))  # type: ignore[operator]


def main() -> NoReturn:
    """Run the command line; never returns."""
    if sys.platform == "win32":
        print("hookyard: Windows itself is not supported (run it inside WSL)", file=sys.stderr)
        sys.exit(FAILED)
    _fill_closed()
    streams.install()
    code = _run()
    lost = streams.lost_output()
    if lost is not None:
        if not isinstance(lost, BrokenPipeError):
            print(f"hookyard: {_line_of_stdout(lost)}", file=sys.stderr)
        code = code or FAILED
    sys.exit(code)


def _run() -> int:
    """Run the command and return its exit code; what went wrong is one line on stderr."""
    try:
        code = cli(prog_name="hookyard", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.ClickException as error:
        print(line_of_usage(error), file=sys.stderr)
        code = error.exit_code
    except click.exceptions.Abort:
        code = 130
    except HookyardError as error:
        print(line_of(error), file=sys.stderr)
        code = FAILED
    except Exception as error:
        if error is streams.lost_output():
            return FAILED
        if os.environ.get("HOOKYARD_DEBUG"):
            raise
        print(_line_of_any(error), file=sys.stderr)
        code = FAILED
    return code if isinstance(code, int) else 0


def _line_of_stdout(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "stdout: the disk is full (free some space)"
    return f"stdout cannot be written to: {os.strerror(error.errno or 0)} (give it a reader, or a file)"


def _line_of_any(error: Exception) -> str:
    """Return the line for an error that no command translated: a full disk, bad bytes in the arguments, or a bug."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "hookyard: the disk is full (free some space)"
    if isinstance(error, UnicodeEncodeError):
        # Names of files may be any bytes, so arguments cannot be refused before a command has used them.
        given = [*sys.argv[1:], *(value for name, value in os.environ.items() if name.startswith("HOOKYARD_"))]
        if no_text := next((text for text in given if not text.isascii() and not _is_text(text)), None):
            return f"hookyard: {no_text[:100]!a} is no UTF-8 text (write it in UTF-8)"
    return line_of_fault(error)


def _is_text(given: str) -> bool:
    """Return whether a text was given in UTF-8; other bytes arrive as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in given)


def _fill_closed() -> None:
    """Open the standard streams that the parent has closed (`hookyard … >&-`): the next file to be opened, a
    database, would take its number, and a child would write into it."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_RDWR), number)
                setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _load(where: str) -> object:
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)
