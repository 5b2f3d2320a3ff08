"""Requests that nobody would write, against a real server: a refusal in our own words, never a fault."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.e2e.server import ServerProcess

TEXTS = st.one_of(st.text(max_size=30), st.sampled_from(["w", "task-1", "\x00", "\ud83d", "../..", "'\"", "a" * 5000]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def operations(server: ServerProcess) -> list[tuple[str, str, list[str]]]:
    """Method, path and the fields of the body of every operation."""
    _, document = server.request("GET", "/api/openapi.json")
    schemas = document["components"]["schemas"]

    def fields(operation: dict[str, Any]) -> list[str]:
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        schema = content.get("schema", {})
        reference = next(iter(re.findall(r"schemas/(\w+)", str(schema))), None)
        return list((schemas[reference] if reference else schema).get("properties", {}))

    return [
        (method.upper(), path, fields(operation))
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]


def test_no_request_is_a_fault(server: ServerProcess) -> None:
    known = operations(server)
    assert len(known) > 30

    @settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(operation=st.sampled_from(known), data=st.data())
    def try_one(operation: tuple[str, str, list[str]], data: st.DataObject) -> None:
        method, template, fields = operation
        parts = st.sampled_from(["w", "task-1", "github", "1", "%00", "%ff", "a%2Fb", "x" * 300, "💥".encode().hex()])
        path = re.sub(r"\{[^}]+\}", lambda _: data.draw(parts), template)
        names = st.one_of(st.sampled_from(fields), TEXTS) if fields else TEXTS
        body = data.draw(st.one_of(st.dictionaries(names, VALUES, max_size=6), VALUES)) if method != "GET" else None
        status, answer = server.request(method, path, body)
        assert status < 500, (method, path, body, answer)
        if status >= 400:
            assert answer["status"] == status, (method, path, body, answer)

    try_one()
    assert server.request("GET", "/readyz")[0] == 200
