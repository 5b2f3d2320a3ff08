"""Plots and strips as SVG, drawn here from numbers; colours come from classes.

Used as functions by the templates. Each plot has a text alternative; what the pointer shows stands in `data-tip`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

TICK_HEIGHTS = {
    "ok": 13,
    "err": 18,
    "late": 18,
    "idle": 5,
    "none": 2,
    "run": 13,
    "denied": 18,
    "mod": 13,
    "hit": 18,
    "miss": 6,
}
GATE_WIDTH = 60
_HOLLOW = {"run", "denied"}
_SIGNS = {
    "pass": "M-3.6 .3-1 2.9 3.6-2.8",
    "stop": "M-3.4 0H3.4",
    "bad": "M-2.7-2.7 2.7 2.7M2.7-2.7-2.7 2.7",
    "loop": "M3.9-2.9V-.6H1.6M3.7-.7A3.9 3.9 0 1 0 4 1",
    "joined": "M0-3.6V3.6M-3.6 0H3.6",
}


@dataclass(frozen=True, slots=True)
class Tick:
    """One mark of a strip.

    Attributes:
        kind: One of `TICK_HEIGHTS`; gives height and colour.
        tip: Shown on hover.
        href: Where a click leads, `""` for nowhere.
    """

    kind: str
    tip: str = ""
    href: str = ""


def ticks(marks: Sequence[Tick], label: str, slots: int = 24) -> Markup:
    """Return a strip of the newest `slots` marks, newest right; empty slots are short grey marks."""
    shown = [Tick("none")] * max(0, slots - len(marks)) + list(marks[-slots:])
    paths: dict[str, list[str]] = {}
    for index, mark in enumerate(shown):
        high = TICK_HEIGHTS[mark.kind]
        x, y, wide = index * 6, 18 - high, 4
        if mark.kind in _HOLLOW:
            paths.setdefault(mark.kind, []).append(f"M{x + 0.75} {y + 0.75}h2.5v{high - 1.5}h-2.5z")
        else:
            paths.setdefault(mark.kind, []).append(f"M{x} {y}h{wide}v{high}h-{wide}z")
    drawn = "".join(f'<path class="{kind}" d="{"".join(parts)}"/>' for kind, parts in paths.items())
    tips = escape("\n".join(mark.tip.replace("\n", " ") for mark in shown))
    links = escape(" ".join(mark.href or "-" for mark in shown))
    wide = slots * 6 - 2
    return Markup(  # noqa: S704 (numbers, our own words, and escaped texts)
        f'<svg class="ticks over" width="{wide}" height="18" viewBox="0 0 {wide} 18" role="img" '
        f'aria-label="{escape(label)}" data-tips="{tips}" data-links="{links}">{drawn}</svg>'
    )


def tick(kind: str) -> Markup:
    """Return one small mark for a legend."""
    high = min(12, round(TICK_HEIGHTS[kind] * 0.7))
    body = (
        f'<path class="{kind}" d="M.75 {12.75 - high}h2.5v{high - 1.5}h-2.5z"/>'
        if kind in _HOLLOW
        else f'<path class="{kind}" d="M0 {12 - high}h4v{high}h-4z"/>'
    )
    return Markup(f'<svg class="ticks" width="4" height="12" viewBox="0 0 4 12" aria-hidden="true">{body}</svg>')  # noqa: S704


def matches(hits: Sequence[bool], chosen: int, label: str) -> Markup:
    """Return which of the past events a condition holds for, oldest left, with the chosen one ringed."""
    step = 100 / max(1, len(hits))
    wide = min(step * 0.66, 1.4)
    parts = []
    for index, hit in enumerate(hits):
        high = 18 if hit else 6
        x = index * step + (step - wide) / 2
        parts.append(
            f'<rect class="{"hit" if hit else "miss"}" x="{x:.2f}" y="{20 - high}" width="{wide:.2f}" height="{high}"/>'
        )
        if index == chosen:
            parts.append(
                f'<rect class="chosen" x="{x - wide * 0.4:.2f}" y="{17 - high}" width="{wide * 1.8:.2f}" '
                f'height="{high + 5}" vector-effect="non-scaling-stroke"/>'
            )
    return Markup(  # noqa: S704
        f'<svg class="ticks" width="100%" height="23" viewBox="0 0 100 23" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def gates(states: Sequence[str], label: str) -> Markup:
    """Return the gates of one callback as a line that ends where it was stopped.

    Args:
        states: One of `pass`, `stop`, `bad`, `loop`, `joined`, `rest` for each gate in order.
        label: The text alternative.
    """
    wide, middle = GATE_WIDTH * len(states), 27
    lines, signs = [], []
    for index, state in enumerate(states):
        x = index * GATE_WIDTH + GATE_WIDTH // 2
        if state == "rest":
            signs.append(f'<circle class="rest" cx="{x}" cy="{middle}" r="2.5"/>')
            continue
        if index:
            lines.append(f'<line x1="{x - GATE_WIDTH + 13}" x2="{x - 13}" y1="{middle}" y2="{middle}"/>')
        if state in ("pass", "joined"):
            signs.append(f'<circle class="{state}" cx="{x}" cy="{middle}" r="10"/>')
        else:
            signs.append(f'<rect class="{state}" x="{x - 10}" y="{middle - 10}" width="20" height="20" rx="5"/>')
        signs.append(f'<path transform="translate({x} {middle})" d="{_SIGNS[state]}"/>')
    return Markup(  # noqa: S704
        f'<svg class="gates" viewBox="0 0 {wide} 54" role="img" aria-label="{escape(label)}">'
        f"{''.join(lines)}{''.join(signs)}</svg>"
    )


def spark(values: Sequence[float], kind: str = "") -> Markup:
    """Return a line without axes, 78 × 26."""
    if len(values) < 2:
        return Markup("")
    low, high = min(values), max(values)
    span = (high - low) or 1
    points = " ".join(
        f"{i * 76 / (len(values) - 1) + 1:.1f},{24 - 22 * (v - low) / span:.1f}" for i, v in enumerate(values)
    )
    return Markup(  # noqa: S704
        f'<svg class="plot spark-line" viewBox="0 0 78 26" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline class="spark {kind}" points="{points}" vector-effect="non-scaling-stroke"/></svg>'
    )


def nice_top(value: float) -> int:
    """Return the round number at or above a value, with five equal steps below it."""
    step = 1
    while True:
        for factor in (1, 2, 4, 5, 10):
            if step * factor * 5 >= value:
                return step * factor * 5
        step *= 10


def columns(buckets: Sequence[Mapping[str, int]], tips: Sequence[str], top: int, label: str) -> Markup:
    """Return stacked columns, one a bucket, 168 px high and as wide as the page allows.

    Args:
        buckets: Counts by class, drawn upwards in the order given.
        tips: What the pointer shows over each.
        top: The number at the upper edge.
        label: The text alternative.
    """
    step = 1000 / max(1, len(buckets))
    wide = step * 0.8
    grid = "".join(
        f'<line class="grid" x1="0" x2="1000" y1="{y}" y2="{y}" vector-effect="non-scaling-stroke"/>'
        for y in range(0, 161, 32)
    )
    parts = []
    for index, counts in enumerate(buckets):
        x, y = index * step + (step - wide) / 2, 160.0
        for kind, count in counts.items():
            if count:
                high = max(1.5, 160 * count / top)
                y -= high
                parts.append(
                    f'<rect class="{kind}" x="{x:.1f}" y="{max(0.0, y):.1f}" width="{wide:.1f}" height="{high:.1f}"/>'
                )
        parts.append(
            f'<rect class="hot" x="{index * step:.1f}" y="0" width="{step:.1f}" height="160" '
            f'data-tip="{escape(tips[index])}"/>'
        )
    return Markup(  # noqa: S704
        f'<svg class="plot columns" viewBox="0 0 1000 160" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{grid}{"".join(parts)}</svg>'
    )


def track(parts: Iterable[tuple[str, float, float]], high: int = 5) -> Markup:
    """Return a bar on a grey track; each part is a class, a start and a width, in parts of 1."""
    drawn = "".join(
        f'<rect class="{kind}" x="{start * 1000:.0f}" y="0" width="{max(3.0, wide * 1000):.0f}" height="{high}"/>'
        for kind, start, wide in parts
    )
    return Markup(  # noqa: S704
        f'<svg class="plot" height="{high}" viewBox="0 0 1000 {high}" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="1000" height="{high}"/>{drawn}</svg>'
    )


def turns(pairs: Sequence[tuple[int, int]], label: str) -> Markup:
    """Return the tokens of each turn: the sent ones, with the generated ones on top."""
    top = max((sent + made for sent, made in pairs), default=1) or 1
    step = 232 / max(1, len(pairs))
    drawn = []
    for index, (sent, made) in enumerate(pairs):
        x, wide = index * step, step - min(5.0, step * 0.15)
        high, upper = 44 * (sent + made) / top, 44 * made / top
        tip = escape(f"{sent:,} + {made:,}")
        drawn.append(
            f'<rect class="soft" x="{x:.1f}" y="{44 - high:.1f}" width="{wide:.1f}" height="{high:.1f}" '
            f'data-tip="{tip}"/>'
            f'<rect class="accent" x="{x:.1f}" y="{44 - high:.1f}" width="{wide:.1f}" height="{upper:.1f}"/>'
        )
    return Markup(  # noqa: S704
        f'<svg class="plot" viewBox="0 0 232 44" role="img" aria-label="{escape(label)}">{"".join(drawn)}</svg>'
    )


def plot_functions() -> dict[str, Callable[..., Markup]]:
    """Return the functions that the templates may call."""
    return {
        "ticks": ticks,
        "tick": tick,
        "matches": matches,
        "gates": gates,
        "spark": spark,
        "columns": columns,
        "track": track,
        "turns": turns,
    }
