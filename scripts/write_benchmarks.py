"""Write measured figures into the documentation: `uv run python -m scripts.write_benchmarks FIGURES.json …`.

The files are those of `python -m benchmarks … --json FIGURES.json`; where several hold a figure, the last one counts.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from benchmarks.__main__ import table
from benchmarks.figure import Figure
from scripts.pages import both

PAGES = tuple(both("explanation/benchmarks").values())
_TABLE = re.compile(r"^\| figure \|.*?(?=\n\n)", re.DOTALL | re.MULTILINE)


def main(files: list[str]) -> int:
    """Write the pages."""
    figures = [Figure(**one) for file in files for one in json.loads(Path(file).read_text(encoding="utf-8"))]
    written = table(list({figure.name: figure for figure in figures}.values()))
    for page in PAGES:
        page.write_text(_TABLE.sub(lambda _: written, page.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
