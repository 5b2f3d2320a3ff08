"""Callbacks as YAML, and their tests."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookyard.automations.yaml_file import check_file, read_file, run_case, write_file
from hookyard.callbacks.spec import CallbackSpec
from hookyard.conditions.conditions import Conditions
from hookyard.core.clock import SystemClock
from hookyard.core.errors import InvalidError

FILE = """
callbacks:
  - name: Blocked
    events: [task.status_changed]
    condition: ctx.taskStatus === 'blocked'
    prompt: "Why is {{taskTitle}} blocked?"
  - name: All
    events: [task.status_changed, task.created]
    prompt: "{{taskTitle}}"
    agent: helper
    merge: {enabled: true, windowMs: 100}
    loop: {maxChain: 5}
tests:
  - event: {eventName: task.status_changed, taskStatus: blocked, taskTitle: Login}
    expect: {Blocked: run, All: run}
    prompts: {Blocked: "Why is Login blocked?", All: Login}
  - event: {eventName: task.created}
    expect: {Blocked: listening}
    prompts: {All: 修复登录Bug}
  - event: {eventName: task.status_changed, taskStatus: todo}
    expect: {Blocked: condition}
  - event: {eventName: task.created}
    authorTrust: outsider
    expect: {All: author}
"""


WRITTEN = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\n\r\t \x85\u2028\u2029:#-|>'\"{}"))
"""Texts that JSON carries, with many of the signs that mean something in YAML."""

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from(" \u2028:#-|>'\"{}"), max_size=200)
"""The same as plain lines, as names are."""


@pytest.fixture
async def conditions() -> AsyncIterator[Conditions]:
    made = Conditions(SystemClock())
    yield made
    await made.close()


def test_what_is_written_reads_as_the_same() -> None:
    file = read_file(FILE)
    text = write_file(file.callbacks)
    assert read_file(text).callbacks == file.callbacks
    assert "timeoutSeconds" not in text
    assert "maxChain: 5" in text


@given(name=NAMES.map(str.strip).filter(bool), prompt=WRITTEN)
@example(name="2026-01-15", prompt="a\x85b\u2028c\u2029d\re\r\nf")
@example(name="yes", prompt="a\n\x85 b\n  c \n\n")
@example(name="null", prompt="\ufeff#|>- \t")
def test_any_text_is_written_so_that_it_is_read_as_the_same(name: str, prompt: str) -> None:
    spec = CallbackSpec.read({"name": name, "events": ["task.created"], "prompt": prompt})
    assert read_file(write_file([spec])).callbacks == (spec,)


async def test_tests_of_a_file(conditions: Conditions) -> None:
    file = read_file(FILE)
    for case in file.tests:
        assert await run_case(file, case, conditions) == []


async def test_what_is_not_as_expected_is_named(conditions: Conditions) -> None:
    file = read_file(FILE.replace("Blocked: run", "Blocked: condition").replace("All: Login", "All: Logout"))
    wrong = await run_case(file, file.tests[0], conditions)
    assert wrong[0] == "Blocked: expected condition, got run"
    assert "'Login'" in wrong[1]
    assert "'Logout'" in wrong[1]
    file = read_file(FILE.replace("ctx.taskStatus === 'blocked'", "ctx.a.b"))
    (wrong_text,) = await run_case(file, file.tests[0], conditions)
    assert "got condition (" in wrong_text


async def test_an_event_that_cannot_be(conditions: Conditions) -> None:
    file = read_file(FILE.replace("taskStatus: todo", "taskStatus: 5"))
    with pytest.raises(InvalidError):
        await run_case(file, file.tests[2], conditions)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("callbacks: [", ""),
        ("- x", None),
        ("other: 1", None),
        (FILE + "\nmore: 1", "more"),
        (FILE.replace("name: All", "name: Blocked"), "callbacks"),
        (FILE.replace("agent: helper", "agnet: helper"), "callbacks[1].agnet"),
        (FILE.replace("windowMs: 100", "windowMs: -1"), "callbacks[1].merge.windowMs"),
        (FILE.replace("Blocked: listening", "Blocked: maybe"), "tests[1].expect"),
        (FILE.replace("Blocked: listening", "Nobody: run"), "tests[1]"),
        (FILE.replace("authorTrust: outsider", "authorTrust: me"), "tests[3].authorTrust"),
        (FILE.replace("    authorTrust: outsider", "    autor: x"), "tests[3]"),
        (FILE.partition("tests:")[0] + "tests: 5", "tests"),
        (FILE.partition("tests:")[0] + "eventTypes: {a: 1}", "eventTypes"),
        (FILE + "5: x", "5"),
        (FILE.replace("expect: {Blocked: listening}", "expect: [Blocked]"), "tests[1].expect"),
        (FILE.replace("prompts: {All: 修复登录Bug}", "prompts: {All: 5}"), "tests[1].prompts"),
        (FILE.replace("authorTrust: outsider", "source: 5"), "tests[3].source"),
        (FILE.replace("authorTrust: outsider", "authorTrust: [member]"), "tests[3].authorTrust"),
        (FILE.replace("expect: {All: author}", ""), "tests[3]"),
        (FILE.replace("event: {eventName: task.created}\n    auth", "events: []\n    auth"), "tests[3]"),
        (
            FILE.replace("event: {eventName: task.created}\n    auth", "events: [{eventName: a}, {}]\n    auth"),
            "tests[3]",
        ),
        (FILE.replace("agent: helper", "agent: {kind: !!set {a}}"), "callbacks[1].agent"),
        (FILE + "eventTypes: [{name: a.b, variables: 5}]", "eventTypes[0]"),
        (FILE + "eventTypes: [{name: a.b, variables: [{name: 5, type: string, example: x}]}]", "eventTypes[0]"),
        (FILE + "eventTypes: [{name: task.created}]", "eventTypes[0].name"),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, field: str | None) -> None:
    with pytest.raises(InvalidError) as refused:
        read_file(text)
    if field is not None:
        assert field in [problem.field for problem in refused.value.problems]


OTHERS = """
eventTypes:
  - name: build.done
    description: A build is done
    variables: [{name: env, type: string, example: prod}, {name: ok, type: boolean, example: true}]
