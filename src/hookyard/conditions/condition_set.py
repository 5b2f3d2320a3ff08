"""Conditions that are judged together, prepared once for many events.

Made by `intake.match` for the listeners of an event type, and for a single condition wherever one is tried. Its digest
names it in `conditions` and in the evaluator processes, so equal conditions are compiled once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from hookyard.conditions.expression import normal

MAX_EXPRESSION = 10_000
"""Characters of a condition: two hundred lines."""


@dataclass(frozen=True, slots=True)
class ConditionSet:
    """Some conditions, and what can be said of them before they meet an event.

    Attributes:
        digest: Names the set by its content.
        held: Indexes of the empty conditions, which always hold.
        errors: By index: why a condition cannot be run.
        indexes: Indexes of the conditions that are to be run.
        keys: Their keys, each naming a callback and its version.
        texts: Their texts.
    """

    digest: bytes
    held: tuple[int, ...]
    errors: Mapping[int, str]
    indexes: tuple[int, ...]
    keys: tuple[str, ...]
    texts: tuple[str, ...]

    @classmethod
    def of(cls, conditions: Sequence[tuple[str, str]]) -> ConditionSet:
        """Prepare conditions, each given as its key and its expression."""
        held: list[int] = []
        errors: dict[int, str] = {}
        runnable: list[tuple[int, str, str]] = []
        for index, (key, expression) in enumerate(conditions):
            text = normal(expression)
            if (refused := unusable(text)) is not None:
                errors[index] = refused
            elif text:
                runnable.append((index, key, text))
            else:
                held.append(index)
        digest = hashlib.blake2b(json.dumps(conditions).encode(), digest_size=16).digest()
        return cls(
            digest,
            tuple(held),
            MappingProxyType(errors),
            tuple(index for index, _, _ in runnable),
            tuple(key for _, key, _ in runnable),
            tuple(text for _, _, text in runnable),
        )

    def without(self, disabled: Mapping[str, str]) -> ConditionSet:
        """Return the set without the conditions of some keys; each is an error with the text given for its key."""
        remaining, errors = [], dict(self.errors)
        for index, key, text in zip(self.indexes, self.keys, self.texts, strict=True):
            if key in disabled:
                errors[index] = disabled[key]
            else:
                remaining.append((index, key, text))
        digest = hashlib.blake2b(json.dumps(sorted(disabled)).encode(), key=self.digest, digest_size=16).digest()
        return ConditionSet(
            digest,
            self.held,
            MappingProxyType(errors),
            tuple(index for index, _, _ in remaining),
            tuple(key for _, key, _ in remaining),
            tuple(text for _, _, text in remaining),
        )


@lru_cache(maxsize=256)
def single_condition(condition: str) -> ConditionSet:
    """Return the set of one condition that is only tried. Its text is its key, so that one that breaks its limits while
    it is being written disables neither the next one nor a saved one."""
    digest = hashlib.blake2b(condition.encode(errors="replace"), digest_size=16).hexdigest()
    return ConditionSet.of(((f"trial:{digest}", condition),))


def unusable(text: str) -> str | None:
    """Return why a text cannot even be given to the engine; None when it can."""
    if len(text) > MAX_EXPRESSION:
        return f"the condition has {len(text)} characters; at most {MAX_EXPRESSION} are allowed"
    if "\0" in text:
        return "the condition has a NUL character; leave it out"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "the condition has half a character (a lone surrogate); write it as an escape such as \\ud83d"
    return None
