"""Trigger words: the contract's table and its examples, and the rule as a property."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookyard.core.errors import InvalidError
from hookyard.hooks.hooks import point_named
from hookyard.hooks.points import POINTS, Point, points_of

WORDS = [word for spec in POINTS.values() for word in spec.words]


@pytest.mark.parametrize(
    ("trigger", "points"),
    [
        ("on_turn_start", {Point.TURN_START}),
        ("turn_start_hook", {Point.TURN_START}),
        ("pre_tool,error", {Point.PRE_TOOL, Point.ERROR}),
        ("PRE_TOOL", {Point.PRE_TOOL}),
        ("pretool", set()),
        ("message_received", {Point.MESSAGE}),
        ("before_tool", {Point.PRE_TOOL}),
        ("after_tool", {Point.POST_TOOL}),
        ("after_turn", {Point.TURN_COMPLETE}),
        ("*", set(Point)),
        ("on_error", {Point.ERROR}),
        ("", set()),
    ],
)
def test_the_contract_s_examples(trigger: str, points: set[Point]) -> None:
    assert points_of(trigger) == points


@given(st.lists(st.sampled_from([*WORDS, "pretool", "x", " ", ",", "on_"])), st.randoms(use_true_random=False))
def test_a_point_listens_exactly_when_one_of_its_words_is_inside(parts: list[str], random: object) -> None:
    trigger = "".join(parts)
    mixed = "".join(c.upper() if random.random() < 0.5 else c for c in trigger)  # type: ignore[attr-defined]
    for point, spec in POINTS.items():
        assert (point in points_of(mixed)) == any(word in trigger for word in spec.words)


@given(st.text(), st.sampled_from(WORDS), st.text())
def test_what_stands_around_a_word_does_not_matter(before: str, word: str, after: str) -> None:
    assert points_of(word) <= points_of(before + word + after)


def test_points_are_found_by_every_name() -> None:
    for point, spec in POINTS.items():
        for name in (point, spec.event, *spec.words):
            assert point_named(name) is point
    with pytest.raises(InvalidError, match="did you mean 'pre_tool'"):
        point_named("pretool")
