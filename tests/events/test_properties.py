"""What holds for every event and every request, whatever is in it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookyard.core.errors import InvalidError
from hookyard.core.ids import EventId, WorkspaceId
from hookyard.events.catalog import BUILT_IN, Catalog, EventType, Value, VariableType
from hookyard.events.envelope import MAX_PROBLEMS, parse
from hookyard.events.model import EventDraft
from hookyard.intake.dedup_gates import event_dedup_key
from hookyard.settings import LiveSettings

CATALOG = Catalog()
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
NUMBERS = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def variables(event_type: EventType) -> st.SearchStrategy[dict[str, Value]]:
    kinds: dict[VariableType, st.SearchStrategy[Any]] = {
        VariableType.STRING: TEXTS,
        VariableType.NUMBER: NUMBERS,
        VariableType.BOOLEAN: st.booleans(),
    }
    return st.fixed_dictionaries({v.name: kinds[v.type] for v in event_type.variables})


EVENTS = st.sampled_from(BUILT_IN).flatmap(lambda t: st.tuples(st.just(t.name), variables(t)))


@given(EVENTS, st.randoms())
def test_the_three_forms_of_an_event_say_the_same(event: tuple[str, dict[str, Value]], random: Any) -> None:
    name, values = event
    shuffled = list(values.items())
    random.shuffle(shuffled)
    flat = {"eventName": name, "id": "1", "source": "/s", **dict(shuffled)}
    structured = {"specversion": "1.0", "type": name, "id": "1", "source": "/s", "data": values}
    binary = {"ce-specversion": "1.0", "ce-type": name, "ce-id": "1", "ce-source": "/s"}
    requests: list[tuple[object, dict[str, str]]] = [
        (flat, {}),
        (structured, {"content-type": "application/cloudevents+json"}),
        ([structured], {"content-type": "application/cloudevents-batch+json"}),
        (values, {**binary, "content-type": "application/json"}),
    ]
    for body, headers in requests:
        [draft] = parse(json.dumps(body).encode(), headers, "ws", CATALOG).drafts
        assert draft == EventDraft(name, values, "/s", "1")


@given(EVENTS, st.data())
def test_what_is_missing_or_too_much_or_of_another_type_is_named(
    event: tuple[str, dict[str, Value]], data: Any
) -> None:
    name, values = event
    wrong = data.draw(st.sampled_from(sorted(values)))
    body: dict[str, object] = {"eventName": name, **values}
    if data.draw(st.booleans()):
        del body[wrong]
    else:
        body[wrong] = data.draw(st.none() | st.booleans() | st.lists(st.integers(), max_size=1))
    unknown = data.draw(st.text(max_size=20))
    expected = {wrong}
    if unknown not in {"eventName", "timestamp", "workspaceId", "id", "source", "operationId", *values}:
        body[unknown] = 1
        expected.add(unknown)
    with pytest.raises(InvalidError) as refused:
        parse(json.dumps(body).encode(), {}, "ws", CATALOG)
    assert {p.field for p in refused.value.problems} == expected


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()), st.sampled_from(
    [{}, {"content-type": "application/cloudevents+json"}, {"content-type": "application/cloudevents-batch+json"},
     {"ce-specversion": "1.0", "ce-id": "%41%", "ce-type": "task.created"}]))  # fmt: skip
def test_anything_else_is_refused_with_few_words(body: bytes, headers: dict[str, str]) -> None:
    try:
        parsed = parse(body, headers, "ws", CATALOG)
    except InvalidError as error:
        refused = error
    else:
        assert (parsed.batch, parsed.drafts) == (True, ())  # an empty batch is one
        return
    assert len(refused.what) < 300
    assert len(refused.problems) <= MAX_PROBLEMS + 1


@given(EVENTS, EVENTS, st.sampled_from([None, "a", "b"]), st.sampled_from([None, "a", "b"]), st.booleans())
def test_two_events_are_one_by_content_exactly_when_they_say_the_same(
    one: tuple[str, dict[str, Value]],
    other: tuple[str, dict[str, Value]],
    operation: str | None,
    other_operation: str | None,
    same: bool,
) -> None:
    other = (one[0], dict(reversed(one[1].items()))) if same else other
    claims = []
    for at, ((name, values), op) in enumerate(((one, operation), (other, other_operation))):
        event = EventDraft(name, values, operation_id=op).accepted(EventId(f"evt_{at}"), WorkspaceId("ws"), at)
        claims.append(event_dedup_key(event, json.dumps(values, sort_keys=True), LiveSettings()))
    # As JSON, for 0.0 and -0.0 are equal in Python and two values in JavaScript.
    told = [
        json.dumps([name, values, op], sort_keys=True)
        for (name, values), op in ((one, operation), (other, other_operation))
    ]
    assert claims[0] is not None
    assert claims[1] is not None
    assert (claims[0].key == claims[1].key) == (told[0] == told[1])
