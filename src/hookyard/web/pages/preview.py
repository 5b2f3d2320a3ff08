"""What a callback that is being written would do: problems with their places, which past events it matches, the prompt.

Used by the editor, for the page and for each change of it. Nothing is stored; the same rules judge as for real events.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hookyard.callbacks import template
from hookyard.callbacks.template import Fence, Placeholder
from hookyard.conditions.condition_set import ConditionSet
from hookyard.conditions.conditions import reads_batch
from hookyard.core.errors import HookyardError, InvalidError, Problem
from hookyard.events.catalog import EventType, Value
from hookyard.events.model import Event
from hookyard.intake.event_repository import read_event
from hookyard.web.pages.queries import automations as queries
from hookyard.web.services import Services

EVENTS = 50
MAX_SHOWN = 20_000


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the rendered prompt: `text`, `put` (inserted), `fence` (inserted, marked as data) or `blank`."""

    kind: str
    text: str
    name: str = ""


@dataclass
class EditorPreview:
    """What the panel shows.

    Attributes:
        problems: With field, line and column.
        events: The past events, oldest first.
        hits: For each, whether the condition holds.
        before: How many the saved version matches, None for a new callback.
        chosen: Place of the event that is shown, -1 when there is none.
        matched: Whether the condition holds for it.
        error: Why it could not be judged.
        ms: Milliseconds that judging it took.
        segments: The prompt rendered for it.
        unset: Variables that the condition or prompt could use and this event does not carry.
    """

    problems: list[Problem] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    hits: list[bool] = field(default_factory=list)
    before: int | None = None
    chosen: int = -1
    matched: bool = False
    error: str = ""
    ms: float = 0.0
    segments: list[Segment] = field(default_factory=list)
    unset: list[str] = field(default_factory=list)

    @property
    def event(self) -> Event | None:
        """The event that is shown."""
        return self.events[self.chosen] if self.chosen >= 0 else None

    @property
    def tokens(self) -> int:
        """About how many tokens the prompt has."""
        return about_tokens("".join(segment.text for segment in self.segments))


def about_tokens(text: str) -> int:
    """Return about how many tokens a text has: four Latin letters, or one Chinese character, each."""
    wide = sum(ord(letter) > 0x2E7F for letter in text)
    return wide + (len(text) - wide + 3) // 4


async def preview(
    services: Services,
    workspace: str,
    names: Sequence[str],
    prompt: str,
    condition: str,
    fence: str,
    *,
    event_id: str = "",
    saved: str | None = None,
) -> EditorPreview:
    """Judge what is being written on the newest events of its types.

    Args:
        services: The parts of the server.
        workspace: The workspace.
        names: The event types chosen.
        prompt: The template.
        condition: The condition.
        fence: See `template.Fence`.
        event_id: The event to show; the newest that matches when it is `""`.
        saved: The condition of the saved version, to compare with.
    """
    shown = EditorPreview()
    catalog = services.event_types.current
    chosen = catalog.select(names)
    shown.problems = await services.callbacks.check_parts(list(names), prompt, condition)
    shown.problems += partly_empty(prompt, chosen)
    rows = await services.database.read(lambda conn: queries.past_events(conn, workspace, names, EVENTS))
    shown.events = [read_event(row) for row in rows]
    broken = any(p.field == "condition" and p.severity == "error" for p in shown.problems)
    judged = [(False, "")] * len(shown.events) if broken else await _judge(services, workspace, condition, shown.events)
    shown.hits = [matched for matched, _ in judged]
    if saved is not None:
        shown.before = sum(matched for matched, _ in await _judge(services, workspace, saved, shown.events))
    shown.chosen = _choose(shown, event_id)
    if shown.event is not None:
        _, shown.error = judged[shown.chosen]
        shown.matched = shown.hits[shown.chosen]
        if condition.strip() and not broken:
            begun = time.perf_counter()
            await _judge(services, workspace, condition, [shown.event])
            shown.ms = (time.perf_counter() - begun) * 1000
        kind = catalog.get(shown.event.name)
        shown.segments = segments(prompt, shown.event, kind, fence)
        carried = {name for one in chosen for name in one.readable}
        shown.unset = sorted(carried - set(shown.event.ctx))
    return shown


