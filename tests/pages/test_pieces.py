"""The parts that pages are made of: differences, timeline, prose, plots, gates, the callback form."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookyard.callbacks.spec import CallbackSpec
from hookyard.core.errors import InvalidError
from hookyard.core.ids import BatchId, CallbackId, earliest
from hookyard.core.verdicts import GATES, GateVerdict
from hookyard.events.catalog import Value
from hookyard.intake.trace import CallbackVerdict
from hookyard.web.pages.automations import as_yaml, read_yaml
from hookyard.web.pages.differences import WORK, differences, work_of
from hookyard.web.pages.events import summary
from hookyard.web.pages.form import Form
from hookyard.web.pages.gates import line_of
from hookyard.web.pages.highlight import javascript, json_text
from hookyard.web.pages.language import language
from hookyard.web.pages.markdown import render_markdown
from hookyard.web.pages.plots import Tick, columns, nice_top, ticks
from hookyard.web.pages.preview import pieces
from hookyard.web.pages.queries.cursor import number_and_id, with_number
from hookyard.web.pages.queries.runs import TimelineEntry
from hookyard.web.pages.sign_in import inside
from hookyard.web.pages.spec_form import fields_of, spec_of
from hookyard.web.pages.timeline import Assembly
from hookyard.web.pages.webhooks import waterfall

TEXT = st.text(alphabet="ab c<>&\"'`*#-1.\n{}中", max_size=60)


def stripped(html: object) -> str:
    return re.sub(r"<[^>]*>", "", str(html)).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


@given(before=TEXT, after=TEXT)
def test_differences_hold_both_texts(before: str, after: str) -> None:
    lines = differences(before, after)
    plain = {kind: [str(line.text.striptags()) for line in lines if line.kind == kind] for kind in ("gone", "new")}
    changed = set(before.splitlines()) ^ set(after.splitlines())
    for text in changed:
        assert " ".join(text.split()) in [" ".join(t.split()) for t in (*plain["gone"], *plain["new"])] or "<" in text
    if before.splitlines() == after.splitlines():
        assert not plain["gone"]
        assert not plain["new"]


def test_only_the_changed_words_are_marked() -> None:
    gone, new = differences("kubectl logs a --since=24h", "kubectl logs a --since=1h --limit=1")
    assert "<mark>--since=24h</mark>" in gone.text
    assert "kubectl logs a <mark>" in new.text


@given(TEXT)
def test_nothing_that_is_shown_makes_elements_of_its_own(text: str) -> None:
    for made, allowed in (
        (render_markdown(text), {"p", "br", "code", "b", "ul", "ol", "li", "pre"}),
        (javascript(text), {"span"}),
        (json_text(text), {"span"}),
    ):
        assert set(re.findall(r"</?([a-z]+)", str(made))) <= allowed
        assert not re.search(r"<(?!/?[a-z]+[ >])", str(made))


@pytest.mark.parametrize(
    ("before", "after"),
    [("\n" * 9000 + "x", "y" + "\n" * 9000), ("a " * 9000, "b " * 9000), ("a\nb\n" * 4000, "b\na\n" * 4000)],
)
def test_texts_that_would_take_long_to_compare_are_shown_without(before: str, after: str) -> None:
    assert work_of(before, after) > WORK
    lines = differences(before, after)
    assert {line.kind for line in lines} <= {"gone", "new"}
    assert len(lines) == len(before[:20_000].splitlines()) + len(after[:20_000].splitlines())


def test_a_long_text_with_a_small_change_is_compared() -> None:
    text = "\n".join(f"{n} of a text" for n in range(1400))
    changed = text.replace("\n450 of", "\n450 in")
    assert work_of(text, changed) <= WORK
    assert [line.kind for line in differences(text, changed)].count("gone") == 1


def test_the_differences_of_one_run_have_one_bound() -> None:
    assembly = Assembly()
    words = [" ".join(f"{letter}{n}" for n in range(450)) for letter in "ab"]
    verdict = {"webhook": "gate", "result": "modify", "before": words[0], "after": words[1]}
    assembly.add(
        entry(seq, "decision", callId=str(seq), point="pre_tool", result="modify", verdicts=[verdict])
        for seq in range(40)
    )
    assert assembly._work == 0


def test_prose_knows_lists_code_and_bold() -> None:
    made = str(render_markdown("Do **this**:\n\n1. `a`\n2. b\n\n- c\n\n```\n<x>\n```"))
    assert "<b>this</b>" in made
    assert "<ol><li><code>a</code></li><li>b</li></ol>" in made
    assert "<ul><li>c</li></ul>" in made
    assert "&lt;x&gt;" in made


def entry(seq: int, kind: str, attempt: int = 1, **data: Any) -> TimelineEntry:
    return TimelineEntry(seq, attempt, 100.0 + seq, kind, data)


def test_a_call_its_decision_and_its_result_are_one_item() -> None:
    assembly = Assembly()
    verdict = {"webhook": "gate", "result": "modify", "before": '{"command": "a b"}', "after": '{"command": "a c"}'}
    first = assembly.add([entry(1, "tool_call", callId="x", name="bash", args='{"command": "a b"}')])
    second = assembly.add([entry(2, "decision", callId="x", result="modify", verdicts=[verdict])])
    third = assembly.add([entry(3, "tool_result", callId="x", result="done", success=True, durationMs=3, ran=True)])
    assert [item.key for item in (*first, *second, *third)] == ["e1"] * 3
    item = assembly.items["e1"]
    assert (item.text, item.result, item.seq) == ("bash", "done", 3)
    assert [line.kind for line in item.verdicts[0].lines] == ["gone", "new"]
    assert assembly.decisions == {"gate": {"modify": 1}}


def test_what_was_let_pass_is_only_counted() -> None:
    assembly = Assembly()
    verdicts = [{"webhook": "a", "result": "ok"}, {"webhook": "b", "result": "ok"}]
    assembly.add([entry(1, "decision", point="session_start", verdicts=verdicts)])
    assert not assembly.items
    assembly.add(
        [entry(2, "tool_call", callId="x", name="bash", args="{"), entry(3, "decision", callId="x", verdicts=verdicts)]
    )
    assert assembly.items["e2"].allowed == 2
    assert assembly.items["e2"].args == {"": "{"}


def test_the_same_call_id_of_another_attempt_is_another_call() -> None:
    assembly = Assembly()
    assembly.add(
        [entry(1, "tool_call", callId="x", name="a", args=""), entry(2, "tool_call", 2, callId="x", name="b", args="")]
    )
    changed = assembly.add([entry(3, "tool_result", 2, callId="x", result="r")])
    assert [item.text for item in changed] == ["b"]
    assert [item.kind for item in assembly.items.values()] == ["tool", "attempt", "tool"]


def test_tokens_of_a_turn_are_the_difference_of_totals() -> None:
    assembly = Assembly()
    totals = [(1, 1, 100, 10), (1, 2, 250, 30), (1, 2, 250, 32), (1, 3, 250, 32), (2, 1, 90, 5), (2, 2, 40, 9)]
    changed = assembly.add(
        TimelineEntry(seq, attempt, 0.0, "usage", {"turn": turn, "inputTokens": sent, "outputTokens": made})
        for seq, (attempt, turn, sent, made) in enumerate(totals)
    )
    assert [item.kind for item in changed] == ["attempt"]
    # Nothing of a turn that used nothing, nor of one whose agent counts backwards.
    assert assembly.turns == [(100, 10), (150, 22), (90, 5)]


def test_what_was_inserted_into_a_prompt_is_marked_where_it_is_certain() -> None:
    ctx: dict[str, Value] = {"taskId": "task-1", "retryCount": 2}
    marked = pieces("{{taskId}}: {{retryCount}}{{gone}}", "task-1: 2", ctx)
    assert [(one.kind, one.text) for one in marked] == [("put", "task-1"), ("text", ": "), ("put", "2"), ("blank", "")]
    assert [one.text for one in pieces("{{taskId}}", "<fenced>task-1", ctx)] == ["<fenced>task-1"]
    assert [one.text for one in pieces("{{ broken", "as it was", ctx)] == ["as it was"]


def test_a_message_that_comes_in_pieces_is_one() -> None:
    assembly = Assembly()
    assembly.add([entry(1, "message", role="assistant", text="one"), entry(2, "message", role="assistant", text="two")])
    assert [item.text for item in assembly.items.values()] == ["one\n\ntwo"]


def verdict_of(verdict: GateVerdict, **other: Any) -> CallbackVerdict:
    detail = {"reason": "why"} if verdict.gate is not None else {}
    return CallbackVerdict(CallbackId("cb"), 1, "Name", ("a.b",), verdict, detail, **other)


@pytest.mark.parametrize(
    ("verdict", "stopped_at", "shape"),
    [
        (GateVerdict.NOT_LISTENING, 0, "stop"), (GateVerdict.DISABLED, 0, "stop"), (GateVerdict.CHANGED, 0, "stop"),
        (GateVerdict.AUTHOR, 1, "stop"), (GateVerdict.CONDITION, 2, "stop"), (GateVerdict.CONDITION_ERROR, 2, "bad"),
        (GateVerdict.DUPLICATE, 3, "stop"), (GateVerdict.OPERATION, 4, "stop"), (GateVerdict.LOOP, 6, "loop"),
        (GateVerdict.QUOTA, 7, "stop"), (GateVerdict.SKIPPED, 8, "stop"),
    ],
)  # fmt: skip
def test_a_line_of_gates_ends_where_it_was_stopped(verdict: GateVerdict, stopped_at: int, shape: str) -> None:
    line = line_of(verdict_of(verdict), language("en"))
    assert line.states[:stopped_at] == ("pass",) * stopped_at
    assert line.states[stopped_at] == shape
    assert set(line.states[stopped_at + 1 :]) <= {"rest"}
    assert len(line.states) == len(GATES)


@pytest.mark.parametrize("verdict", [GateVerdict.MERGED, GateVerdict.QUEUED])
def test_a_merged_and_a_started_line_go_through(verdict: GateVerdict) -> None:
    words = language("zh-CN")
    merged = line_of(verdict_of(verdict, batch_id=BatchId("bat"), batch_size=4), words)
    assert merged.states[5] == "joined"
    assert "4" in merged.reason
    assert set(line_of(verdict_of(GateVerdict.QUEUED), words).states) == {"pass"}


def test_a_strip_says_what_it_shows() -> None:
    made = str(ticks([Tick("ok", "a\nb", "/x"), Tick("run", "<c>")], "1 <ok>", slots=3))
    assert 'aria-label="1 &lt;ok&gt;"' in made
    assert 'data-tips="\na b\n&lt;c&gt;"' in made
    assert 'data-links="- /x -"' in made


@given(st.integers(0, 10**9))
def test_the_top_of_a_plot_is_round_and_near(value: int) -> None:
    top = nice_top(value)
    assert top >= value
    assert top % 5 == 0
    assert top <= max(5, 2.5 * value + 5)


def test_columns_never_leave_the_plot() -> None:
    made = str(columns([{"ok": 100, "err": 3}], ["tip"], 5, "label"))
    assert not re.search(r'y="-', made)


def test_attempts_fall_along_one_line() -> None:
    fall = waterfall(
        {
            "attempts": [
                {"at": 10.0, "duration_ms": 100.0, "error": "x"},
                {"at": 10.2, "duration_ms": 50.0, "error": None},
            ]
        }
    )
    assert fall["ms"] == pytest.approx(250)
    first, second = (row["parts"] for row in fall["rows"])
    assert [part[0] for part in first] == ["err", "soft"]
    assert second[0][1] == pytest.approx(0.8)


def form_of(spec: CallbackSpec) -> Form:
    """What a browser would send back of the form that shows a callback."""
    sent: dict[str, list[str]] = {}
    for name, value in fields_of(spec.as_dict()).items():
        if isinstance(value, list):
            sent[name] = value
        elif isinstance(value, bool):
            sent |= {name: ["on"]} if value else {}
        else:
            sent[name] = ["" if value is None else str(value)]
    return Form(sent)


SPECS = st.builds(
    lambda **fields: CallbackSpec.read(fields),
    name=st.text("ab中 x", min_size=1, max_size=9).filter(lambda t: t == t.strip() and t),
    enabled=st.booleans(),
    events=st.lists(st.sampled_from(["task.created", "task.updated"]), min_size=1, max_size=2, unique=True),
    prompt=st.text("ab{} \n", max_size=20),
    condition=st.sampled_from(["", "ctx.a === 1"]),
    agent=st.sampled_from(["", "codex"]),
    timeoutSeconds=st.sampled_from([None, 900]),
    dedupe=st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "windowMs": st.integers(1, 9000)}),
    merge=st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "windowMs": st.integers(1, 9000)}),
    concurrencyKey=st.sampled_from([None, "taskId"]),
    loop=st.fixed_dictionaries({"allowSelf": st.booleans()}, optional={"maxChain": st.integers(0, 9)}),
    fence=st.sampled_from(["auto", "always", "never"]),
    afterCrash=st.sampled_from(["restart", "fail"]),
    authors=st.sampled_from([None, "members"]),
)


@given(SPECS)
def test_the_form_gives_back_the_callback_that_it_shows(spec: CallbackSpec) -> None:
    assert spec_of(form_of(spec)) == spec


@given(SPECS)
def test_yaml_gives_back_the_callback_that_it_shows(spec: CallbackSpec) -> None:
    if spec.prompt:
        assert read_yaml(as_yaml(spec)) == [spec]


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "x", "name: 1\n", "&a [*a]"])
def test_yaml_that_is_no_callback_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        read_yaml(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- &a {name: x, events: [*a], prompt: p}", "aliases"),
        ("- {name: &a [x], events: *a, prompt: p}", "aliases"),  # nine such lines would be gigabytes
        ("[" * 5_000 + "]" * 5_000, "nested too deeply"),
        ("- " * 5_000 + "x", "nested too deeply"),
    ],
)
def test_yaml_that_would_be_more_than_there_is_room_for_is_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        read_yaml(text)


@pytest.mark.parametrize(
    "address", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", "x", ""]
)
def test_sign_in_leads_nowhere_else(address: str) -> None:
    assert inside(address) == "/"


def test_cursors() -> None:
    assert number_and_id(with_number((12.5, "a~b"))) == (12.5, "a~b")
    assert [number_and_id(text) for text in ("", "x~y", "nan~y", "1")] == [None] * 4
    assert earliest("run", 0) < earliest("run", 1) < earliest("run", 2e9)


def test_an_event_in_a_few_words() -> None:
    en, zh = language("en"), language("zh-CN")
    assert summary(zh, {"taskStatus": "in_progress"}) == "进行中"
    assert summary(en, {"taskStatus": "made <up>"}) == "made <up>"
    assert summary(en, {"changes": '{"status": "blocked", "labels": ["a"]}'}) == 'status: blocked, labels: ["a"]'
    assert summary(en, {"changes": "no json", "taskStatus": "todo"}) == "no json"
    assert summary(en, {"commentContent": "x" * 300}) == "x" * 200 + "…"
    assert summary(en, {}) == ""
