"""The bridge's pages: their matrix is made from what the end-to-end tests found, and they name every command.

With HOOKYARD_WRITE_MATRIX=1 the tables are written instead of compared.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from hookyard.bridge.dialects import all_dialects
from hookyard.bridge.dialects.base import Dialect
from hookyard.cli.bridge import bridge
from hookyard.hooks.points import POINTS, Point
from scripts.pages import both

MATRIX: dict[str, Any] = json.loads(Path(__file__).with_name("matrix.json").read_text())
WORDS = {
    "en": ("point", "seen", "deny", "modify", "its tool calls are denied", "translated", "unproven"),
    "zh-CN": ("触发点", "可见", "可拒绝", "可修改", "改为拒绝本轮工具调用", "已翻译", "未经验证"),
}
PAGES = both("reference/bridge")
TABLE = re.compile(r"(<!-- matrix -->\n).*?(\n<!-- end of matrix -->)", re.DOTALL)
TOOL = {Point.TOOL_CALL_START, Point.PRE_TOOL}
TEXT = {Point.MESSAGE, Point.SYSTEM_PROMPT, Point.MODEL_RESPONSE}


def cell(dialect: Dialect, point: Point, language: str) -> str:
    """What an agent does at a point, as the tests found it."""
    _, seen, deny, modify, instead, translated, _ = WORDS[language]
    row = MATRIX.get(dialect.name, {})
    failed = ["on_error"] if row.get("error") else []  # a run of its own: the others do not fail
    if POINTS[point].event not in [*row.get("seen", []), *failed]:
        return translated if any(point in event.points for event in dialect.events) else "–"
    found = [seen]
    if point in TOOL:
        found += [deny] * bool(row["deny"]) + [modify] * bool(row["modify"])
    if point is Point.POST_TOOL:
        found += [modify] * bool(row["modify_result"])
    if point is Point.MESSAGE:
        found.append(deny if row["block_prompt"] else instead)
    if point in TEXT:
        found += [modify] * row.get("modify_text", False)
    return (", " if language == "en" else "、").join(found)


def table(language: str) -> str:
    dialects = list(all_dialects().values())
    unproven = f" ({WORDS[language][6]})" if language == "en" else f"（{WORDS[language][6]}）"
    versions = [dialect.title + (f" {dialect.proven}" if dialect.proven else unproven) for dialect in dialects]
    rows = [[WORDS[language][0], *versions], ["---"] * (len(dialects) + 1)]
    rows += [[f"`{point}`", *(cell(dialect, point, language) for dialect in dialects)] for point in POINTS]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


@pytest.mark.parametrize("language", PAGES)
def test_the_matrix_is_what_the_tests_found(language: str) -> None:
    page = PAGES[language]
    text = page.read_text(encoding="utf-8")
    made = TABLE.sub(lambda found: found[1] + table(language) + found[2], text)
    if os.environ.get("HOOKYARD_WRITE_MATRIX"):
        page.write_text(made, encoding="utf-8")
    else:
        assert text == made
    assert table(language) in made


@pytest.mark.parametrize("language", PAGES)
def test_every_agent_command_and_option_is_named(language: str) -> None:
    text = PAGES[language].read_text(encoding="utf-8")
    options = [
        option for command in bridge.commands.values() for p in command.params for option in p.opts if "-" in option
    ]
    for name in [*all_dialects(), *(f"bridge {command}" for command in bridge.commands), *options]:
        assert name in text, name


def test_what_was_proven_is_of_the_versions_that_are_named() -> None:
    assert {name: row["version"] for name, row in MATRIX.items()} == {
        dialect.name: dialect.proven for dialect in all_dialects().values() if dialect.proven
    }
