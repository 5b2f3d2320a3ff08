"""Prose uses the field's words: a word list for English, full-width punctuation for Chinese.

To check more files, add paths to `PROSE`. Fenced code and code spans are not checked in Markdown.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Word (a regular expression, matched as a whole word) and what to write instead.
WORDS = {
    r"mend(s|ed|ing)?": "fix, hint",
    r"doors?": "inbound webhook, endpoint",
    r"rooms?": "package, layer; space",
    r"letters? (of|for) (an event|verdicts?)": "verdict",
    r"keepers?": "supervisor process",
    r"owed|owes": "pending",
    r"anew": "again",
    r"beside": "next to, with, in addition to",
    r"for ever": "without limit, permanently",
    r"nobody|somebody|whoever|whosoever": "name the actor",
    r"told|tells of|is told": "notified, reported, configured",
    r"heard|hears? of|unheard": "received, notified",
    r"that there (is|are) not": "unknown, missing",
    r"what becomes of|what became of|what comes of": "state, result",
    r"taken for": "treated as",
    r"time[- ]machines?": "backtest",
    r"newcomers?": "reader, new contributor",
    r"the house|house style": "project",
    r"a fault of (the server|hookyard)'s own": "internal error",
    r"trouble": "problem, error",
    r"unwanted": "unmatched",
    r"begun again": "restarted",
    r"lest|thereof|therein|wherein|hereby": "plain words",
}
PATTERN = re.compile("|".join(rf"(?P<w{n}>\b(?:{word})\b)" for n, word in enumerate(WORDS)), re.IGNORECASE)
HINTS = list(WORDS.values())

SOURCE = ROOT / "src" / "hookyard"
PROSE = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^(?P<mark>```|~~~).*?^(?P=mark)[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`|\]\([^)\s]*\)|<!--.*?-->|https?://[^\s)）]+", re.DOTALL)
_HAN = r"[\u3400-\u9fff\u3001-\u303f\uff01-\uff60“”]"
# A half-width mark next to a Chinese character, or next to code that stands next to one.
HALF_WIDTH = re.compile(rf"(?<={_HAN})[ \ufffc]*[,;:?!()]|[,;:?!()][ \ufffc]*(?={_HAN})")
_INSIDE = re.compile(r"[\u3400-\u9fff]\n(?=[ \t]*[\u3400-\u9fff])")


def prose(text: str) -> str:
    """Return Markdown with its code, links' targets and comments blanked; lines and columns stay where they are."""

    def blank(match: re.Match[str]) -> str:
        return re.sub(r"[^\n]", "\ufffc", match[0])

    return _CODE.sub(blank, _FENCE.sub(blank, text))


def old_words(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and a hint for each word of the list."""
    for match in PATTERN.finditer(text):
        hint = HINTS[int((match.lastgroup or "w0")[1:])]
        yield text.count("\n", 0, match.start()) + 1, f"“{match[0]}”: write {hint}"


def half_width(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line number and the place of each half-width mark next to Chinese text, and of breaks inside it."""
    for match in HALF_WIDTH.finditer(text):
        around = text[max(0, match.start() - 8) : match.end() + 8].replace("\n", " ").replace("\ufffc", "")
        yield text.count("\n", 0, match.start()) + 1, f"“{around}”: use full-width punctuation"
    for match in _INSIDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, "line break inside a Chinese sentence: join the lines"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PROSE, ids=named)
def test_prose_uses_the_words_of_the_field(path: Path) -> None:
    text = prose(path.read_text(encoding="utf-8"))
    # AGENTS.md lists the words that are not used.
    text = re.sub(r"^\| Not \| But \|.*?(?=^$)", "", text, flags=re.MULTILINE | re.DOTALL)
    assert [f"{named(path)}:{line}: {hint}" for line, hint in old_words(text)] == []


@pytest.mark.parametrize("path", PROSE, ids=named)
def test_chinese_prose_has_full_width_punctuation(path: Path) -> None:
    assert [f"{named(path)}:{n}: {hint}" for n, hint in half_width(prose(path.read_text(encoding="utf-8")))] == []


def test_chinese_pages_use_the_words_of_the_glossary() -> None:
    words = {
        "智能体": "Agent",
        "关口": "关卡",
        "闸门": "关卡",
        "Prompt": "提示词",
        "时间机器": "回测",
        "看护进程": "监护进程",
    }
    found = [
        f"{named(path)}: {word}: write {better}"
        for path in PROSE
        if path.name.endswith(".zh-CN.md")
        for word, better in words.items()
        if word in prose(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_every_word_of_the_list_is_found() -> None:
    samples = [
        "the mend",
        "a door",
        "rooms below",
        "what is owed",
        "told",
        "beside it",
        "For ever",
        "variables that there are not",
    ]
    assert all(list(old_words(sample)) for sample in samples)
    assert list(old_words("the outdoor roommate recommended it")) == []


@pytest.mark.parametrize("text", ["事件,条件", "事件 (条件)", "`a`:条件", "条件`a`,`b`", "条件:`a`", "一句\n话"])
def test_half_width_marks_are_found(text: str) -> None:
    assert list(half_width(prose(text)))


@pytest.mark.parametrize(
    "text", ["事件，条件", "1,000 个事件", "`a(b, c)` 条件", "见 [a](b.md#c:d)", "```\n事件,条件\n```\n", "a, b (c)"]
)
def test_other_marks_are_left_alone(text: str) -> None:
    assert list(half_width(prose(text))) == []


def explanations(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line number and text of each line of a module's comments and docstrings, without names of parameters."""
    source = path.read_text(encoding="utf-8")
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                yield number, re.sub(r"`[^`]*`|^\s*\w+:", "", lines[number - 1])
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], re.sub(r"`[^`]*`", "", token.string)


@pytest.mark.parametrize(
    "package", sorted(p.name for p in SOURCE.iterdir() if p.suffix == ".py" or (p.is_dir() and p.name[0] != "_"))
)
def test_docstrings_and_comments_use_the_words_of_the_field(package: str) -> None:
    paths = [SOURCE / package] if package.endswith(".py") else sorted((SOURCE / package).rglob("*.py"))
    found = [
        f"{named(path)}:{number}: {hint}"
        for path in paths
        for number, text in explanations(path)
        for _, hint in old_words(text)
    ]
    assert found == []
