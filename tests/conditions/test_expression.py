"""What reading a condition says of it, without an engine."""

import pytest

from hookyard.conditions.expression import normal, read, reads_batch


@pytest.mark.parametrize(
    ("expression", "variables"),
    [
        ("ctx.a === 'x' && ctx.b < 3", ["a", "b"]),
        ("ctx?.a ?? ctx?.['b'] ?? ctx['c']", ["a", "b", "c"]),
        ("ctx . a", ["a"]),
        ("other.ctx.a", []),
        ("'ctx.a' + \"ctx.b\" + `ctx.c ${ctx.d} ctx.e ${`${ctx.f}`} ctx.g`", ["d", "f"]),
        ("/ctx.a/.test(ctx.b) // ctx.c", ["b"]),
        ("ctx.a / ctx.b / ctx.c", ["a", "b", "c"]),
        ("/* ctx.a */ ctx.b", ["b"]),
        ("ctx.任务", ["任务"]),
        (r"ctx['\u0061']", ["a"]),
        ("ctx[name]", []),
        ("ctx.hasOwnProperty('x')", []),
        ("(({a, b: c, ...rest}) => a && c)(ctx)", ["a", "b"]),
        ("((x) => x)(ctx)", []),
        ("Object.keys(ctx).length", []),
        ("[/[/]ctx.a/, ctx.b]", ["b"]),
    ],
)
def test_the_variables_that_a_condition_reads(expression: str, variables: list[str]) -> None:
    assert list(read(expression).variables) == variables


@pytest.mark.parametrize(
    "expression", ["ctx.batch", "ctx.batchSize > 3", "JSON.parse(ctx['events'])", "(({batch}) => batch)(ctx)"]
)
def test_what_asks_about_a_batch(expression: str) -> None:
    assert reads_batch(expression)


@pytest.mark.parametrize(
    "expression", ["", "ctx.batches", "'ctx.batch' === ctx.a", "events.batch", "ctx.a.batch", "// ctx.batch"]
)
def test_what_does_not_ask_about_a_batch(expression: str) -> None:
    assert not reads_batch(expression)


@pytest.mark.parametrize(
    ("expression", "alone"),
    [
        ("taskStatus === 'blocked' && ctx.a", ["taskStatus", "ctx"]),
        ("ctx.taskStatus === 'taskStatus' // taskStatus", ["ctx"]),
        ("ctx?.taskStatus", ["ctx"]),
        ("({taskStatus: 1, a})[ctx.b]", ["a", "ctx"]),
        ("ctx.a ? taskStatus : 1", ["ctx"]),  # not seen, and so not claimed
        ("`${taskStatus}`", ["taskStatus"]),
        ("((taskStatus) => taskStatus)(ctx.a)", []),
        ("(function (a) { return a })(b)", []),
        ("ctx.a >= taskId", ["ctx", "taskId"]),
    ],
)
def test_the_names_that_stand_alone(expression: str, alone: list[str]) -> None:
    assert list(read(expression).alone) == alone


def test_one_semicolon_may_follow() -> None:
    assert [normal(t) for t in (" a ; \n", "a;;", ";", " ", "\ufeff", "a // b")] == [" a", "a;", ";", "", "", "a // b"]


@pytest.mark.parametrize("hostile", ["/*" * 5000, "'" * 9999, "`${" * 3000, "/" * 9999, "ctx.(" * 2000, "\\" * 9999])
def test_reading_ends_whatever_is_written(hostile: str) -> None:
    read(hostile)
