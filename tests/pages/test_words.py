"""Numbers, durations and times in both languages."""

from __future__ import annotations

import pytest

from hookyard.callbacks import template
from hookyard.core.clock import from_iso
from hookyard.events.catalog import Catalog
from hookyard.web.pages.language import language, preferred, zone
from hookyard.web.pages.preview import partly_empty

NOW = from_iso("2026-11-21T12:00:00Z")
EN, ZH = language("en", now=NOW), language("zh-CN", now=NOW)


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [
        (None, "–", "–"),
        (0.0004, "0.4 ms", "0.4 ms"),
        (0.038, "38 ms", "38 ms"),
        (2.94, "2.9 s", "2.9 s"),
        (59.96, "1 min", "1 分"),
        (108, "1 min 48 s", "1 分 48 秒"),
        (125, "2 min 05 s", "2 分 05 秒"),
        (7500, "2 h 5 min", "2 小时 5 分"),
        (180_000, "2 d 2 h", "2 天 2 小时"),
    ],
)
def test_durations(seconds: float | None, en: str, zh: str) -> None:
    assert (EN.lasting(seconds), ZH.lasting(seconds)) == (en, zh)


@pytest.mark.parametrize(
    ("before", "en", "zh"),
    [
        (3, "just now", "刚刚"),
        (45, "45 seconds ago", "45 秒前"),
        (60, "1 minute ago", "1 分钟前"),
        (3 * 3600, "3 hours ago", "3 小时前"),
        (86_400, "Nov 20", "11 月 20 日"),
        (400 * 86_400, "Oct 17, 2025", "2025 年 10 月 17 日"),
    ],
)
def test_how_long_ago(before: float, en: str, zh: str) -> None:
    assert (EN.ago_text(NOW - before), ZH.ago_text(NOW - before)) == (en, zh)


def test_the_exact_time_is_in_the_readers_zone() -> None:
    assert language("en", "Asia/Shanghai", NOW).exact(NOW) == "2026-11-21 20:00:00.000 CST"
    assert zone("../../etc/passwd").key == zone("No/Where").key == "UTC"


@pytest.mark.parametrize(
    ("zone_name", "at", "step", "expected"),
    [
        ("UTC", "2026-11-21T12:00:00Z", 1800, "2026-11-21T12:00:00Z"),
        ("UTC", "2026-11-21T12:00:01Z", 1800, "2026-11-21T12:30:00Z"),
        ("UTC", "2026-11-21T23:59:59.5Z", 60, "2026-11-22T00:00:00Z"),
        ("Asia/Kolkata", "2026-11-21T12:00:00Z", 10_800, "2026-11-21T12:30:00Z"),  # 18:00 there
        ("Asia/Shanghai", "2026-11-21T12:00:00Z", 43_200, "2026-11-21T16:00:00Z"),  # midnight
    ],
)
def test_round_times_are_those_of_the_reader(zone_name: str, at: str, step: float, expected: str) -> None:
    assert language("en", zone_name, NOW).next_round(from_iso(at), step) == from_iso(expected)


def test_numbers() -> None:
    assert (EN.number(18412), EN.short(6000), EN.short(4_200_000)) == ("18,412", "6.0 k", "4.2 M")
    assert (EN.percent(951, 1000), EN.percent(1, 1), EN.percent(0, 0)) == ("95.1%", "100%", "–")
    assert (EN.offset(3.14), EN.offset(91), EN.offset(3730)) == ("3.1 s", "1:31", "1:02:10")


def test_values_in_texts_are_escaped() -> None:
    assert "<b>" not in EN.t("gate.listens_to", events="<b>")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "en"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("en-GB,zh;q=0.5", "en"),
        ("fr, zh-TW;q=0.3", "zh-CN"),
        ("de;q=oops, ;;;q=", "en"),
    ],
)
def test_the_browsers_language(header: str, code: str) -> None:
    assert preferred(header) == code


def test_the_usual_faults_of_a_prompt_are_said_in_chinese() -> None:
    catalog = Catalog()
    problems = [
        *template.check("", []),
        *template.check("{{taskTitel}} {{zzzzzz}}", catalog.select(["task.created"])),
        *partly_empty("{{changes}}", catalog.select(["task.updated", "task.created"])),
    ]
    assert len(problems) == 4
    for problem in problems:
        assert any("\u4e00" <= letter <= "\u9fff" for letter in ZH.message(problem.message)), problem.message
        assert EN.message(problem.message).unescape() == problem.message
    assert ZH.message("<b>") == "&lt;b&gt;"
