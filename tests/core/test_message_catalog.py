"""The message catalogue: rendering, storage, and agreement of its languages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookyard.core import message_catalog
from hookyard.core.errors import CodedValueError, InvalidError, NotFoundError, Problem
from hookyard.core.message_catalog import Entry, Message


@pytest.fixture(autouse=True)
def extra_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_catalog, "_REGISTERED", {})
    message_catalog.register(
        "en",
        {
            "test_gone": Entry("run {id} is gone", "list the runs"),
            "test_wrapped": Entry("cannot open it: {cause}"),
            "test_many": Entry("{count} of {names}, {share}"),
        },
    )
    message_catalog.register("zh-CN", {"test_gone": Entry("运行 {id} 已不存在", "请查看运行列表")})


def test_a_message_is_rendered_in_each_language() -> None:
    error = NotFoundError("test_gone", where="api", id="run_1")
    assert (error.code, error.what, error.hint) == ("test_gone", "run run_1 is gone", "list the runs")
    assert str(error) == "api: run run_1 is gone (list the runs)"
    assert error.sentence("zh-CN") == "api：运行 run_1 已不存在（请查看运行列表）"


def test_a_missing_translation_falls_back_to_english_and_an_unknown_code_to_itself() -> None:
    assert (
        Message("test_many", {"count": 1234, "names": ["a", "b"], "share": 0.25}).text("zh-CN") == "1,234 of a、b, 0.25"
    )
    assert Message("no_such_code", {"id": "x"}).text() == "no_such_code id=x"


def test_a_nested_message_is_rendered_in_the_same_language() -> None:
    cause = Message("test_gone", {"id": "r"})
    assert Message("test_wrapped", {"cause": cause}).text() == "cannot open it: run r is gone (list the runs)"
    assert "运行 r 已不存在（请查看运行列表）" in Message("test_wrapped", {"cause": cause}).text("zh-CN")


def test_values_are_never_scanned_for_placeholders() -> None:
    assert Message("test_gone", {"id": "{id} {cause}"}).text() == "run {id} {cause} is gone"


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.dictionaries(st.text("abc", min_size=1), _SCALARS | st.lists(st.text())))
def test_a_stored_message_comes_back_equal(params: dict[str, message_catalog.Param]) -> None:
    message = Message("test_wrapped", {**params, "cause": Message("test_gone", {"id": "x"})})
    assert Message.loads(message.dumps()) == message


@pytest.mark.parametrize(
    "text",
    ["", "cancelled by ada", '{"code":"x"}', '{"code":"x","params":3}', '{"code":"', '{"code":"x","params":{}}x'],
)
def test_any_other_stored_text_stays_a_literal(text: str) -> None:
    assert Message.loads(text) == Message.literal(text)
    assert Message.literal(text).text("zh-CN") == text
    assert Message.literal(text).dumps() == text


def test_problems_show_code_and_params() -> None:
    problem = Problem("id", "test_gone", line=2, id="x")
    assert problem.as_dict() == {
        "severity": "error",
        "field": "id",
        "line": 2,
        "column": None,
        "message": "run x is gone; list the runs",
        "code": "test_gone",
        "params": {"id": "x"},
    }
    assert problem.with_field("callback.id").as_dict()["field"] == "callback.id"
    assert InvalidError("test_gone", problems=(problem,), id="x").problems == (problem,)
    assert str(CodedValueError("test_gone", id="x")) == "run x is gone (list the runs)"


def test_a_third_party_cannot_redefine_a_code() -> None:
    with pytest.raises(ValueError, match="value_empty"):
        message_catalog.register("en", {"value_empty": Entry("x")})


def test_both_languages_have_the_same_codes_with_the_same_parameters() -> None:
    english, chinese = message_catalog._shipped("en"), message_catalog._shipped("zh-CN")
    assert english.keys() == chinese.keys()
    for code, entry in english.items():
        other = chinese[code]
        assert message_catalog.placeholders(entry.message) == message_catalog.placeholders(other.message), code
        assert (entry.hint is None) == (other.hint is None), code
        assert message_catalog.placeholders(entry.hint or "") == message_catalog.placeholders(other.hint or ""), code


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh-CN"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"HOOKYARD_LANG": "zh-CN", "LC_ALL": "C"}, "zh-CN"),
        ({"HOOKYARD_LANG": "en", "LANG": "zh_CN"}, "en"),
    ],
)
def test_the_language_follows_the_environment(environ: dict[str, str], language: str) -> None:
    assert message_catalog.preferred_language(environ) == language
