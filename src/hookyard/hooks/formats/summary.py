"""What a chat message says, before any service's markup: which agent, what it does, where, and the result.

Used by the chat formats, which only lay it out. Everything here is untrusted text of the agent: it is bounded and freed
of unseen characters, and each format escapes it for its own service.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hookyard.hooks.formats.base import Body
from hookyard.hooks.formats.fitting import clip_lines, cut, one_line, visible
from hookyard.hooks.formats.words import AGENTS, words

GLANCE_CHARACTERS = 1200
"""The most of one text that a message shows: what a reader takes in without scrolling."""

GLANCE_LINES = 20
_TITLE_CHARACTERS = 120
_FACT_CHARACTERS = 200
_FILES_SHOWN = 5
_MAIN_ARGUMENTS = ("command", "cmd", "path", "file_path", "filePath", "query", "pattern", "url")


class Tone(StrEnum):
    """How a message feels; each service has its own colour for it."""

    PLAIN = "plain"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Fact:
    """One short line: a label and its value."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Block:
    """A text of the agent, possibly of several lines.

    Attributes:
        label: What it is.
        text: The text, at most `GLANCE_CHARACTERS` and `GLANCE_LINES`.
    """

    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What a chat message says.

    Attributes:
        icon: One emoji.
        title: One line without the icon.
        tone: How it feels.
        blocks: What the agent does and what came of it.
        facts: Where, which session, and figures.
        footer: The hook and the event that sent this.
        colon: What stands between a label and its value in this language.
    """

    icon: str
    title: str
    tone: Tone
    blocks: tuple[Block, ...]
    facts: tuple[Fact, ...]
    footer: str
    colon: str

    @property
    def headline(self) -> str:
        """Icon and title."""
        return f"{self.icon} {self.title}"


_LOOKS = {
    "on_message_received": ("💬", Tone.PLAIN),
    "on_turn_start": ("▶️", Tone.PLAIN),
    "system_prompt": ("📋", Tone.PLAIN),
    "on_model_response": ("🤖", Tone.PLAIN),
    "on_tool_call_start": ("🛠️", Tone.WARN),
    "pre_tool_execution": ("🔧", Tone.PLAIN),
    "post_tool_execution": ("✅", Tone.GOOD),
    "post_tool_execution.failed": ("❌", Tone.BAD),
    "on_turn_complete": ("🏁", Tone.GOOD),
    "on_turn_complete.failed": ("❌", Tone.BAD),
    "on_turn_complete.cancelled": ("⏹️", Tone.WARN),
    "post_turn": ("🏁", Tone.GOOD),
    "on_session_start": ("🟢", Tone.PLAIN),
    "on_session_end": ("⚪", Tone.PLAIN),
    "on_error": ("🚨", Tone.BAD),
}


class _BodyReader:
    """Reads a body in which anything may be missing or of a wrong type."""

    def __init__(self, body: Body, language: str) -> None:
        self.words = words(language)
        self.body = body
        self.context = {**_table(body.get("hook_context")), **_table(body.get("context"))}
        self.result = _table(body.get("result_context"))
        self.event = one_line(_text(body.get("event")))

    def text(self, key: str) -> str:
        return _text(self.context.get(key))

    def line(self, key: str) -> str:
        return one_line(self.text(key)[: 4 * _FACT_CHARACTERS])

    def fact(self, word: str, value: str) -> Iterable[Fact]:
        if value:
            yield Fact(self.words[word], cut(value, _FACT_CHARACTERS))

    def block(self, word: str, text: str) -> Iterable[Block]:
        shown = clip_lines(visible(text[: 4 * GLANCE_CHARACTERS]).strip("\n"), GLANCE_LINES)
        if len(shown) > GLANCE_CHARACTERS or len(text) > 4 * GLANCE_CHARACTERS:
            count = self.words["length"].format(count=f"{len(text):,}")
            shown = cut(shown, GLANCE_CHARACTERS - len(count)).removesuffix("…") + count
        if shown.strip():
            yield Block(self.words[word], shown)


def summarise(body: Body, language: str) -> Summary:
    """Return the summary of a body of the contract.

    Args:
        body: The body; missing and malformed parts are left out of the summary.
        language: `en` or `zh`.
    """
    reader = _BodyReader(body, language)
    key = _variant(reader)
    icon, tone = _LOOKS.get(key, ("🔔", Tone.PLAIN))
    agent = one_line(_text(body.get("agent"))[:_TITLE_CHARACTERS]) or "AI agent"
    title = reader.words.get(key if key in _LOOKS else "other", "").format(
        agent=AGENTS.get(agent, agent),
        tool=cut(_tool(reader), 60) or reader.words["a tool"],
        event=reader.event or "event",
    )
    footer = " · ".join(part for part in (one_line(_text(body.get("hook_name"))), reader.event) if part)
    return Summary(
        icon=icon,
        title=cut(title, _TITLE_CHARACTERS),
        tone=tone,
        blocks=tuple(_blocks(reader)),
        facts=tuple(_facts(reader)),
        footer=cut(f"hookyard · {footer}" if footer else "hookyard", _FACT_CHARACTERS),
        colon=reader.words["colon"],
    )


def _variant(reader: _BodyReader) -> str:
    """Return the key of style and texts: the event, or its failure variant."""
    if reader.event == "post_tool_execution" and reader.result.get("success") is False:
        return "post_tool_execution.failed"
    if reader.event == "on_turn_complete":
        ending = reader.text("result_type").lower()
        if ending in ("failed", "cancelled"):
            return f"on_turn_complete.{ending}"
    return reader.event


def _tool(reader: _BodyReader) -> str:
    return reader.line("tool_name") or one_line(_text(reader.result.get("tool_name"))[:_FACT_CHARACTERS])


def _blocks(reader: _BodyReader) -> Iterable[Block]:
    if reader.event == "on_message_received":
        yield from reader.block("message", reader.text("content"))
    elif reader.event == "system_prompt":
        yield from reader.block("prompt", reader.text("system_prompt"))
    elif reader.event == "on_model_response":
        yield from reader.block("response", _text(reader.body.get("response")))
    elif reader.event == "on_error":
        yield from reader.block("error", reader.text("error_message"))
    elif reader.event == "post_turn":
        yield from reader.block("result", _arguments(reader.body.get("turn_result")))
    elif _tool(reader):
        yield from reader.block("args", _arguments(reader.context.get("tool_args") or reader.result.get("tool_args")))
        yield from reader.block("result", _text(reader.result.get("result")))


def _facts(reader: _BodyReader) -> Iterable[Fact]:
    if reader.event == "on_error":
        yield from reader.fact("error", reader.line("error_type"))
    yield from reader.fact("phase", reader.line("phase"))
    yield from reader.fact("took", _duration(reader.result.get("duration_ms", reader.context.get("duration_ms"))))
    yield from reader.fact("tool_calls", _count(reader.context.get("tool_calls")))
    yield from reader.fact("tokens", _count(reader.context.get("tokens_used")))
    yield from reader.fact("files", _files(reader.context.get("edited_files") or reader.context.get("attached_files")))
    model = " · ".join(part for part in (reader.line("model_name"), reader.line("provider_name")) if part)
    yield from reader.fact("model", model)
    if reader.context.get("truncated") is True:
        yield from reader.fact("result", reader.words["answer_cut"])
    yield from reader.fact("where", reader.line("working_dir"))
    turn = _count(reader.context.get("turn_number"))
    session = [reader.line("session_id"), reader.words["turn"].format(number=turn) if turn else ""]
    yield from reader.fact("session", " · ".join(part for part in session if part))
    cause = _table(reader.body.get("cause"))
    yield from reader.fact("caused_by", " · ".join(one_line(_text(v)[:_FACT_CHARACTERS]) for v in cause.values() if v))


def _arguments(value: object) -> str:
    """Return tool arguments for people: the command or path alone where that is all, else a line for each."""
    table = value
    if isinstance(value, str):
        try:
            table = json.loads(value)
        except (ValueError, RecursionError):
            return value
    if not isinstance(table, Mapping):
        return _text(table)
    lines = {str(key): _text(part) for key, part in table.items()}
    if len(lines) == 1 and next(iter(lines)) in _MAIN_ARGUMENTS:
        return next(iter(lines.values()))
    return "\n".join(f"{key}: {part}" for key, part in lines.items())


def _files(value: object) -> str:
    if not isinstance(value, list | tuple):
        return _count(value)
    names = [one_line(_text(name)[:_FACT_CHARACTERS]) for name in value[:_FILES_SHOWN]]
    more = len(value) - _FILES_SHOWN
    return ", ".join(name for name in names if name) + (f" +{more}" if more > 0 else "")


def _count(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"{len(value):,}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else one_line(_text(value)[:40])


def _duration(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return ""
    if value < 1000:
        return f"{value:.0f} ms"
    seconds = value / 1000
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60)} s"


def _table(value: object) -> dict[str, object]:
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(type(value).__name__)
