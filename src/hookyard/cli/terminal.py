"""Text on the terminal: what others wrote cannot steer it.

Used by every command that shows what a model, a sender of events or another member wrote.
"""

from __future__ import annotations

import sys


def escape_control(text: str) -> str:
    """Return a text without the control sequences that a terminal would obey."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )


def show(text: str) -> None:
    """Print a line on stdout, without control sequences when stdout is a terminal."""
    print(escape_control(text) if sys.stdout.isatty() else text, flush=True)


def counted(number: int, thing: str) -> str:
    """Return a number of things in English."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
