"""At which line of a TOML text a key stands; `tomllib` tells the values but not their places.

Called by `configuration` when there is something to complain about. It knows no TOML grammar of its own: a statement is
the fewest lines that `tomllib` accepts together, so keys, multi-line values and comments are recognised as such.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import Any

_WORK_LIMIT = 8 * 1024 * 1024
"""Characters parsed at most to find places in one text: about a second. Beyond it, places are those found so far."""


@dataclass(frozen=True, slots=True)
class TableLines:
    """Lines of one table of an array of tables.

    Attributes:
        line: Where the table begins, 1-based.
        keys: Where each of its keys is given; a sub-table's key as `headers.Authorization`.
    """

    line: int
    keys: dict[str, int] = field(default_factory=dict)

    def of(self, key: str) -> int:
        """Return the line of a key, or of the table when the key is missing."""
        return self.keys.get(key, self.line)


def table_lines(text: str) -> dict[str, list[TableLines]]:
    """Return the lines of every top-level array of tables in a text that `tomllib` has parsed.

    Args:
        text: A valid TOML text.

    Returns:
        For each name a `TableLines` for each of its tables, in order.
    """
    tables: dict[str, list[TableLines]] = {}
    current: tuple[str, ...] = ()
    for number, statement, parsed in _statements(text):
        if statement.lstrip().startswith("["):
            current = _header_path(parsed)
            if statement.lstrip().startswith("[[") and len(current) == 1:
                tables.setdefault(current[0], []).append(TableLines(number))
            elif len(current) > 1 and tables.get(current[0]):
                tables[current[0]][-1].keys.setdefault(".".join(current[1:]), number)
        elif current:
            if tables.get(current[0]):
                _add_keys(tables[current[0]][-1], ".".join(current[1:]), parsed, number)
        else:
            _add_inline(tables, parsed, number)
    return tables


def _statements(text: str) -> list[tuple[int, str, dict[str, Any]]]:
    """Yield line, text and value of every statement, without blank lines and comments."""
    lines = text.replace("\r\n", "\n").split("\n")
    found: list[tuple[int, str, dict[str, Any]]] = []
    start, work = 0, 0
    while start < len(lines) and work < _WORK_LIMIT:
        for end in range(start + 1, len(lines) + 1):
            statement = "\n".join(lines[start:end])
            work += len(statement) + 1
            try:
                parsed = tomllib.loads(statement)
            except tomllib.TOMLDecodeError:
                if work >= _WORK_LIMIT:
                    return found
                continue
            if parsed:
                found.append((start + 1, statement, parsed))
            start = end
            break
        else:
            return found
    return found


def _header_path(parsed: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of a table header, from its parsed form."""
    path: list[str] = []
    value: Any = parsed
    while value:
        if isinstance(value, list):
            value = value[0]
            continue
        name = next(iter(value))
        path.append(name)
        value = value[name]
    return tuple(path)


def _add_keys(table: TableLines, prefix: str, parsed: dict[str, Any], number: int) -> None:
    for key, value in parsed.items():
        path = f"{prefix}.{key}" if prefix else key
        table.keys.setdefault(path, number)
        if isinstance(value, dict):
            _add_keys(table, path, value, number)


def _add_inline(tables: dict[str, list[TableLines]], parsed: dict[str, Any], number: int) -> None:
    """Add `webhooks = [{…}, {…}]`: every table is in one statement, whose line is the line of all."""
    for name, value in parsed.items():
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            for item in value:
                table = TableLines(number)
                _add_keys(table, "", item, number)
                tables.setdefault(name, []).append(table)
