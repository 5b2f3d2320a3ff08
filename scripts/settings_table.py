"""Write the table of live settings into the documentation: `uv run python -m scripts.settings_table`.

Between the two marks of a page stands what `table` says; a test compares them.
"""

from __future__ import annotations

import sys

from hookyard.settings import LIVE, Setting
from scripts.marked import between
from scripts.pages import both

PAGES = both("reference/settings")
BEGIN = "<!-- settings: written by scripts/settings_table.py -->"
END = "<!-- end of settings -->"
HEADS = {"en": "| Setting | Default | Variable | Meaning |", "zh-CN": "| 设置 | 默认值 | 环境变量 | 说明 |"}


def table(language: str) -> str:
    """The table of all live settings, in `en` or `zh-CN`."""
    rows = [_row(setting, language) for setting in LIVE.values()]
    return "\n".join([HEADS[language], "|---|---|---|---|", *rows])


def _row(setting: Setting, language: str) -> str:
    default = f"{setting.default} {setting.unit}".strip().lower()
    meaning = setting.help_en if language == "en" else setting.help_zh
    return f"| `{setting.name}` | {default} | `{setting.variable}` | {meaning} |"


def with_table(page: str, language: str) -> str:
    """The page with the table between its marks."""
    return between(page, BEGIN, END, table(language))


def main() -> int:
    """Write the pages."""
    for language, page in PAGES.items():
        page.write_text(with_table(page.read_text(encoding="utf-8"), language), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
