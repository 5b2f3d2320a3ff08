"""Conditions that need no engine: `ctx.taskStatus === 'blocked'`, and such joined by `&&` and `||`.

Used by `intake.match`. Most conditions are of this form, and for it JavaScript and Python say the same: a strict
comparison of a variable with a text is true only if the variable is that very text, whatever else is missing, inherited
or of another type. Everything that is not plainly of this form is left to `conditions`; a property test holds both
against each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hookyard.events.catalog import COMMON, Value

# No escapes, line ends, NUL or half characters in the text: what stands there is what it means.
_TERM = re.compile(
    r"""[ \t\r\n]*ctx\.([A-Za-z_][A-Za-z0-9_]*)[ \t\r\n]*([!=]==)[ \t\r\n]*"""
    r"""('[^'\\\r\n\0\ud800-\udfff]*'|"[^"\\\r\n\0\ud800-\udfff]*")[ \t\r\n]*"""
)
_JOINT = re.compile(r"&&|\|\|")


@dataclass(frozen=True, slots=True)
class Term:
    """One comparison.

    Attributes:
        name: The variable.
        text: What it is compared with.
        equal: `===`, not `!==`.
    """

    name: str
    text: str
    equal: bool

    def holds(self, variables: Mapping[str, Value]) -> bool:
        """Return whether the term is true of an event."""
        return (variables.get(self.name) == self.text) is self.equal


Alternatives = tuple[tuple[Term, ...], ...]
"""Terms joined by `&&`, and those by `||`."""


def parse_static(condition: str) -> Alternatives | None:
    """Return the condition in static form, or None when it has another form."""
    text = condition.strip(" \t\r\n").removesuffix(";")
    alternatives: list[tuple[Term, ...]] = []
    terms: list[Term] = []
    at = 0
    while (found := _TERM.match(text, at)) is not None:
        terms.append(Term(found[1], found[3][1:-1], found[2] == "==="))
        at = found.end()
        if at == len(text):
            return (*alternatives, tuple(terms))
        joint = _JOINT.match(text, at)
        if joint is None:
            return None
        at = joint.end()
        if joint[0] == "||":
            alternatives.append(tuple(terms))
            terms = []
    return None


def _hold(alternatives: Alternatives, variables: Mapping[str, Value]) -> bool:
    return any(all(term.holds(variables) for term in terms) for terms in alternatives)


@dataclass(frozen=True, slots=True)
class StaticConditions:
    """Simple conditions of many listeners, found by the text that they wait for.

    Attributes:
        waiting: By variable and text, the places of the listeners whose whole condition is that comparison.
        others: Place and condition of the rest.
        common: One of them reads what every event carries in addition to its own variables.
    """

    waiting: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)
    others: Sequence[tuple[int, Alternatives]] = ()
    common: bool = False

    @classmethod
    def of(cls, conditions: Iterable[tuple[int, Alternatives]]) -> StaticConditions:
        """Build the set from the listeners' indexes and conditions."""
        waiting: dict[str, dict[str, list[int]]] = {}
        others: list[tuple[int, Alternatives]] = []
        names: set[str] = set()
        for index, alternatives in conditions:
            names.update(term.name for terms in alternatives for term in terms)
            term = alternatives[0][0]
            if len(alternatives) == len(alternatives[0]) == 1 and term.equal:
                waiting.setdefault(term.name, {}).setdefault(term.text, []).append(index)
            else:
                others.append((index, alternatives))
        return cls(waiting, tuple(others), not names.isdisjoint(variable.name for variable in COMMON))

    def matched(self, variables: Mapping[str, Value]) -> list[int]:
        """Return the indexes of the listeners whose condition holds for an event.

        Args:
            variables: Everything that it carries, as in `NativeHook.ctx`; its own will do unless `common`.
        """
        places: list[int] = []
        for name, by_text in self.waiting.items():
            value = variables.get(name)
            if isinstance(value, str):
                places += by_text.get(value, ())
        places += [index for index, alternatives in self.others if _hold(alternatives, variables)]
        return places
