"""How an error of ours looks on the command line: one line, what, where, the hint.

Used by `cli.main` for every command; a command lets `HookyardError` pass.
"""

from __future__ import annotations

from collections.abc import Iterable

import click

from hookyard.core.errors import HookyardError, InvalidError, Problem
from hookyard.core.message_catalog import preferred_language
from hookyard.core.plugins import PluginProblem

FAILED = 1


def warn_of_plugins(problems: Iterable[PluginProblem]) -> None:
    """Print a line on stderr for each third party's part that is left out."""
    for problem in problems:
        click.echo(f"hookyard: {problem.message.sentence(preferred_language())}", err=True)


def line_of(error: HookyardError) -> str:
    """Return the line for an error."""
    text = " ".join(error.sentence(preferred_language()).split())
    if isinstance(error, InvalidError) and error.problems:
        told = [p for p in error.problems if not p.message.startswith(error.what)]
        named = " ".join("; ".join(map(_named, told)).split())
        if named and named not in text:
            text = f"{text}: {named}"
    return f"hookyard: {text}"


def line_of_usage(error: click.ClickException) -> str:
    """Return the line for a usage error."""
    text = " ".join(error.format_message().split())
    if not isinstance(error, click.UsageError):
        return f"hookyard: {text}"
    command = "hookyard" if error.ctx is None else error.ctx.command_path  # None while options are taken apart
    return f"{command}: {text.removesuffix('.')} (see `{command} --help`)"


def line_of_fault(error: Exception) -> str:
    """Return the line for an unexpected error."""
    what = " ".join(f"{type(error).__name__}: {error}".split())
    return f"hookyard: a fault of hookyard's own: {what[:500]} (please report it; HOOKYARD_DEBUG=1 shows where)"


def _named(problem: Problem) -> str:
    place = problem.field
    if problem.line is not None:
        place = f"{place} line {problem.line}".strip()
        place += "" if problem.column is None else f", column {problem.column}"
    return f"{place}: {problem.message}" if place else problem.message