callbacks:
  - {name: Each, events: [build.done], condition: ctx.ok, prompt: "{{env}} {{ok}} {{batchSize}}"}
  - {name: Many, events: [build.done], condition: ctx.batchSize > 1, prompt: "{{batchSize}} {{env}}"}
tests:
  - {event: {eventName: build.done}, expect: {Many: condition}, prompts: {Each: prod true}}
  - {event: {eventName: build.done, ok: false}, expect: {Each: condition}}
  - events: [{eventName: build.done, env: a}, {eventName: build.done, env: b}, {eventName: build.done, ok: false}]
    prompts: {Each: b true 2, Many: 3 prod}
"""


async def test_declared_types_and_merged_events_can_be_tested(conditions: Conditions) -> None:
    file = read_file(OTHERS)
    assert await check_file(file, conditions) == []
    assert [await run_case(file, case, conditions) for case in file.tests] == [[], [], []]


async def test_a_date_is_a_text(conditions: Conditions) -> None:
    text = FILE.partition("tests:")[0].replace("{{taskTitle}}", "{{timestamp}}") + (
        "tests:\n"
        "  - event: {eventName: task.created, timestamp: 2026-01-15T09:00:00Z, createdBy: 2026-01-15}\n"
        "    prompts: {All: 2026-01-15T09:00:00Z}\n"
    )
    file = read_file(text)
    assert await run_case(file, file.tests[0], conditions) == []


async def test_an_event_that_is_no_json(conditions: Conditions) -> None:
    file = read_file(FILE.replace("taskStatus: todo", "taskStatus: !!set {a}"))
    with pytest.raises(InvalidError, match="JSON"):
        await run_case(file, file.tests[2], conditions)


@pytest.mark.parametrize(
    ("old", "new", "field", "place"),
    [
        ("events: [task.status_changed]", "events: [task.status_chnged]", "callbacks[0].events", None),
        ("Why is {{taskTitle}} blocked?", "Why is {{taskTitel}} blocked?", "callbacks[0].prompt", (1, 8)),
        ("Why is {{taskTitle}} blocked?", "Why is {{", "callbacks[0].prompt", (1, 8)),
        ("ctx.taskStatus === 'blocked'", "ctx.taskStatus ===", "callbacks[0].condition", (1, 19)),
        ("agent: helper", "concurrencyKey: nobody", "callbacks[1].concurrencyKey", None),
    ],
)
async def test_what_no_server_would_save_is_named(
    conditions: Conditions, old: str, new: str, field: str, place: tuple[int, int] | None
) -> None:
    found = await check_file(read_file(FILE.replace(old, new)), conditions)
    assert [one.field for one in found if one.severity == "error"] == [field]
    if place is not None:
        assert (found[0].line, found[0].column) == place


def test_yaml_without_end_is_refused() -> None:
    for text in ("[" * 20_000, "callbacks:\n" + "- " * 5_000 + "x"):
        with pytest.raises(InvalidError, match="nested too deeply"):
            read_file(text)


def test_yaml_that_would_build_objects_is_refused() -> None:
    with pytest.raises(InvalidError):
        read_file("callbacks: !!python/object/apply:os.system ['true']")


def test_an_inline_agent_survives() -> None:
    spec = CallbackSpec.read({"name": "x", "events": ["task.created"], "prompt": "x", "agent": {"kind": "dry-run"}})
    assert read_file(write_file([spec])).callbacks == (spec,)