def _choose(shown: EditorPreview, event_id: str) -> int:
    for index, event in enumerate(shown.events):
        if event.id == event_id:
            return index
    matching = [index for index, hit in enumerate(shown.hits) if hit]
    return matching[-1] if matching else len(shown.events) - 1


async def _judge(services: Services, workspace: str, condition: str, events: Sequence[Event]) -> list[tuple[bool, str]]:
    """Return for each event whether the condition holds, and an error.

    Without a condition, or with one for merged events only, all hold.
    """
    if not condition.strip() or reads_batch(condition):
        return [(True, "")] * len(events)
    key = "preview:" + hashlib.blake2b(condition.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    conditions = ConditionSet.of(((key, condition),))
    found = []
    for event in events:
        try:
            judged = await services.conditions.evaluate(workspace, event.ctx, conditions)
            found.append((judged.matched, judged.errors.get(0, "")))
        except HookyardError as error:
            found.append((False, error.what))
            break
    return found + [(False, "")] * (len(events) - len(found))


def partly_empty(prompt: str, chosen: Sequence[EventType]) -> list[Problem]:
    """Return warnings for variables that only some of the chosen events carry."""
    try:
        parsed = template.parse(prompt)
    except InvalidError:
        return []
    found = []
    for one in parsed.placeholders:
        carrying = [kind.name for kind in chosen if one.name in kind.readable]
        if carrying and len(carrying) < len(chosen):
            missing = ", ".join(kind.name for kind in chosen if kind.name not in carrying)
            message = f"only {', '.join(carrying)} carries {one.name}; for {missing} it is empty"
            found.append(Problem("prompt", message, severity="warning", line=one.line, column=one.column))
    return found


def segments(prompt: str, event: Event, kind: EventType | None, fence: str) -> list[Segment]:
    """Return the prompt as the agent would read it, in pieces."""
    try:
        parsed = template.parse(prompt)
    except InvalidError:
        return [Segment("text", prompt[:MAX_SHOWN])]
    ctx = event.ctx
    by_people = kind.by_people if kind else frozenset(ctx)
    fenced = parsed.fenced(ctx, fence=Fence(fence), author_trust=event.author_trust, by_people=by_people)
    pieces, room = [], MAX_SHOWN
    for part in parsed.parts:
        if isinstance(part, Placeholder):
            text = shown_value(ctx.get(part.name))[:room]
            piece = Segment("blank" if not text else "fence" if part.name in fenced else "put", text, part.name)
        else:
            piece = Segment("text", part[:room])
        pieces.append(piece)
        room -= len(piece.text)
    return pieces


def pieces(prompt: str, rendered: str, ctx: Mapping[str, Value]) -> list[Segment]:
    """Return a rendered prompt with the inserted values marked; in one piece where that is unknown (values behind
    fences, a template that was changed since)."""
    try:
        parts = template.parse(prompt).parts
    except InvalidError:
        parts = ()
    found = [
        Segment("put" if ctx.get(part.name) not in (None, "") else "blank", shown_value(ctx.get(part.name)), part.name)
        if isinstance(part, Placeholder)
        else Segment("text", part)
        for part in parts
    ]
    return found if "".join(one.text for one in found) == rendered else [Segment("text", rendered)]


def shown_value(value: Value | None) -> str:
    """Return a value as `{{…}}` inserts it."""
    if value is None:
        return ""
    return value if isinstance(value, str) else template.Template((Placeholder("v", 1, 1),)).render({"v": value})


def marks(problems: Sequence[Problem], name: str) -> list[dict[str, Any]]:
    """Return where a field is to be underlined."""
    return [
        {"line": p.line, "column": p.column or 1, "severity": p.severity}
        for p in problems
        if p.field == name and p.line is not None
    ]
