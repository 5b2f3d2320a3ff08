"""The catalog is the seed's tables, and nothing else is."""

import re
from pathlib import Path

import pytest

from hookyard.core.errors import InvalidError
from hookyard.events.catalog import BATCH, BUILT_IN, COMMON, Catalog, VariableType, declare


def test_the_events_and_their_variables_are_those_of_the_seed(shared: Path) -> None:
    seed = (shared / "seeds" / "event-callback.zh.txt").read_text(encoding="utf-8")
    rows = re.findall(r"^((?:task|conversation|workspace)\.[a-z_]+)([^\x00-\x7f]+)([A-Za-z, ]+)$", seed, re.MULTILINE)
    assert len(rows) == 11
    assert [(name, zh, tuple(v.split(", "))) for name, zh, v in rows] == [
        (t.name, t.meaning_zh, tuple(v.name for v in t.variables)) for t in BUILT_IN
    ]


def test_types_and_examples_are_those_of_the_seed(shared: Path) -> None:
    seed = (shared / "seeds" / "event-callback.zh.txt").read_text(encoding="utf-8")
    rows = re.findall(r"^([A-Za-z]+)(string|number|boolean)([^\x00-\x7f].*)$", seed, re.MULTILINE)
    table = {name: (kind, rest) for name, kind, rest in rows}
    variables = {v.name: v for v in (*COMMON, *BATCH, *(v for t in BUILT_IN for v in t.variables))}
    assert set(table) == set(variables)
    for name, variable in variables.items():
        kind, rest = table[name]
        assert variable.type == kind, name
        meaning = variable.meaning_zh.replace("（", "(").replace("）", ")")  # the seed has half-width brackets
        assert rest.startswith(meaning), name
        example = rest.removeprefix(meaning).removesuffix("...").rstrip("-.")
        if "..." not in rest:
            shown = str(variable.example).lower() if variable.type is not VariableType.STRING else variable.example
            assert shown == example, name


@pytest.mark.parametrize("event_type", BUILT_IN, ids=lambda t: t.name)
def test_a_sample_carries_exactly_what_the_event_carries(event_type) -> None:  # type: ignore[no-untyped-def]
    assert set(event_type.sample) == event_type.readable
    assert event_type.sample["eventName"] == event_type.name
    assert event_type.subject in event_type.types


def test_a_declared_type_joins_the_catalog() -> None:
    deploy = declare(
        "deploy.finished", [("service", "string", "api"), ("seconds", "number", 12.5), ("ok", "boolean", True)]
    )
    catalog = Catalog([deploy])
    assert [t.name for t in catalog] == [*(t.name for t in BUILT_IN), "deploy.finished"]
    assert catalog.get("deploy.finished") is deploy
    assert deploy.by_people == {"service", "events"}
    assert "deploy.finished" not in Catalog()


def test_what_cannot_be_declared_is_named() -> None:
    with pytest.raises(InvalidError) as refused:
        declare(
            "task.created",
            [("id", "string", ""), ("9x", "string", ""), ("n", "number", "1"), ("k", "date", "1"), ("n", "number", 1)],
        )
    assert [p.field for p in refused.value.problems] == [
        "name",
        "variables.id",
        "variables.9x",
        "variables.n",
        "variables.k",
        "variables.n",
    ]


def test_an_unknown_event_is_named_with_the_one_that_was_meant() -> None:
    [problem] = Catalog().check(["task.created", "task.status_change"])
    assert "task.status_changed" in problem.message
    assert Catalog().check([])
