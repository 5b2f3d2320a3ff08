"""Check the documentation: links resolve, both languages have every page, every page is in the navigation.

It also checks that the architecture pages name every package and that the command-line pages name every command. Run by
`.ci/check`. Tests check snippets and generated tables (`test_documentation.py`, `test_docs.py`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from hookyard.cli.main import cli
from scripts import error_codes
from scripts.pages import DOCS, LANGUAGES, ROOT, page

# Written for those who work on hookyard.
ENGLISH_ONLY = DOCS / "explanation" / "decisions"
CHINESE = ".zh-CN.md"
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|<img[^>]+src=\"([^\"]+)\"")
HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)
FENCE = re.compile(r"```.*?```", re.DOTALL)


def pages() -> list[Path]:
    """Return every page of documentation in the repository."""
    return [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


def anchor(heading: str) -> str:
    """Return the anchor that renderers of Markdown give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def broken_links(path: Path) -> Iterator[str]:
    """Yield the links of one page that do not resolve inside the repository, or lead to the other language."""
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    for match in LINK.finditer(text):
        target = match.group(1) or match.group(2)
        if re.match(r"[a-z]+:", target):
            continue
        name, _, fragment = target.partition("#")
        found = (path.parent / name).resolve() if name else path
        where = f"{path.relative_to(ROOT)}: link to {target}"
        if not found.exists():
            yield f"{where}: no such file"
        elif fragment and found.suffix == ".md" and fragment not in anchors(found):
            yield f"{where}: no such heading"
        elif crosses_language(path, found, match[0]):
            yield f"{where}: links to the page of the other language"


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    return {anchor(heading) for heading in HEADING.findall(FENCE.sub("", path.read_text(encoding="utf-8")))}


def crosses_language(source: Path, target: Path, link: str) -> bool:
    """Return whether a link leads away from a page that exists in the source's language."""
    if target.suffix != ".md" or re.match(r"\[(English|简体中文)\]", link):
        return False
    if source.name.endswith(CHINESE):
        return not target.name.endswith(CHINESE) and target.with_name(target.stem + CHINESE).exists()
    return target.name.endswith(CHINESE)


def missing_translations() -> Iterator[str]:
    """Yield the pages that exist in one language only."""
    paths = [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "README.zh-CN.md"]
    english = {str(p.with_suffix("")) for p in paths if not p.name.endswith(CHINESE) and ENGLISH_ONLY not in p.parents}
    chinese = {str(p).removesuffix(CHINESE) for p in paths if p.name.endswith(CHINESE)}
    for name in sorted(english ^ chinese):
        missing = f"{name}.md" if name in chinese else f"{name}{CHINESE}"
        yield f"{Path(missing).relative_to(ROOT)}: missing; the other language has this page"


def unlisted_pages() -> Iterator[str]:
    """Yield the pages that the site's navigation does not list."""
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    for path in sorted(DOCS.rglob("*.md")):
        if not path.name.endswith(CHINESE) and str(path.relative_to(DOCS)) not in navigation:
            yield f"mkdocs.yml: nav does not list {path.relative_to(DOCS)}"


def unnamed_packages() -> Iterator[str]:
    """Yield the packages that an architecture page does not name."""
    for language in LANGUAGES:
        path = page("explanation/architecture", language)
        text = path.read_text(encoding="utf-8")
        for entry in sorted((ROOT / "src" / "hookyard").iterdir()):
            name = entry.stem if entry.suffix == ".py" else entry.name
            if entry.name.startswith("__") or (entry.is_file() and entry.suffix != ".py"):
                continue
            if f"`{name}`" not in text:
                yield f"{path.relative_to(ROOT)}: does not name {entry.relative_to(ROOT)}"


def unnamed_commands() -> Iterator[str]:
    """Yield the commands that a command-line page does not name."""
    for language in LANGUAGES:
        path = page("reference/cli", language)
        text = path.read_text(encoding="utf-8")
        yield from (
            f"{path.relative_to(ROOT)}: does not name `{name}`"
            for name in commands(cli, "hookyard")
            if not re.search(rf"`{name}[` ]", text)
        )


def stale_error_codes() -> Iterator[str]:
    """Yield the pages whose tables of error codes differ from the catalogue."""
    for language, path in error_codes.PAGES.items():
        text = path.read_text(encoding="utf-8")
        if error_codes.with_tables(text, language) != text:
            yield f"{path.relative_to(ROOT)}: old table; run `uv run python -m scripts.error_codes`"


def commands(command: click.Command, name: str) -> Iterator[str]:
    """Yield the full names of a command's leaves."""
    if not isinstance(command, click.Group):
        yield name
        return
    context = click.Context(command)
    for part in command.list_commands(context):
        child = command.get_command(context, part)
        if child is not None and not child.hidden:
            yield from commands(child, f"{name} {part}")


def main() -> int:
    """Print every fault; return 1 if there is any."""
    faults = [fault for path in pages() for fault in broken_links(path)]
    faults += [*missing_translations(), *unlisted_pages(), *unnamed_packages(), *unnamed_commands()]
    faults += stale_error_codes()
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"documentation: {len(pages())} pages, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
