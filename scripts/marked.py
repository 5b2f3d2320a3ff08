"""What stands between two marks of a page is written by a script."""

from __future__ import annotations


def between(page: str, begin: str, end: str, text: str) -> str:
    """The page with the text between its marks."""
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"
