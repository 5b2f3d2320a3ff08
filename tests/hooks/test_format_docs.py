"""The page on formats says what the formats do."""

from __future__ import annotations

import json
import re

import pytest

from hookyard.hooks.formats import all_formats, for_url
from hookyard.hooks.formats.base import Rate, Target
from scripts.pages import page
from tests.hooks.bodies import FAILED_TOOL

PAGES = {"en": page("reference/chat-formats", "en"), "zh": page("reference/chat-formats", "zh-CN")}


def limit(rate: Rate, language: str) -> str:
    """A rate in words, as the table has it."""
    if language == "zh":
        return {60.0: f"每分钟 {rate.requests} 条", 1.0: f"每秒 {rate.requests} 条"}.get(
            rate.seconds, f"每 {rate.seconds:g} 秒 {rate.requests} 条"
        )
    return {60.0: f"{rate.requests} a minute", 1.0: f"{rate.requests} a second"}.get(
        rate.seconds, f"{rate.requests} in {rate.seconds:g} seconds"
    )


@pytest.mark.parametrize("language", PAGES)
def test_the_table_names_every_format_with_its_limits(language: str) -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", PAGES[language].read_text(encoding="utf-8"), re.MULTILINE))
    assert rows.keys() - {"format"} == all_formats().keys()
    for name, made in all_formats().items():
        for rate in made.rates:
            assert limit(rate, language) in rows[name], name


@pytest.mark.parametrize("language", PAGES)
def test_the_example_is_what_is_sent(language: str) -> None:
    text = PAGES[language].read_text(encoding="utf-8")
    shown = re.search(r"<!-- example: DingTalk.*?-->\n\n```\n(.*?)\n```", text, re.DOTALL)
    assert shown is not None
    request = all_formats()["dingtalk"].build(FAILED_TOOL, Target("https://x.example/", language=language))
    assert shown[1] == json.loads(request.body)["markdown"]["text"]


@pytest.mark.parametrize("language", PAGES)
def test_the_addresses_of_the_page_pick_the_format_that_it_says(language: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \|([^|]*)\|", PAGES[language].read_text(encoding="utf-8"), re.MULTILINE)
    seen = 0
    for name, addresses in rows:
        for address in re.findall(r"`([a-z][a-z.-]+/[^`]*[^`…])(?:…)?`", addresses):
            url = f"https://{address.removesuffix('…')}" + ("123/x" if address.endswith("/") else "")
            assert for_url(url).name == name, url
            seen += 1
    assert seen >= 5
