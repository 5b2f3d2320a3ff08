"""MkDocs hook: make the links of a page, written for a repository browser, work on the site.

In the repository a Chinese page links to `NAME.zh-CN.md`; the site addresses both languages as `NAME.md`. Links to
files outside `docs/` become plain text, since the site does not contain them. A `\\|` in the code of a table cell
becomes a plain bar, as GitHub shows it. Called by MkDocs (`hooks` in mkdocs.yml).
"""

from __future__ import annotations

import html
import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[(?P<label>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_BAR = re.compile(r"`([^`\n]*\\\|[^`\n]*)`")
_SWITCH = re.compile(r"\A(# [^\n]*\n)\n\[(?:English|简体中文)\]\([^)\n]*\)\n")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page's Markdown with links that the site can resolve."""
    return for_site(markdown, posixpath.dirname(page.file.src_uri))


def for_site(markdown: str, directory: str) -> str:
    """Return a page's Markdown with links that the site can resolve.

    Args:
        markdown: The page as it is in the repository.
        directory: The page's directory, relative to `docs`.
    """
    markdown = _SWITCH.sub(r"\1", markdown)
    parts, end = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [_rewrite(markdown[end : fence.start()], directory), fence[0]]
        end = fence.end()
    return "".join([*parts, _rewrite(markdown[end:], directory)])


def _rewrite(text: str, directory: str) -> str:
    lines = [_BAR.sub(_code, line) if line.startswith("|") else line for line in text.split("\n")]
    return _LINK.sub(lambda match: _link(match, directory), "\n".join(lines))


def _code(match: re.Match[str]) -> str:
    text = html.escape(match[1].replace("\\|", "|"), quote=False)
    return f"<code>{text.replace('|', '&#124;')}</code>"


def _link(match: re.Match[str], directory: str) -> str:
    target = match["target"]
    if re.match(r"[a-z]+:|#", target):
        return match[0]
    path, hash_mark, fragment = target.partition("#")
    if posixpath.normpath(posixpath.join(directory, path)).startswith(".."):
        return match["label"]
    return f"[{match['label']}]({path.replace('.zh-CN.md', '.md')}{hash_mark}{fragment})"
