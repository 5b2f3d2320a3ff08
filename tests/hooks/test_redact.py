"""Redaction: nothing that a pattern matches leaves, JSON stays valid, and what comes back is exact or refused."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookyard.hooks.redaction.redactor import Redactor, UnknownMarkError

KEY = r"sk-[a-z0-9]{4,}"


def redactor(*patterns: str) -> Redactor:
    return Redactor(patterns, lambda size: "0123456789abcdef"[: 2 * size])


def test_matches_become_marks_and_come_back() -> None:
    made = redactor(KEY)
    value = {"tool_name": "bash", "text": "use sk-abcd1 and sk-zzzz9, again sk-abcd1"}
    hidden, marks = made.hide(value)
    one, two = "[redacted-0123456789abcdef-1]", "[redacted-0123456789abcdef-2]"
    assert hidden == {"tool_name": "bash", "text": f"use {one} and {two}, again {one}"}
    assert marks.count == 2
    assert made.restore(hidden, marks) == value
    assert made.restore(f"export K={two}", marks) == "export K=sk-zzzz9"
    assert "sk-abcd1" not in repr(marks)


def test_secrets_in_tool_arguments_leave_valid_json_that_is_otherwise_unchanged() -> None:
    made = redactor(KEY)
    args = '{ "command" : "echo sk-abcd1 \\"quoted\\"", "n": 1.50, "n": 2, "escaped": "sk\\u002dabcd2" }'
    hidden, marks = made.hide({"tool_args": args})
    text = hidden["tool_args"]
    assert "sk-abcd" not in text
    assert json.loads(text)["command"] == 'echo [redacted-0123456789abcdef-1] "quoted"'
    assert text.startswith('{ "command" : "echo ')
    assert '"n": 1.50, "n": 2,' in text
    assert json.loads(text)["escaped"] == "[redacted-0123456789abcdef-2]"
    restored = made.restore(hidden, marks)["tool_args"]
    assert json.loads(restored) == json.loads(args)


@pytest.mark.parametrize(
    ("pattern", "args", "gone", "left"),
    [
        (r'(?i)"password"\s*:\s*"[^"]*"', '{"user": "ada", "Password": "hunter2"}', "hunter2", "ada"),
        (r"password.*", '{"password": "hunter2", "after": "x"}', "hunter2", "}"),
        (r"\d{16}", '{"card": 4111111111111111, "n": 1}', "4111111111111111", '"n": 1'),
        (r"hunter2", '{"hunter2": 1}', "hunter2", ": 1"),
        (r"hunter2", '{"deep": "{\\"inner\\": \\"say \\\\\\"hunter2\\\\\\"\\"}"}', "hunter2", "inner"),
        (r'[{"]', '{"a": "b"}', "zzz", ""),
    ],
)
def test_patterns_over_the_source_of_json_keep_it_valid(pattern: str, args: str, gone: str, left: str) -> None:
    made = redactor(pattern)
    hidden, marks = made.hide(args)
    json.loads(hidden)
    assert gone not in hidden
    assert left in hidden
    assert json.loads(made.restore(hidden, marks)) == json.loads(args)


def test_numbers_come_back_as_numbers_and_inside_a_text_as_text() -> None:
    made = redactor(r"^4111\d{12}$")
    hidden, marks = made.hide({"card": 4111111111111111, "count": 3, "flag": True})
    mark = hidden["card"]
    assert hidden == {"card": mark, "count": 3, "flag": True}
    assert made.restore(hidden, marks)["card"] == 4111111111111111
    assert made.restore({"text": f"card {mark}"}, marks) == {"text": "card 4111111111111111"}


def test_a_restored_secret_is_escaped_where_it_lands() -> None:
    made = redactor(r'pa"ss\\word')
    hidden, marks = made.hide('text pa"ss\\word')
    mark = hidden.removeprefix("text ")
    assert json.loads(made.restore(json.dumps({"a": f"x {mark}"}), marks)) == {"a": 'x pa"ss\\word'}


@pytest.mark.parametrize(
    "change",
    [
        lambda mark: mark[:-1],
        lambda mark: mark[:-3],
        lambda mark: mark[1:],
        lambda mark: mark[:20],
        lambda mark: mark.upper(),
        lambda mark: mark.replace("-1]", "-7]"),
        lambda mark: mark.replace("-1]", "-11]"),
        lambda mark: mark.replace("0123", "ffff"),
        lambda mark: "[redacted-ffffffffffffffff-1]",
        lambda mark: json.dumps({"a": mark[:-1]}),
        lambda mark: json.dumps({"a": "\\u005b" + mark[1:-1]}),
        lambda mark: {"a": [mark[:-1]]},
        lambda mark: {mark[:-1]: 1},
    ],
)
def test_a_mark_that_was_changed_is_refused(change: Any) -> None:
    made = redactor(KEY)
    hidden, marks = made.hide("sk-abcd1")
    with pytest.raises(UnknownMarkError) as caught:
        made.restore(change(hidden), marks)
    assert "sk-abcd1" not in str(caught.value)


def test_a_mark_that_is_gone_and_text_without_marks_are_fine() -> None:
    made = redactor(KEY)
    _, marks = made.hide("sk-abcd1")
    assert made.restore({"command": "ls C:\\temp", "n": 1}, marks) == {"command": "ls C:\\temp", "n": 1}


def test_text_that_looked_like_a_mark_before_is_left_alone() -> None:
    made = redactor(KEY)
    value = "docs say [redacted-1] and sk-abcd1"
    hidden, marks = made.hide(value)
    assert made.restore(hidden, marks) == value


def test_marks_of_another_delivery_are_unknown() -> None:
    made = Redactor([KEY])
    hidden, _ = made.hide("sk-abcd1")
    again, marks = made.hide("sk-abcd1")
    assert hidden != again
    with pytest.raises(UnknownMarkError):
        made.restore(hidden, marks)


def test_overlapping_patterns_and_marks_do_not_nest() -> None:
    made = redactor(KEY, r"[a-z0-9-]{6,}", r"redacted")
    hidden, marks = made.hide("x sk-abcd1 y")
    assert hidden == "x [redacted-0123456789abcdef-1] y"
    assert made.restore(hidden, marks) == "x sk-abcd1 y"


def test_no_patterns_change_nothing() -> None:
    value = {"a": ["b", 1, None]}
    assert redactor().hide(value)[0] is value


@pytest.mark.parametrize("pattern", ["(a", "(?=a)", "a\\1", "[", "\ud800"])
def test_a_pattern_that_cannot_be_used_is_refused_with_the_reason(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a pattern"):
        Redactor([pattern])


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(a*)*b", "a" * 500_000),
        (r"a.*b|a", "a" * 500_000),
        (r"\d", "7" * 300_000),
        (r"x", "[" * 500_000),
        (r"x", '{"a":' * 50_000 + "1" + "}" * 50_000),
        (r"x", json.dumps("x" * 10)[:-1] * 50_000),
    ],
)
def test_hostile_text_is_bounded_in_time(pattern: str, text: str) -> None:
    started = time.process_time()
    redactor(pattern).hide({"text": text})
    assert time.process_time() - started < 10


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(json_values, st.sampled_from([r"\d+", "[a-m]", r'"', r"\\", ".", "secret", r"\s"]), st.integers(0, 2))
def test_hide_and_restore_give_back_the_same(value: Any, pattern: str, wraps: int) -> None:
    value = [value]  # what is sent is never a bare number
    wrapped: Any = value
    for _ in range(wraps):
        wrapped = json.dumps({"inner": wrapped})
    made = redactor(pattern)
    hidden, marks = made.hide(wrapped)
    if wraps:
        json.loads(hidden)
    restored = made.restore(hidden, marks)
    for _ in range(wraps):
        restored = json.loads(restored)["inner"]
    assert restored == value
