"""Every error has a code of the catalogue, and every code of the catalogue is used.

The check reads the sources: a text where a code belongs, an unknown code, or a parameter that the texts do not have
would otherwise show only when the error occurs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookyard.core.message_catalog import catalogue, placeholders
from scripts.error_codes import SOURCE, Use, constants, error_classes, uses

NOT_CONVERTED = frozenset(
    {
        "adapters", "agents", "automations", "bridge", "callbacks", "cli", "conditions", "events", "hooks", "identity",
        "intake", "settings", "store", "telemetry", "web", "wiring", "workspace",
    }
)  # fmt: skip
"""Packages whose errors still have texts. Remove a package when its errors have codes."""

PACKAGES = sorted(
    entry.stem
    for entry in SOURCE.iterdir()
    if not entry.name.startswith("__") and (entry.suffix == ".py" or any(entry.glob("*.py")))
)


def files_of(package: str) -> list[Path]:
    directory = SOURCE / package
    return sorted(directory.rglob("*.py")) if directory.is_dir() else [SOURCE / f"{package}.py"]


def faults_of(use: Use) -> Iterator[str]:
    """Yield what is wrong with one use of a code."""
    where = f"{use.path.relative_to(SOURCE)}:{use.line}: {use.kind}"
    if any(keyword.arg == "hint" for keyword in use.call.keywords):
        yield f"{where}: the hint belongs into the catalogue"
    for code in branches(use.code):
        if isinstance(code, ast.Constant) and isinstance(code.value, str):
            yield from (f"{where}: {fault}" for fault in code_faults(code.value, use.params))
        elif not isinstance(code, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Starred):
            yield f"{where}: a text where a code belongs"


def branches(expression: ast.expr) -> Iterator[ast.expr]:
    """Yield the alternatives of a conditional expression."""
    if isinstance(expression, ast.IfExp):
        yield from branches(expression.body)
        yield from branches(expression.orelse)
    elif isinstance(expression, ast.BoolOp):
        for value in expression.values:
            yield from branches(value)
    else:
        yield expression


def code_faults(code: str, params: frozenset[str] | None) -> Iterator[str]:
    entry = catalogue("en").get(code)
    if entry is None:
        yield f"{code!r} is not in the catalogue"
    elif params is not None:
        wanted = placeholders(entry.message) | placeholders(entry.hint or "")
        if missing := wanted - params:
            yield f"{code} lacks {', '.join(sorted(missing))}"


@pytest.mark.parametrize("package", [package for package in PACKAGES if package not in NOT_CONVERTED])
def test_every_error_of_a_package_has_a_code(package: str) -> None:
    assert [fault for path in files_of(package) for use in uses(path) for fault in faults_of(use)] == []


def test_the_packages_that_are_excused_exist() -> None:
    assert set(PACKAGES) >= NOT_CONVERTED


def test_every_code_is_used() -> None:
    used = {text for path in SOURCE.rglob("*.py") for text in constants(path)}
    assert sorted(catalogue("en").keys() - used) == []


def test_the_error_classes_are_found() -> None:
    classes = error_classes()
    assert classes["NotFoundError"] == "NotFoundError"
    assert classes["SendError"] == "HookyardError"
    assert classes["RefusedAddressError"] == "PermanentError"
    assert "ToolError" not in classes


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ('NotFoundError("gone")', "'gone' is not in the catalogue"),
        ('NotFoundError(f"no run {run}")', "a text where a code belongs"),
        ('NotFoundError("no" + " run")', "a text where a code belongs"),
        ('Problem("name", "is empty")', "'is empty' is not in the catalogue"),
        ('Problem("name", "value_empty" if x else "empty")', "'empty' is not in the catalogue"),
        ('Problem("name", "value_empty", hint="x")', "the hint belongs into the catalogue"),
        ('InvalidError("field_invalid", field="x")', "field_invalid lacks problem"),
        ('Message("field_invalid", {"field": 1})', "field_invalid lacks problem"),
        ('Message("value_empty")', None),
        ("NotFoundError(error.message)", None),
        ("NotFoundError(Message.literal(text))", None),
    ],
)
def test_faults_are_noticed(tmp_path: Path, source: str, fault: str | None) -> None:
    path = tmp_path / "module.py"
    path.write_text(source)
    found = [text for use in uses(path) for text in faults_of(Use(SOURCE / "x.py", *_rest(use)))]
    assert [text.partition(": ")[2].partition(": ")[2] for text in found] == ([] if fault is None else [fault])


def _rest(use: Use) -> tuple[int, str, ast.expr, frozenset[str] | None, ast.Call]:
    return use.line, use.kind, use.code, use.params, use.call
