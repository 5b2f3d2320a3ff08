"""Where the next page of a list begins, as a parameter of the address."""

from __future__ import annotations


def number_and_id(text: str) -> tuple[float, str] | None:
    """Return `123.5~id` as a pair; None for anything else."""
    number, _, key = text.partition("~")
    try:
        value = float(number)
    except ValueError:
        return None
    return (value, key) if key and value == value else None


def with_number(pair: tuple[float, str] | None) -> str:
    """Return the pair as a parameter; `""` at the end of the list."""
    return f"{pair[0]!r}~{pair[1]}" if pair else ""
