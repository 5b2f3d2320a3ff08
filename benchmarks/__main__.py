"""Run every benchmark and print one table: `uv run python -m benchmarks [NAME …] [--json FILE]`.

Each module of this folder with `async def measure() -> list[Figure]` is one benchmark and runs in a process of its
own, one after
the other, so that none warms or slows another. Exits 1 when a bound is not reached.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.figure import Figure

HERE = Path(__file__).parent
NOT_A_BENCHMARK = {"__init__", "__main__", "figure"}
TIMEOUT_SECONDS = 600


def names() -> list[str]:
    """Every benchmark, by its file."""
    return sorted(
        path.stem
        for path in HERE.glob("*.py")
        if path.stem not in NOT_A_BENCHMARK and "async def measure(" in path.read_text(encoding="utf-8")
    )


def run_here(name: str) -> list[Figure]:
    """Measure in this process."""
    module = importlib.import_module(f"benchmarks.{name}")
    return list(asyncio.run(module.measure()))


def run_apart(name: str) -> list[Figure]:
    """Measure in a process of its own.

    Raises:
        subprocess.CalledProcessError: The benchmark failed; its output has been shown.
    """
    command = [sys.executable, "-m", "benchmarks", name, "--here"]
    done = subprocess.run(
        command, cwd=HERE.parent, stdout=subprocess.PIPE, check=True, timeout=TIMEOUT_SECONDS, env=dict(os.environ)
    )
    return [Figure(**figure) for figure in json.loads(done.stdout.decode().splitlines()[-1])]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    rows = [("figure", "ours", "floor", "ratio", "bound", ""), ("---", "--:", "--:", "--:", "--:", "---")]
    for figure in figures:
        sign = "≥" if figure.higher_is_better else "≤"
        kind = "×" if figure.ratio is not None else f" {figure.unit}"
        bound = "–" if figure.bound is None else f"{sign} {figure.bound:g}{kind}"
        ratio = "–" if figure.ratio is None else f"{figure.ratio:.2f}"
        verdict = {True: "reached", False: "**missed**", None: ""}[figure.reached]
        name = figure.name + (f" ({figure.note})" if figure.note else "")
        floor = _number(figure.floor)
        rows.append((name, f"{_number(figure.ours)} {figure.unit}", floor, ratio, bound, verdict))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"which: {', '.join(names())}")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    unknown = set(given.name) - set(names())
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names())}")
    if given.here:
        print(json.dumps([asdict(figure) for name in given.name for figure in run_here(name)]))
        return 0
    figures: list[Figure] = []
    for name in given.name or names():
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        figures += run_apart(name)
    print(f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print(table(figures))
    if given.json:
        given.json.write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n", encoding="utf-8")
    return 1 if any(figure.reached is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
