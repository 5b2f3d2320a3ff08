"""What holds for every template and every value."""

import re

from hypothesis import given
from hypothesis import strategies as st

from hookyard.callbacks.template import Fence, check, parse
from hookyard.core.errors import InvalidError
from hookyard.events.catalog import Catalog
from hookyard.events.model import AuthorTrust

CREATED = Catalog().select(["task.created"])
PIECES = st.lists(
    st.sampled_from(["{", "}", "{{", "}}", "\\", "{{taskId}}", "{{ x }}", " ", "\n", "a", "任"]) | st.text(max_size=3)
)


@given(PIECES.map("".join))
def test_a_template_is_read_or_every_mistake_has_a_place_in_it(text: str) -> None:
    try:
        template = parse(text)
    except InvalidError as refused:
        lines = text.split("\n")
        for problem in refused.problems:
            assert problem.line is not None
            assert problem.column is not None
            assert lines[problem.line - 1][problem.column - 1 :].startswith("{{")
    else:
        mistakes = check(text, ()) if text.strip() else []
        assert [text.split("\n")[(p.line or 0) - 1][(p.column or 0) - 1] for p in mistakes] == ["\x00"] * (
            "\x00" in text
        )
        for place in template.placeholders:
            assert text.split("\n")[place.line - 1][place.column - 1 :].startswith("{{")


@given(st.text())
def test_any_text_can_be_written_literally(text: str) -> None:
    literal = re.sub(r"\{(?=\{)", "{{0}}", text).replace("{{0}}", "{{open}}")
    assert parse(literal).render({"open": "{"}, fence=Fence.NEVER) == text


@given(st.text(), st.text())
def test_inserted_text_is_never_scanned(value: str, other: str) -> None:
    assert parse("<{{a}}|{{b}}>").render({"a": value, "b": other}, fence=Fence.NEVER) == f"<{value}|{other}>"


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_value_holds_the_mark_of_its_fence(title: str, creator: str) -> None:
    ctx = {"taskTitle": title, "createdBy": creator}
    template = parse("{{taskTitle}}\n{{createdBy}}")
    by_people = CREATED[0].by_people
    prompt = template.render(ctx, author_trust=AuthorTrust.OUTSIDER, by_people=by_people)
    mark = prompt.split("<", 1)[1].split(" ", 1)[0]
    assert mark not in title + creator
    assert prompt.endswith(f'<{mark} name="taskTitle">{title}</{mark}>\n<{mark} name="createdBy">{creator}</{mark}>')
    assert template.render(ctx, author_trust=AuthorTrust.MEMBER, by_people=by_people) == f"{title}\n{creator}"
