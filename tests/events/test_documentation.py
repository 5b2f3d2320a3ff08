"""The pages about events say what the code does: tables, examples, conditions, templates."""

import json
import re

import pytest

from hookyard.callbacks.template import check
from hookyard.conditions.conditions import Conditions
from hookyard.core.clock import SystemClock
from hookyard.events.catalog import Catalog
from hookyard.events.envelope import parse
from scripts.event_tables import PAGES, with_tables

PAGE = pytest.mark.parametrize("language", list(PAGES))


def blocks(language: str, kind: str) -> list[str]:
    found = re.findall(rf"```{kind}\n(.*?)```", PAGES[language].read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found


@PAGE
def test_the_tables_are_those_of_the_catalog(language: str) -> None:
    page = PAGES[language].read_text(encoding="utf-8")
    assert page == with_tables(page, language), "run: uv run python -m scripts.event_tables"


@PAGE
def test_the_examples_are_accepted(language: str) -> None:
    for example in blocks(language, "json"):
        assert parse(example.encode(), {}, "ws", Catalog()).drafts
        json.loads(example)


@PAGE
async def test_the_conditions_are_sound(language: str) -> None:
    conditions = Conditions(SystemClock())
    await conditions.start()
    chosen = list(Catalog())
    [lines] = blocks(language, "js")
    problems = [await conditions.check(line, chosen) for line in lines.splitlines()]
    await conditions.close()
    assert problems == [[]] * len(lines.splitlines())


@PAGE
def test_the_templates_are_sound(language: str) -> None:
    for template in blocks(language, "template"):
        assert check(template, Catalog().select(["task.created"])) == []
