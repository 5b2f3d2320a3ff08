"""Why an event did or did not start a callback, as its page says it: a line of gates, one word, one reason."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from hookyard.core.verdicts import GATES, Gate, GateVerdict
from hookyard.intake.trace import CallbackVerdict
from hookyard.web.pages.language import Language

_SHAPES = {GateVerdict.CONDITION_ERROR: "bad", GateVerdict.LOOP: "loop"}


@dataclass(frozen=True, slots=True)
class GateLine:
    """One callback of an event's page.

    Attributes:
        verdict: What it is about.
        states: One of `pass`, `stop`, `bad`, `loop`, `joined`, `rest` for each gate.
        outcome: In a word.
        look: Class of the word: `""`, `err`, `late`.
        reason: Why, one line.
        label: All of it for those who do not see the line.
    """

    verdict: CallbackVerdict
    states: tuple[str, ...]
    outcome: Markup
    look: str
    reason: Markup
    label: str


def line_of(verdict: CallbackVerdict, words: Language) -> GateLine:
    """Return what the page says of one callback."""
    shape = _SHAPES.get(verdict.verdict, "stop")
    states = []
    for gate in GATES:
        if verdict.gate is not None and gate is verdict.gate:
            states.append(shape)
            break
        states.append("joined" if gate is Gate.MERGE and verdict.batch_id is not None else "pass")
    states += ["rest"] * (len(GATES) - len(states))
    outcome, reason = _explain(verdict, words)
    look = {"bad": "err", "loop": "late"}.get(shape, "")
    return GateLine(verdict, tuple(states), outcome, look, reason, f"{verdict.name}: {outcome}. {reason.striptags()}")


_OUTCOMES = {
    GateVerdict.DISABLED: "gate.off",
    GateVerdict.NOT_LISTENING: "gate.not_listening",
    GateVerdict.CHANGED: "gate.not_listening",
    GateVerdict.AUTHOR: "gate.author",
    GateVerdict.CONDITION: "gate.condition",
    GateVerdict.CONDITION_ERROR: "gate.condition_error",
    GateVerdict.DUPLICATE: "gate.duplicate",
    GateVerdict.OPERATION: "gate.operation",
    GateVerdict.LOOP: "gate.loop",
    GateVerdict.QUOTA: "gate.quota",
    GateVerdict.SKIPPED: "gate.skipped",
}


def _explain(verdict: CallbackVerdict, words: Language) -> tuple[Markup, Markup]:
    """Return the outcome in a word, and the reason."""
    t = words.t
    if verdict.gate is None:
        if verdict.batch_id is None:
            return t("gate.started"), Markup("")
        return t("gate.merged"), t("gate.merged_why", n=max(1, verdict.batch_size))
    outcome = t(_OUTCOMES[verdict.verdict])
    match verdict.verdict:
        case GateVerdict.DISABLED | GateVerdict.CONDITION:
            return outcome, Markup("")
        case GateVerdict.NOT_LISTENING:
            return outcome, t("gate.listens_to", events=words.comma.join(verdict.events))
        case GateVerdict.AUTHOR:
            return outcome, t("gate.author_why")
        case GateVerdict.DUPLICATE:
            return outcome, t("gate.duplicate_why", id=verdict.detail.get("event", "")[-6:])
        case GateVerdict.OPERATION:
            return outcome, t("gate.operation_why", id=verdict.detail.get("event", "")[-6:])
        case _:
            return outcome, words.message(verdict.reason or "")
