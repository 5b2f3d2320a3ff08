"""Write the tables of events into the documentation, from the catalog: `uv run python -m scripts.event_tables`.

Between the two marks of a page stands what `tables` says; a test compares them.
"""

from __future__ import annotations

import json
import sys

from hookyard.events.catalog import BATCH, BUILT_IN, COMMON, Variable
from scripts.marked import between
from scripts.pages import both

PAGES = both("reference/events")
BEGIN = "<!-- events: written by scripts/event_tables.py -->"
END = "<!-- end of events -->"
HEADS = {
    "en": ("Event", "Happens when", "Variables", "Variable", "Type", "Meaning", "Example"),
    "zh-CN": ("事件", "触发时机", "上下文变量", "变量名", "类型", "说明", "示例值"),
}
NAMES = {
    "en": ("Every event", "By event", "A merged batch, in addition"),
    "zh-CN": ("通用变量", "各事件变量", "批量变量"),
}


def tables(language: str) -> str:
    """The tables of all events and variables.

    Args:
        language: `en` or `zh-CN`.
    """
    event, when, carried, *columns = HEADS[language]
    common, own, batch = NAMES[language]
    rows = [
        [f"`{t.name}`", _say(language, t.meaning_en, t.meaning_zh), ", ".join(f"`{v.name}`" for v in t.variables)]
        for t in BUILT_IN
    ]
    unique = {v.name: v for t in BUILT_IN for v in t.variables}
    parts = [_table([event, when, carried], rows)]
    for title, variables in ((common, COMMON), (own, tuple(unique.values())), (batch, BATCH)):
        parts.append(f"**{title}**\n\n" + _table(columns, [_row(language, v) for v in variables]))
    return "\n\n".join(parts)


def with_tables(page: str, language: str) -> str:
    """The page with the tables between its marks."""
    return between(page, BEGIN, END, tables(language))


def _row(language: str, variable: Variable) -> list[str]:
    example = variable.example if isinstance(variable.example, str) else json.dumps(variable.example)
    meaning = _say(language, variable.meaning_en, variable.meaning_zh)
    return [f"`{variable.name}`", variable.type.value, meaning, f"`{example}`"]


def _say(language: str, english: str, chinese: str) -> str:
    return english if language == "en" else chinese


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main() -> int:
    """Write the pages."""
    for language, page in PAGES.items():
        page.write_text(with_tables(page.read_text(encoding="utf-8"), language), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
