"""Both languages are complete, and nothing in them is left over."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from hookyard.events.catalog import Catalog
from hookyard.settings import LIVE
from hookyard.web.pages.language import CODES, texts

WEB = Path(__file__).resolve().parents[2] / "src" / "hookyard" / "web"
SOURCES = [*WEB.glob("templates/*.html"), *WEB.glob("pages/**/*.py"), WEB / "live.py"]
USED = re.compile(r"""\bt\(\s*f?["']([\w.-]+)["']\s*[,)]""")
TERNARY = re.compile(r"""t\(["']([\w.]+)["'] if [^)]*? else ["']([\w.]+)["']\)""")
BEGUN = re.compile(r"""\bt\(\s*f?["']([\w.-]+?)["{]|\bt\(\s*'([\w.-]+)'\s*~|word\(\s*["'](\w+)["']|pairs\('(\w+)'""")


def used() -> tuple[set[str], set[str]]:
    """Keys that stand in the sources, and beginnings of keys that are put together."""
    whole: set[str] = set()
    begun: set[str] = set()
    for path in SOURCES:
        source = path.read_text(encoding="utf-8")
        whole.update(USED.findall(source))
        for match in BEGUN.finditer(source):
            begun.add(next(group for group in match.groups() if group))
        for match in TERNARY.finditer(source):
            whole.update(match.groups())
    return whole, begun | {"done.", "error.", "nav.", "origin.", "starter."}


def test_both_languages_have_the_same_keys() -> None:
    en, zh = (texts(code) for code in CODES)
    assert sorted(en) == sorted(zh)


@pytest.mark.parametrize("code", CODES)
def test_no_text_is_empty(code: str) -> None:
    assert not [key for key, text in texts(code).items() if not text.strip()]


def test_both_languages_put_in_the_same_values() -> None:
    en, zh = (texts(code) for code in CODES)

    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    odd = []
    for key, text in en.items():
        if key.startswith("starter.") or key == "editor.prompt_hint":
            continue
        # The English one may leave a number out of its singular.
        wanted = set().union(*(fields(part) for part in text.split(" | ")))
        if wanted != fields(zh[key]):
            odd.append(key)
    assert odd == []


def test_every_key_that_is_used_is_there() -> None:
    whole, begun = used()
    known = texts("en")
    missing = {key for key in whole if key not in known and not key.endswith(".")}
    missing -= {key for key in missing if any(name.startswith(key) for name in known)}
    assert missing == set()
    assert not {start for start in begun if not any(name.startswith(start) for name in known)}


def test_every_key_is_used() -> None:
    whole, begun = used()
    unused = [key for key in texts("en") if key not in whole and not any(key.startswith(start) for start in begun)]
    assert unused == []


def test_every_notice_is_said_by_a_page() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in WEB.glob("pages/*.py"))
    notices = [key.removeprefix("done.") for key in texts("en") if key.startswith("done.")]
    assert [name for name in notices if f'"{name}"' not in code] == []


def test_every_setting_and_event_says_what_it_is_in_chinese() -> None:
    chinese = re.compile(r"[\u4e00-\u9fff]")
    assert all(chinese.search(setting.help_zh) for setting in LIVE.values())
    assert all(chinese.search(one.meaning_zh) for one in Catalog())
