"""Check the documentation: links lead somewhere, both languages have every page, every package and command is named.

Run by `.ci/run`. Snippets and generated tables are checked by tests (`test_documentation.py`, `test_docs.py`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
CHINESE = DOCS / "zh-CN"
# Written for those who work on hookyard, in English only.
ENGLISH_ONLY = {"architecture.md"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|<img[^>]+src=\"([^\"]+)\"")
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)


def pages() -> list[Path]:
    """Every page of documentation in the repository."""
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def anchor(heading: str) -> str:
    """The anchor that renderers of Markdown give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


def broken_links(page: Path) -> Iterator[str]:
    """Links of one page that lead nowhere inside the repository."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for match in LINK.finditer(text):
        target = match.group(1) or match.group(2)
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.exists():
            yield f"{page.relative_to(ROOT)}: link to {target}: no such file"
        elif fragment and found.suffix == ".md":
            anchors = {anchor(h) for h in HEADING.findall(found.read_text(encoding="utf-8"))}
            if fragment not in anchors:
                yield f"{page.relative_to(ROOT)}: link to {target}: no such heading"


def missing_translations() -> Iterator[str]:
    """Pages that only one of the two languages has."""
    english = {p.name for p in DOCS.glob("*.md")} - ENGLISH_ONLY
    chinese = {p.name for p in CHINESE.glob("*.md")}
    yield from (f"docs/zh-CN/{name}: missing, docs/{name} has it" for name in sorted(english - chinese))
    yield from (f"docs/{name}: missing, docs/zh-CN/{name} has it" for name in sorted(chinese - english))


def unnamed_packages() -> Iterator[str]:
    """Rooms of the house that the architecture page does not name."""
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    for entry in sorted((ROOT / "src" / "hookyard").iterdir()):
        name = entry.stem if entry.suffix == ".py" else entry.name
        if entry.name.startswith("__") or (entry.is_file() and entry.suffix != ".py"):
            continue
        if not re.search(rf"\b{re.escape(name)}\b", text):
            yield f"docs/architecture.md: does not name {entry.relative_to(ROOT)}"


def main() -> int:
    """Print every fault; 1 if there is any."""
    faults = [fault for page in pages() for fault in broken_links(page)]
    faults += [*missing_translations(), *unnamed_packages()]
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"documentation: {len(pages())} pages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
