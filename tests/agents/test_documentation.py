"""The pages on agents name what there is, in both languages, and their examples are good."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hookyard.agents.base import KINDS
from hookyard.agents.conversation import find_model
from hookyard.agents.profiles import Profile, read_profile
from hookyard.agents.tool_names import TOOL_NAMES
from hookyard.hooks.points import Point
from scripts.pages import both

PAGES = list(both("reference/agents").values())


@pytest.mark.parametrize("page", PAGES, ids=["en", "zh-CN"])
def test_page_names_every_kind_field_tool_and_point(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    fields = [field.alias or name for name, field in Profile.model_fields.items() if name != "name"]
    for name in [*KINDS, *fields, *TOOL_NAMES, *Point]:
        assert f"`{name}`" in text, name


@pytest.mark.parametrize("page", PAGES, ids=["en", "zh-CN"])
def test_examples_are_good(page: Path, tmp_path: Path) -> None:
    profile, script = re.findall(r"```json\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert read_profile(json.loads(profile)).name == "fixer"
    (tmp_path / "script.json").write_text(script, encoding="utf-8")
    assert find_model(f"scripted:{tmp_path}/script.json").model_name == "scripted model"
