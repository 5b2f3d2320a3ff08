"""Where the next page of a list begins, as a parameter of the address; and ids as points in time."""

from __future__ import annotations

from hookyard.ids import Ids


class _At:
    """A clock that stands."""

    def __init__(self, at: float) -> None:
        self._at = at

    def now(self) -> float:
        return self._at

    def monotonic(self) -> float:
        return self._at


def run_floor(at: float) -> str:
    """Below the id of every run that was queued at a time or later: ids begin with their time."""
    return str(Ids(_At(max(0.0, at)), lambda _bits: 0).run())


def event_floor(at: float) -> str:
    """Below the id of every event that was received at a time or later."""
    return str(Ids(_At(max(0.0, at)), lambda _bits: 0).event())


def delivery_floor(at: float) -> str:
    """Below the id of every delivery that was made at a time or later."""
    return str(Ids(_At(max(0.0, at)), lambda _bits: 0).delivery())


def number_and_id(text: str) -> tuple[float, str] | None:
    """`123.5~id` as a pair; None for anything else."""
    number, _, key = text.partition("~")
    try:
        value = float(number)
    except ValueError:
        return None
    return (value, key) if key and value == value else None


def with_number(pair: tuple[float, str] | None) -> str:
    """The pair as a parameter; `""` at the end of the list."""
    return f"{pair[0]!r}~{pair[1]}" if pair else ""
