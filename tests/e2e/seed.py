"""The event-callback seed as data, read from its text: a test then stands on the seed's own words, not on a copy."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

_EVENT = re.compile(r"((?:task|conversation|workspace)\.[a-z_]+)([^a-zA-Z, ]+)([A-Za-z]+(?:, [A-Za-z]+)*)")
_VARIABLE = re.compile(r"([A-Za-z]+?)(string|number|boolean)([^a-z].*)")
_SETTING = re.compile(r"(eventCallback\.[A-Za-z]+?)(true|false|\d+)([^\d].*)")
_CONDITION = re.compile(r"// (.*?) ((?:ctx\.|\[).*?)(?= // |$)")


@dataclass(frozen=True)
class SeedVariable:
    """A row of a table of variables: its type, and its description with the example behind it."""

    kind: str
    text: str


@dataclass(frozen=True)
class Seed:
    """What the seed lists.

    Attributes:
        events: Its variables by event, in the order of the table.
        triggers: When each event happens, in the seed's words.
        variables: The rows of the tables of variables.
        settings: Defaults by name.
        prompt: The example of a prompt template.
        conditions: The examples of conditions, by the comment above each.
    """

    events: dict[str, list[str]] = field(default_factory=dict)
    triggers: dict[str, str] = field(default_factory=dict)
    variables: dict[str, SeedVariable] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    prompt: str = ""
    conditions: dict[str, str] = field(default_factory=dict)


def read_seed(path: Path) -> Seed:
    """Read the seed."""
    lines = path.read_text(encoding="utf-8").splitlines()
    seed = Seed(
        prompt=next(line for line in lines if line.startswith("新任务创建通知")),
        conditions=dict(_CONDITION.findall(next(line for line in lines if line.startswith("// ")))),
    )
    for line in lines:
        if event := _EVENT.fullmatch(line):
            seed.events[event[1]], seed.triggers[event[1]] = event[3].split(", "), event[2]
        elif setting := _SETTING.fullmatch(line):
            seed.settings[setting[1]] = json.loads(setting[2])
        elif variable := _VARIABLE.fullmatch(line):
            seed.variables[variable[1]] = SeedVariable(variable[2], variable[3])
    return seed
