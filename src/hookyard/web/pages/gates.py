"""Why an event did or did not start a callback, as its page says it: a line of gates, one word, one reason."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from hookyard.callbacks import letters
from hookyard.web.pages.language import Language
from hookyard.web.pages.queries.events import Verdict

_SHAPES = {letters.CONDITION_ERROR: "bad", letters.LOOP: "loop"}


@dataclass(frozen=True, slots=True)
class Line:
    """One callback of an event's page.

    Attributes:
        verdict: What it is about.
        states: One of `pass`, `stop`, `bad`, `loop`, `joined`, `rest` for each gate.
        outcome: In a word.
        look: Class of the word: `""`, `err`, `late`.
        reason: Why, one line.
        label: All of it for those who do not see the line.
    """

    verdict: Verdict
    states: tuple[str, ...]
    outcome: Markup
    look: str
    reason: Markup
    label: str


def line_of(verdict: Verdict, words: Language) -> Line:
    """What the page says of one callback."""
    letter = verdict.letter
    stopped = "listening" if not letter else letters.gate(letter)
    states = []
    for gate in letters.GATES:
        if stopped is None:
            states.append("joined" if gate == "merge" and letter == letters.MERGED else "pass")
        elif gate == stopped:
            states.append(_SHAPES.get(letter, "stop"))
            stopped = "past"
        else:
            states.append("rest" if stopped == "past" else "pass")
    outcome, reason = _said(verdict, words)
    look = {"bad": "err", "loop": "late"}.get(_SHAPES.get(letter, ""), "")
    return Line(verdict, tuple(states), outcome, look, reason, f"{verdict.name}: {outcome}. {reason.striptags()}")


def _said(verdict: Verdict, words: Language) -> tuple[Markup, Markup]:
    t, detail = words.t, verdict.detail
    match verdict.letter:
        case "":
            if not verdict.enabled:
                return t("gate.off"), Markup("")
            return t("gate.not_listening"), t("gate.listens_to", events=words.comma.join(verdict.events))
        case letters.AUTHOR:
            return t("gate.author"), t("gate.author_why")
        case letters.CONDITION:
            return t("gate.condition"), Markup("")
        case letters.CONDITION_ERROR:
            return t("gate.condition_error"), words.message(detail.get("error", ""))
        case letters.DUPLICATE:
            return t("gate.duplicate"), t("gate.duplicate_why", id=detail.get("event", "")[-6:])
        case letters.OPERATION:
            return t("gate.operation"), t("gate.operation_why", id=detail.get("event", "")[-6:])
        case letters.LOOP:
            return t("gate.loop"), words.message(detail.get("reason", ""))
        case letters.QUOTA:
            return t("gate.quota"), words.message(detail.get("reason", "") or verdict.run_reason or "")
        case letters.SKIPPED:
            return t("gate.skipped"), words.message(detail.get("reason", "") or verdict.run_reason or "")
        case letters.MERGED:
            return t("gate.merged"), t("gate.merged_why", n=max(1, verdict.batch_size))
        case _:
            return t("gate.started"), Markup("")
