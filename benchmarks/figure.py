"""One figure of a benchmark, beside its floor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured.

    Attributes:
        name: What it is, one line.
        ours: Our figure.
        floor: The floor's figure in the same run and unit; None where only a bound in the unit itself was asked for.
        unit: Unit of both, such as `µs`, `events/s`, `MB`.
        bound: What must be reached: a ratio ours/floor, or with no floor a figure in the unit; None = only shown.
        higher_is_better: The bound is a least, not a most.
        note: What the reader needs to know, such as the floor's name.
    """

    name: str
    ours: float
    floor: float | None
    unit: str
    bound: float | None = None
    higher_is_better: bool = False
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over the floor's, None without a floor."""
        return None if self.floor is None else self.ours / self.floor

    @property
    def reached(self) -> bool | None:
        """Whether the bound holds; None without a bound."""
        if self.bound is None:
            return None
        measured = self.ours if self.ratio is None else self.ratio
        return measured >= self.bound if self.higher_is_better else measured <= self.bound
