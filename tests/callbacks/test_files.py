"""Callbacks as YAML, and their tests."""

from collections.abc import AsyncIterator

import pytest

from hookyard.callbacks.condition import Conditions
from hookyard.callbacks.files import read_file, run_case, write_file
from hookyard.callbacks.spec import CallbackSpec
from hookyard.clock import SystemClock
from hookyard.errors import InvalidError
from hookyard.events.catalog import Catalog

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


async def test_tests_of_a_file(conditions: Conditions) -> None:
    file = read_file(FILE)
    for case in file.tests:
        assert await run_case(file, case, conditions, Catalog()) == []


async def test_what_is_not_as_expected_is_named(conditions: Conditions) -> None:
    file = read_file(FILE.replace("Blocked: run", "Blocked: condition").replace("All: Login", "All: Logout"))
    wrong = await run_case(file, file.tests[0], conditions, Catalog())
    assert wrong[0] == "Blocked: expected condition, got run"
    assert "'Login'" in wrong[1]
    assert "'Logout'" in wrong[1]
    file = read_file(FILE.replace("ctx.taskStatus === 'blocked'", "ctx.a.b"))
    (wrong_text,) = await run_case(file, file.tests[0], conditions, Catalog())
    assert "got condition (" in wrong_text


async def test_an_event_that_cannot_be(conditions: Conditions) -> None:
    file = read_file(FILE.replace("taskStatus: todo", "taskStatus: 5"))
    with pytest.raises(InvalidError):
        await run_case(file, file.tests[2], conditions, Catalog())


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
    ],
)
def test_mistakes_are_named_with_their_place(text: str, field: str | None) -> None:
    with pytest.raises(InvalidError) as refused:
        read_file(text)
    if field is not None:
        assert field in [problem.field for problem in refused.value.problems]


def test_yaml_that_would_build_objects_is_refused() -> None:
    with pytest.raises(InvalidError):
        read_file("callbacks: !!python/object/apply:os.system ['true']")


def test_an_inline_agent_survives() -> None:
    spec = CallbackSpec.read({"name": "x", "events": ["task.created"], "prompt": "x", "agent": {"kind": "dry-run"}})
    assert read_file(write_file([spec])).callbacks == (spec,)
