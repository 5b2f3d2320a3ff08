"""Write the tables of error codes into the documentation: `uv run python -m scripts.error_codes`.

The codes, texts and hints come from the message catalogue; the HTTP status comes from the error classes that the
sources raise with a code. `scripts.check_docs` compares the pages with `tables`, and `tests/core/test_error_codes.py`
uses `uses` to check the sources.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hookyard.core import errors
from hookyard.core.message_catalog import DIRECTORY, Entry
from hookyard.web.problems import status_of
from scripts.marked import between
from scripts.pages import ROOT, both

SOURCE = ROOT / "src" / "hookyard"
PAGES = both("reference/error-codes")
BEGIN = "<!-- error codes -->"
END = "<!-- end of error codes -->"
HEADS = {"en": "| Code | Status | Message | Hint |", "zh-CN": "| 代码 | 状态码 | 消息 | 建议 |"}

BASES = ("HookyardError", "CodedValueError")
CORE_ERRORS = frozenset(
    name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.HookyardError)
)
NOT_PARAMS = frozenset(
    {"where", "hint", "problems", "retry_after", "maybe_stored", "severity", "line", "column", "index"}
)
"""Keywords of our errors and problems that are not parameters of a text."""


@dataclass(frozen=True, slots=True)
class Use:
    """One call that creates an error, a problem or a message.

    Attributes:
        path: The file.
        line: 1-based line.
        kind: The class, `Message` or `Problem` included.
        code: The expression that gives the code.
        params: Names of the parameters; None when they are not all visible in the call.
        call: The call.
    """

    path: Path
    line: int
    kind: str
    code: ast.expr
    params: frozenset[str] | None
    call: ast.Call


@cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@cache
def error_classes() -> Mapping[str, str]:
    """Return every error class of the sources that carries a code, with its nearest class in `hookyard.core.errors`."""
    bases: dict[str, list[str]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ClassDef):
                names = [_name(base) for base in node.bases]
                # Of two classes with one name, the one of `core` counts; `_local_classes` handles the other.
                bases[node.name] = bases.get(node.name, []) + names

    def nearest(name: str, seen: frozenset[str] = frozenset()) -> str | None:
        if name in BASES or name in CORE_ERRORS:
            return name
        # `class X(other.X)` has itself as its base by name.
        following = (base for base in bases.get(name, ()) if base not in seen | {name})
        return next((found for base in following if (found := nearest(base, seen | {name})) is not None), None)

    return {name: base for name in bases if (base := nearest(name)) is not None}


def uses(path: Path) -> Iterator[Use]:
    """Yield every creation of an error, a problem or a message in a file."""
    tree = tree_of(path)
    foreign = _foreign_classes(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (use := _use(path, node, foreign)) is not None:
            yield use


def constants(path: Path) -> Iterator[str]:
    """Yield every string literal of a file."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def statuses() -> dict[str, set[int]]:
    """Return the HTTP statuses with which each code can be sent, as far as the raised classes tell."""
    by_code: dict[str, set[int]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        for use in uses(path):
            status = _status(use.kind)
            if status is not None and isinstance(use.code, ast.Constant):
                by_code.setdefault(str(use.code.value), set()).add(status)
    return by_code


def tables(language: str) -> str:
    """Return the tables of all codes in `en` or `zh-CN`, one for each file of the catalogue."""
    by_code = statuses()
    parts = []
    for path in sorted((DIRECTORY / language).glob("*.toml")):
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
        rows = [_row(code, Entry(**table), by_code.get(code, set())) for code, table in sorted(entries.items())]
        parts.append("\n".join([f"## `{path.stem}`", "", HEADS[language], "|---|---|---|---|", *rows]))
    return "\n\n".join(parts)


def with_tables(page: str, language: str) -> str:
    """Return the page with the tables between its marks."""
    return between(page, BEGIN, END, tables(language))


def main() -> int:
    """Write the pages."""
    for language, page in PAGES.items():
        page.write_text(with_tables(page.read_text(encoding="utf-8"), language), encoding="utf-8")
    return 0


def _use(path: Path, call: ast.Call, foreign: frozenset[str]) -> Use | None:
    name = _name(call.func)
    if name == "Problem":
        index = 1
    elif name == "Message" or (name in error_classes() and name not in foreign):
        index = 0
    else:
        return None
    given = call.args[index] if len(call.args) > index else _keyword(call, "code")
    return None if given is None else Use(path, call.lineno, name, given, _params(name, call), call)


def _params(name: str, call: ast.Call) -> frozenset[str] | None:
    if name != "Message":
        names = [keyword.arg for keyword in call.keywords]
        return None if None in names else frozenset(str(each) for each in names) - NOT_PARAMS
    params = call.args[1] if len(call.args) > 1 else _keyword(call, "params")
    if params is None:
        return frozenset()
    if not isinstance(params, ast.Dict) or not all(isinstance(key, ast.Constant) for key in params.keys):
        return None
    return frozenset(str(key.value) for key in params.keys if isinstance(key, ast.Constant))


def _keyword(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _foreign_classes(tree: ast.Module) -> frozenset[str]:
    """Return the classes of a file that only share a name with one of our errors."""
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}

    def is_ours(name: str) -> bool:
        if name in classes:
            bases = [_name(base) for base in classes[name].bases]
            return name in BASES or any(base != name and is_ours(base) for base in bases)
        return name in error_classes()

    return frozenset(name for name in classes if not is_ours(name))


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _status(kind: str) -> int | None:
    if kind in ("Problem", "CodedValueError"):
        return int(status_of(errors.InvalidError("field_invalid")))
    base = error_classes().get(kind)
    if base is None or base in BASES:
        return None
    status = int(status_of(getattr(errors, base)("field_invalid")))
    return None if status == 500 else status


def _row(code: str, entry: Entry, found: set[int]) -> str:
    status = ", ".join(map(str, sorted(found))) or "—"
    return f'| <a id="{code}"></a>`{code}` | {status} | {_cell(entry.message)} | {_cell(entry.hint or "")} |'


def _cell(text: str) -> str:
    for character in "\\|*_<`":
        text = text.replace(character, f"\\{character}" if character != "<" else "&lt;")
    return text.replace("\n", " ")


if __name__ == "__main__":
    sys.exit(main())
