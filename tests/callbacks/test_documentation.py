"""The pages about callbacks say what the code does: fields, gates, and files whose tests pass."""

import re
from pathlib import Path

import pytest

from hookyard.automations.yaml_file import read_file, run_case
from hookyard.callbacks.spec import CallbackSpec
from hookyard.conditions.conditions import Conditions
from hookyard.core.clock import SystemClock
from hookyard.core.verdicts import GATES
from scripts.pages import both

ROOT = Path(__file__).resolve().parents[2]
PAGES = both("reference/callbacks")
FILES = both("how-to/test-callbacks")
PAGE = pytest.mark.parametrize("page", list(PAGES.values()), ids=list(PAGES))


def rows(page: Path, heading: int) -> list[str]:
    """The first cells of the table below a heading."""
    section = page.read_text(encoding="utf-8").split("\n## ")[heading]
    return re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)


@PAGE
def test_every_field_and_gate_is_described(page: Path) -> None:
    fields = {field.alias or name for name, field in CallbackSpec.model_fields.items()}
    assert set(rows(page, 1)) == fields
    assert tuple(rows(page, 2)) == GATES


@pytest.mark.parametrize("name", ["en", "zh-CN", "example"])
async def test_the_tests_of_the_files_pass(name: str) -> None:
    if name == "example":
        text = (ROOT / "examples" / "callbacks.yaml").read_text(encoding="utf-8")
    else:
        (text,) = re.findall(r"```yaml\n(.*?)```", FILES[name].read_text(encoding="utf-8"), re.DOTALL)
    file = read_file(text)
    assert file.tests
    conditions = Conditions(SystemClock())
    try:
        assert [await run_case(file, case, conditions) for case in file.tests] == [[]] * len(file.tests)
    finally:
        await conditions.close()
