"""Text is cut where the service's count says, and never inside what a reader sees as one character."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookyard.hooks.formats.fitting import characters, clip_lines, cut, one_line, utf8_bytes, utf16_units, visible


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("a b   c", 6, "a b…"),
        ("ae\u0301b", 3, "a…"),  # an accent belongs to its letter
        ("🇩🇪🇫🇷🇮🇹", 4, "🇩🇪…"),  # flags are pairs
        ("👩‍👩‍👧x", 5, "…"),  # a family is one
        ("👍🏽!!", 3, "👍🏽…"),
        ("abc", 0, ""),
    ],
)
def test_cut_keeps_characters_whole(text: str, limit: int, shown: str) -> None:
    assert cut(text, limit) == shown


def test_bytes_and_utf16_are_counted() -> None:
    assert cut("汉字汉字", 9, measure=utf8_bytes) == "汉字…"
    assert cut("😀😀😀", 5, measure=utf16_units) == "😀😀…"


@given(
    st.text(max_size=400),
    st.integers(0, 300),
    st.sampled_from([characters, utf8_bytes, utf16_units]),
    st.sampled_from([str, lambda text: text.replace("&", "&amp;")]),
)
def test_the_result_never_measures_more_than_the_limit(text: str, limit: int, measure, escape) -> None:  # type: ignore[no-untyped-def]
    shown = cut(text, limit, measure=measure, escape=escape)
    assert measure(shown) <= limit
    assert shown.endswith("…") or shown in ("", escape(text))


def test_unseen_characters_go() -> None:
    assert one_line("a\x00b\n\n c\u202ed") == "a b c d"
    assert visible("a\x1b[31m\r\nb\u2066c") == "a[31m\nbc"
    assert clip_lines("1\n2\n3", 2) == "1\n2\n…"
    assert clip_lines("1\n2", 2) == "1\n2"
