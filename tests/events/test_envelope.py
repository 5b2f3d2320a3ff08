"""Every wire form of an event, and everything that is refused. The CloudEvents SDK is the oracle."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_binary, to_binary, to_structured
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from hookyard.core.errors import InvalidError, Problem
from hookyard.events.catalog import BUILT_IN, Catalog, declare
from hookyard.events.envelope import MAX_BATCH, MAX_BODY_BYTES, parse
from hookyard.events.model import AuthorTrust, EventDraft

CATALOG = Catalog(
    [declare("measure.taken", [("value", "number", 1), ("good", "boolean", True), ("unit", "string", "m")])]
)
JSON = {"content-type": "application/json"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}


def one(body: object, headers: dict[str, str] | None = None) -> EventDraft:
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    parsed = parse(raw, headers or JSON, "ws", CATALOG)
    assert not parsed.batch
    [draft] = parsed.drafts
    return draft


def problems(body: object, headers: dict[str, str] | None = None) -> dict[str, str]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(InvalidError) as refused:
        parse(raw, headers or JSON, "ws", CATALOG)
    return {p.field: p.message for p in refused.value.problems} or {"": refused.value.what}


def flat(name: str = "task.deleted", /, **more: Any) -> dict[str, Any]:
    event_type = CATALOG.get(name)
    assert event_type is not None
    return {**event_type.sample, "workspaceId": "ws", **more}


def cloud(name: str = "task.deleted", /, **more: Any) -> dict[str, Any]:
    event_type = CATALOG.get(name)
    assert event_type is not None
    data = {v.name: v.example for v in event_type.variables}
    return {"specversion": "1.0", "id": "1", "source": "/ci", "type": name, "data": data, **more}


@pytest.mark.parametrize("name", [t.name for t in BUILT_IN])
def test_every_sample_is_accepted_flat(name: str) -> None:
    draft = one(flat(name, workspaceId="ws"))
    event_type = CATALOG.get(name)
    assert event_type is not None
    assert draft.name == name
    assert draft.variables == {v.name: v.example for v in event_type.variables}
    assert draft.occurred_at == datetime(2026, 1, 15, 9, tzinfo=UTC).timestamp()
    assert (draft.source, draft.source_id, draft.operation_id, draft.author_trust) == (
        "api",
        None,
        None,
        AuthorTrust.UNKNOWN,
    )


def test_common_variables_may_be_left_out() -> None:
    body = flat()
    del body["timestamp"], body["workspaceId"]
    draft = one(body)
    assert draft.occurred_at is None


def test_id_source_and_operation_are_taken_over() -> None:
    draft = one(flat(id="7", source="ci", operationId="op"))
    assert (draft.source, draft.source_id, draft.operation_id) == ("ci", "7", "op")
    assert one(flat(id=None, source=None, operationId=None, timestamp=None)).source_id is None


@pytest.mark.parametrize("name", [t.name for t in BUILT_IN])
def test_structured_and_binary_say_the_same_as_the_sdk(name: str) -> None:
    attributes: dict[str, Any] = {
        "id": 'é %"\\ 任务',
        "source": "https://ci.example/任务?a=1 b",
        "type": name,
        "time": datetime(2026, 1, 15, 9, 0, 0, 250_000, tzinfo=UTC),
        "operationid": "op/任务",
        "datacontenttype": "application/json",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }
    data = cloud(name)["data"]
    event = CloudEvent(attributes, data)
    expected = EventDraft(
        name,
        data,
        attributes["source"],
        attributes["id"],
        attributes["operationid"],
        1_768_467_600.25,
    )
    for message in (to_structured(event, JSONFormat()), to_binary(event, JSONFormat())):
        headers = {k.lower(): v for k, v in message.headers.items()}
        assert one(message.body, headers) == expected
        if "ce-id" in headers:
            seen = from_binary(HTTPMessage(headers, message.body), JSONFormat(), CloudEvent)
            assert seen.get_id() == expected.source_id


def test_a_quoted_header_value_is_unquoted_before_percent_decoding() -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": '"a \\"b\\" %41"',
        "ce-source": "/x",
        "ce-type": "task.deleted",
        **JSON,
    }
    assert one(cloud()["data"], headers).source_id == 'a "b" A'


def test_data_in_base64_is_read() -> None:
    body = cloud()
    body["data_base64"] = base64.b64encode(json.dumps(body.pop("data")).encode()).decode()
    assert one(body, STRUCTURED).variables["deletedBy"] == "赵六"


def test_a_structured_event_may_come_as_plain_json() -> None:
    assert one(cloud()).source == "/ci"


def test_a_batch_keeps_its_order_and_names_errors_by_index() -> None:
    parsed = parse(json.dumps([cloud(id=str(n)) for n in range(3)]).encode(), BATCH, "ws", CATALOG)
    assert parsed.batch
    assert [d.source_id for d in parsed.drafts] == ["0", "1", "2"]
    assert parse(b"[]", BATCH, "ws", CATALOG).drafts == ()

    bad = [cloud(), cloud(type="task.delete"), 5, {**cloud(), "data": {}}]
    with pytest.raises(InvalidError) as refused:
        parse(json.dumps(bad).encode(), BATCH, "ws", CATALOG)
    assert sorted({p.index for p in refused.value.problems if p.index is not None}) == [1, 2, 3]


def test_a_batch_has_bounds() -> None:
    with pytest.raises(InvalidError, match="1001 events"):
        parse(json.dumps([1] * (MAX_BATCH + 1)).encode(), BATCH, "ws", CATALOG)
    with pytest.raises(InvalidError) as refused:
        parse(json.dumps([{}] * MAX_BATCH).encode(), BATCH, "ws", CATALOG)
    assert refused.value.problems[-1] == Problem("", "and 3900 more")


def test_every_fault_is_named_at_once() -> None:
    body = flat(workspaceId="other", timestamp="yesterday", taskId=1, taskDbId="x", id=5, source="hookyard:github")
    del body["taskTitle"]
    found = problems(body)
    assert list(found) == ["workspaceId", "id", "source", "timestamp", "taskId", "taskTitle", "taskDbId"]
    assert "did you mean taskDBId?" in found["taskDbId"]


@pytest.mark.parametrize("sneaked", [{"authorTrust": "member"}, {"cause": []}, {"batch": True}, {"events": "[]"}])
def test_trust_cause_and_batch_are_never_read_from_a_request(sneaked: dict[str, object]) -> None:
    assert list(problems(flat(**sneaked))) == list(sneaked)
    data = {**cloud()["data"], **sneaked}
    assert list(problems(cloud(data=data), STRUCTURED)) == list(sneaked)


def test_numbers_and_booleans_are_themselves() -> None:
    draft = one({"eventName": "measure.taken", "value": 2.0, "good": False, "unit": ""})
    assert draft.variables == {"value": 2, "good": False, "unit": ""}
    assert type(draft.variables["value"]) is int
    assert one({"eventName": "measure.taken", "value": 1e300, "good": True, "unit": ""}).variables["value"] == 1e300
    wrong: object
    for wrong in ("2", True, None, [], {}, 2**53, 10**400):
        assert list(problems(flat("measure.taken", value=wrong))) == ["value"]
    for wrong in ("true", 1, 0, None):
        assert list(problems(flat("measure.taken", good=wrong))) == ["good"]


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"[1,]", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b'{"a":NaN}', b'{"a":1e999}', b"1" * 5000,
     b'{"eventName":"task.deleted","taskId":"\\ud800"}', b"\xef\xbb\xbf{}", b'{"a":"\x00"}', b"{} {}"],
)  # fmt: skip
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidError):
        one(raw)


@pytest.mark.parametrize("body", [None, 1, "x", True, [], [cloud()]])
def test_an_event_is_an_object(body: object) -> None:
    assert "is a JSON object" in problems(body)[""]
    assert "is a JSON object" in problems(body, STRUCTURED)[""]


def test_nul_is_refused_and_its_spelling_is_not() -> None:
    assert list(problems(flat(taskTitle="a\x00b"))) == ["taskTitle"]
    assert one(flat(taskTitle="a\\u0000b")).variables["taskTitle"] == "a\\u0000b"
    assert list(problems(flat(id="a\x00"))) == ["id"]
    headers = {"ce-specversion": "1.0", "ce-id": "a%00", "ce-source": "/x", "ce-type": "task.deleted", **JSON}
    assert list(problems(cloud()["data"], headers)) == ["id"]


@pytest.mark.parametrize("time", ["", "now", "2026-13-01", "0001-01-01T00:00:00+14:00", "1969-12-31", "9" * 70, 5, {}])
def test_a_time_is_iso_8601(time: object) -> None:
    assert list(problems(flat(timestamp=time))) == ["timestamp"]
    assert list(problems(cloud(time=time), STRUCTURED)) == ["time"]


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("2026-01-15T17:00:00+08:00", 0.0),
        ("2026-01-15T09:00:00.123456Z", 0.123456),
        ("2026-01-15 09:00:00", 0.0),
        ("2026-01-15t09:00:00z", 0.0),
    ],
)
def test_a_time_is_read_with_its_offset(time: str, seconds: float) -> None:
    assert one(flat(timestamp=time)).occurred_at == pytest.approx(1_768_467_600 + seconds, abs=1e-6)


@pytest.mark.parametrize("field", ["id", "source", "operationId"])
@pytest.mark.parametrize("value", ["", "x" * 513, "a\nb", 5, [], True])
def test_keys_are_short_plain_texts(field: str, value: object) -> None:
    assert list(problems(flat(**{field: value}))) == [field]


def test_what_a_cloud_event_lacks_is_named() -> None:
    assert list(problems({"data": {}}, STRUCTURED)) == ["specversion", "id", "source", "type"]
    assert list(problems(cloud(specversion="0.3"), STRUCTURED)) == ["specversion"]
    assert list(problems(cloud(data=None), STRUCTURED)) == ["data"]
    assert list(problems(cloud(datacontenttype="text/xml"), STRUCTURED)) == ["datacontenttype"]
    assert list(problems({**cloud(), "operationId": "x"}, STRUCTURED)) == ["operationId"]
    assert list(problems({**cloud(), "ext": {}}, STRUCTURED)) == ["ext"]
    assert list(problems({**cloud(), "data_base64": "!"}, STRUCTURED)) == ["data_base64"]
    assert list(problems(cloud(data={**cloud()["data"], "eventName": "task.created"}), STRUCTURED)) == ["eventName"]
    assert list(problems(cloud(), {"content-type": "application/cloudevents+avro"})) == [""]
    assert "ce-id" in problems(cloud()["data"], binary(id="%zz"))


def binary(**attributes: str) -> dict[str, str]:
    """Headers of a whole event in binary form, some of them others."""
    plain = {"specversion": "1.0", "id": "1", "source": "/x", "type": "task.deleted", **attributes}
    return {**{f"ce-{name.replace('_', '-')}": value for name, value in plain.items()}, **JSON}


def test_an_attribute_in_a_header_is_named_as_one_in_an_object_is() -> None:
    data = cloud()["data"]
    found = problems(data, binary(operation_id="save-7"))
    assert "did you mean operationid?" in found["ce-operation-id"]
    assert list(problems(data, binary(my_ext="x"))) == ["ce-my-ext"]
    with pytest.raises(CloudEventValidationError, match="my-ext"):
        from_binary(HTTPMessage(binary(my_ext="x"), json.dumps(data).encode()), JSONFormat(), CloudEvent)
    long = "extension" * 10
    assert one(data, binary(**{long: "x"})) == one({**cloud(source="/x"), long: "x"}, STRUCTURED)


def test_a_binary_event_without_its_version_is_told_so() -> None:
    headers = binary()
    del headers["ce-specversion"]
    assert list(problems(cloud()["data"], headers)) == ["specversion"]


@pytest.mark.parametrize("name", ["subject", "dataschema"])
def test_an_optional_attribute_is_not_empty(name: str) -> None:
    assert list(problems(cloud(**{name: ""}), STRUCTURED)) == [name]
    assert list(problems(cloud()["data"], binary(**{name: ""}))) == [name]
    assert one(cloud(**{name: "x"}), STRUCTURED).source_id == "1"


def test_letters_of_a_header_that_nobody_encoded_are_utf_8() -> None:
    data = cloud()["data"]
    assert one(data, binary(id="任务".encode().decode("latin-1"))).source_id == "任务"
    assert one(data, binary(id="任务 %E4%BB%BB".encode().decode("latin-1"))).source_id == "任务 任"
    assert one(data, binary(id="\xe9")).source_id == "é"  # no UTF-8, so the letters of older HTTP


def test_a_header_that_cannot_be_decoded_is_one_problem() -> None:
    assert list(problems(cloud()["data"], binary(id="100%"))) == ["ce-id"]


def test_an_event_of_a_leap_second_is_taken() -> None:
    assert one(cloud(time="2016-12-31T23:59:60Z"), STRUCTURED).occurred_at == 1_483_228_800
    assert list(problems(cloud(time="2016-12-31T23:58:60Z"), STRUCTURED)) == ["time"]


def test_messages_stay_short_whatever_is_sent() -> None:
    found = problems({"eventName": "x" * 100_000, "y" * 100_000: 1, "workspaceId": "w" * 100_000})
    assert all(len(field) + len(message) < 500 for field, message in found.items())
    with pytest.raises(InvalidError, match="too large"):
        one(b" " * (MAX_BODY_BYTES + 1))
