"""What other rooms say in English is known in Chinese: the sentences of errors, reasons and notes that a page can show,
read from the sources."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookyard.core import errors
from hookyard.core.message_catalog import catalogue
from hookyard.web.pages.language import language
from hookyard.web.pages.messages import ATTEMPTS, LONGEST, MessageTranslator, chinese, sentences

SOURCE = Path(errors.__file__).resolve().parents[1]
# Rooms whose errors reach a page. Not: doors for programs only, and what a model is told (ToolError).
ROOMS = (
    "workspace/*.py",
    "callbacks/model.py",
    "callbacks/spec.py",
    "callbacks/event_types.py",
    "callbacks/history.py",
    "runs/*.py",
    "agents/*.py",
    "web/*.py",
    "web/pages/*.py",
    "store/live_settings.py",
)
ELSEWHERE = ("agent_tools.py", "mcp_server.py", "post_back.py")
KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type)} | {
    "AgentError", "BudgetError", "TimeLimitError", "PromptDeniedError", "Problem", "note", "_refused",
}  # fmt: skip


def text_of(node: ast.expr) -> str | None:
    """A literal, each value that is put in as `x1`; None for what is put together elsewhere."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "x1" for part in node.values)
    return None


def sentences_of(tree: ast.AST) -> Iterator[str]:
    """What is said by errors, problems and notes in a file."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
        if name not in KINDS:
            continue
        index = 1 if name in ("Problem", "_refused") else 0
        said = [call.args[index]] if len(call.args) > index else []
        said += [keyword.value for keyword in call.keywords if keyword.arg in ("hint", "reason")]
        yield from (text for node in said if (text := text_of(node)))


def every_sentence() -> list[tuple[str, str]]:
    """File and sentence."""
    found: set[tuple[str, str]] = set()
    for room in ROOMS:
        for path in SOURCE.glob(room):
            if path.name not in ELSEWHERE:
                said = sentences_of(ast.parse(path.read_text(encoding="utf-8")))
                # Codes of the catalogue have their own test.
                texts = [text for text in said if re.search(r"[a-z]{3}", text) and text not in catalogue("en")]
                found.update((str(path.relative_to(SOURCE)), text) for text in texts)
    return sorted(found)


def test_the_sentences_that_a_page_can_show_are_known_in_chinese() -> None:
    found = every_sentence()
    assert len(found) > 100
    # A value with an error put in says nothing without that error.
    unknown = [one for one in found if chinese(one[1].replace("value x1", "value is empty; write something")) is None]
    # A sentence that somebody has just added elsewhere is shown in English until it is added to the file.
    assert len(unknown) < len(found) / 20, unknown


def test_the_translations_put_in_what_the_sentences_carry() -> None:
    field = re.compile(r"\{([a-z]+)\}")
    extra = {
        english: said
        for english, said in sentences().items()
        if not set(field.findall(said)) <= set(field.findall(english))
    }
    assert extra == {}


@pytest.mark.parametrize(
    ("english", "said"),
    [
        ("there is no such run", "没有这个运行"),
        ("cancelled by Wang Wu", "由 Wang Wu 取消"),
        ("the agent profile 'x' cannot be used: give an absolute path", "Agent 配置 'x' 无法使用：请填绝对路径"),
        (
            "its worker was stopped, in attempt 3 of at most 3",
            "它的工作进程被停止，这是第 3 次尝试，最多 3 次",
        ),
        (
            "TypeError: cannot read property 'status' of undefined (1:12)",
            "TypeError：无法读取 undefined 的属性 'status'（1:12）",
        ),
        ("agent.model: git is not installed (try again)", "agent.model：没有安装 git（请重试）"),
        ("the command pytest ended with code 3\nE   assert", "命令 pytest 以代码 3 结束\nE   assert"),
        (
            "'ten' is not a number; give a whole number from 1 to 1e+06, such as 100",
            "'ten' 不是数字；请填 1 到 1e+06 之间的值，例如 100",
        ),
    ],
)
def test_sentences_within_sentences(english: str, said: str) -> None:
    assert chinese(english) == said
    assert str(language("zh-CN").message(english).unescape()) == said
    assert str(language("en").message(english).unescape()) == english


@pytest.mark.parametrize(
    "text",
    [
        "a: b; c (d)" * 180,
        "a: b; c (d)" * 30,
        ": " * 200,
        "; " * 200,
        "(" * 400,
        "x failed: " * 40,
        "{error} at attempt " * 20,
        "TypeError: " * 36,
        "the agent profile x cannot be used: " * 11,
    ],
)
def test_the_work_is_bounded_whatever_others_have_written(text: str) -> None:
    reading = MessageTranslator()
    reading.said(text[:LONGEST])
    # What can be compared is compared part by part: with the length of a message bounded too, that is all of it.
    assert reading.left >= 0
    assert ATTEMPTS * LONGEST <= 400_000


@pytest.mark.parametrize("half", ["gate denied: no such task", "HTTP 500 at attempt 3: x", "one thing; try again"])
def test_what_is_not_known_whole_is_not_translated_by_halves(half: str) -> None:
    assert chinese(half) is None


@pytest.mark.parametrize("own", ["Bank B answers: after 30 s", "a person's own words (here)", "", "x" * 5000])
def test_what_nobody_has_translated_stays_as_it_is(own: str) -> None:
    assert chinese(own) is None
    assert language("zh-CN").message(own).unescape() == own
    assert language("zh-CN").message("<b>") == "&lt;b&gt;"
