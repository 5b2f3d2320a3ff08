"""Find the pluggable parts: chat formats, integrations, agents and dialects.

The built-in ones are modules of a package, each with the part as a module attribute. Third parties add theirs by an
entry point in the group of that kind; its value is such an object, `package.module:OBJECT`. A third party's part that
cannot be imported, or whose name is taken, is reported and left out: it must not keep the others from working. What
relies on it then fails closed, since a hook with an unknown format is an invalid hook.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from hookyard.core.message_catalog import Message

T = TypeVar("T")

GROUPS = ("hookyard.formats", "hookyard.integrations", "hookyard.agents", "hookyard.dialects")


@dataclass(frozen=True, slots=True)
class PluginProblem:
    """A third party's part that is left out.

    Attributes:
        group: Its entry point group.
        name: Name of the entry point.
        message: Why it is left out.
    """

    group: str
    name: str
    message: Message


@dataclass(frozen=True, slots=True)
class Discovered(Generic[T]):
    """The parts of one kind.

    Attributes:
        parts: Every usable part by its name, in alphabetical order.
        problems: The third parties' parts that are left out.
    """

    parts: Mapping[str, T]
    problems: tuple[PluginProblem, ...]


def built_in(package: str, path: Iterable[str], attribute: str) -> list[Any]:
    """Return the parts that the modules of a package define as `attribute`."""
    modules = (importlib.import_module(f"{package}.{module.name}") for module in pkgutil.iter_modules(path))
    return [getattr(module, attribute) for module in modules if hasattr(module, attribute)]


def discover(
    group: str, built_ins: Iterable[T], name_of: Callable[[T], str], required: Iterable[str], expected: str
) -> Discovered[T]:
    """Return the built-in parts and those of the entry points of a group.

    Args:
        group: Entry point group.
        built_ins: Parts of hookyard itself; their names win.
        name_of: The name of a part.
        required: Attributes that a part must have.
        expected: What a part is, for the error.
    """
    parts = {name_of(part): part for part in built_ins}
    problems: list[PluginProblem] = []
    for entry in sorted(entry_points(group=group), key=lambda entry: (entry.name, entry.value)):
        part = _load(entry, tuple(required), expected)
        if not isinstance(part, Message):
            name = name_of(part)
            if name not in parts:
                parts[name] = part
                continue
            part = Message("plugin_name_taken", {"name": name, "value": entry.value})
        problems.append(PluginProblem(group, entry.name, part))
    return Discovered(MappingProxyType(dict(sorted(parts.items()))), tuple(problems))


def _load(entry: EntryPoint, required: tuple[str, ...], expected: str) -> Any:
    """Return the object of an entry point, or the message that says why it cannot be used."""
    try:
        part = entry.load()
    except Exception as error:  # a third party's module may fail in any way
        reason = f"{type(error).__name__}: {error}"[:300]
        return Message("plugin_not_importable", {"name": entry.name, "value": entry.value, "reason": reason})
    missing = [name for name in required if not hasattr(part, name)]
    if missing:
        return Message(
            "plugin_incomplete", {"name": entry.name, "value": entry.value, "expected": expected, "missing": missing}
        )
    return part
