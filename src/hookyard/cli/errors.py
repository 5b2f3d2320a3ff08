"""How an error of ours looks on the command line: one line, what, where, the mend.

Used by `cli.main` for every command; a command lets `HookyardError` pass.
"""

from __future__ import annotations

from hookyard.errors import HookyardError, InvalidError

FAILED = 1


def line_of(error: HookyardError) -> str:
    """The line."""
    text = " ".join(str(error).split())
    if isinstance(error, InvalidError) and error.problems:
        named = "; ".join(f"{p.field}: {p.message}" if p.field else p.message for p in error.problems)
        if named not in text:
            text = f"{text}: {' '.join(named.split())}"
    return f"hookyard: {text}"
