"""Where the pages of the documentation are: `NAME.md` in English, `NAME.zh-CN.md` in Chinese."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LANGUAGES = ("en", "zh-CN")


def page(name: str, language: str) -> Path:
    """Return the path of a page.

    Args:
        name: The page below `docs`, without its ending: `reference/events`.
        language: `en` or `zh-CN`.
    """
    return DOCS / (f"{name}.md" if language == "en" else f"{name}.{language}.md")


def both(name: str) -> dict[str, Path]:
    """Return the paths of a page by language."""
    return {language: page(name, language) for language in LANGUAGES}
