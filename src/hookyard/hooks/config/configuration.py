"""Every webhook that applies, from every file that counts, in the order in which they are called.

Called by `hooks.hooks`. Here stand the rules between entries and between files: who overrides whom, and in which order
they are called. The rules within one entry are `entry`'s, which version of a file acts is decided by `hooks_file`.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hookyard.hooks.config.entry import Checked, ConfigProblem, Entry, check
from hookyard.hooks.config.entry_keys import KEYS
from hookyard.hooks.config.hooks_file import Acting, FileState, HooksFile, Role, acting
from hookyard.hooks.config.last_good import LastGoodStore
from hookyard.hooks.config.toml_lines import table_lines
from hookyard.hooks.config.trust import Trust
from hookyard.hooks.points import Point
from hookyard.hooks.protect import AgentFiles, Protection
from hookyard.hooks.webhook import ConfigLocation, InvalidFailClosedHook, Webhook

ConfiguredHook = Webhook | InvalidFailClosedHook

_TABLES = {"webhooks": False, "async_webhooks": True}


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """A file and its state.

    Attributes:
        source: The file.
        state: Which version of it acts.
        hooks: How many of its webhooks act.
    """

    source: HooksFile
    state: FileState
    hooks: int = 0


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that applies.

    Attributes:
        gates: In the order in which they are called: by priority, then file order.
        problems: Faults in the order of the files.
        files: Every file that was looked for.
        origins: Every place whose webhooks are all known here (`Webhook.place`).
    """

    gates: tuple[ConfiguredHook, ...] = ()
    problems: tuple[ConfigProblem, ...] = ()
    files: tuple[LoadedFile, ...] = ()
    origins: frozenset[str] = frozenset()

    @property
    def webhooks(self) -> tuple[Webhook, ...]:
        """Those that can be called."""
        return tuple(gate for gate in self.gates if isinstance(gate, Webhook))

    def at(self, point: Point) -> tuple[ConfiguredHook, ...]:
        """Return the hooks that listen to a point, in order."""
        return tuple(gate for gate in self.gates if point in gate.points)


@dataclass(frozen=True, slots=True)
class ConfigSources:
    """Where the configuration comes from.

    Attributes:
        files: In the order of the contract.
        environ: Variables for `${NAME}`.
        remembered: Last good versions of the user's and the server's files.
        trust: The project files that may act; None where there are no project files.
        entries: Webhooks kept for a workspace, as parsed entries.
        entries_place: What to call those in messages, such as `workspace ws_…`.
        agent_files: What decides which hooks other agents run; kept from a governed agent as the files are.
        project: The project's folder, None where there is none.
    """

    files: tuple[HooksFile, ...]
    environ: Mapping[str, str] = field(repr=False)
    remembered: LastGoodStore
    trust: Trust | None = None
    entries: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    entries_place: str = "workspace"
    agent_files: AgentFiles = field(default_factory=AgentFiles)
    project: Path | None = None

    @property
    def protection(self) -> Protection | None:
        """What a governed agent must not write to; None when the user lets it."""
        if self.environ.get("HOOKYARD_ALLOW_HOOK_EDITS") == "1":
            return None
        return Protection(
            tuple(source.path for source in self.files),
            (self.remembered.folder, *([self.trust.folder] if self.trust else ())),
            Path(os.path.expanduser("~")),  # noqa: PTH111 - never raises
            self.agent_files,
            self.project,
        )

    @property
    def watched(self) -> list[Path]:
        """Every file that may change what applies."""
        trusted = [
            self.trust.path_of(source.path) for source in self.files if self.trust and source.role is Role.PROJECT
        ]
        return [*(source.path for source in self.files), *trusted]


def load(sources: ConfigSources) -> Configuration:
    """Read everything. Never raises for what a file holds."""
    files: list[LoadedFile] = []
    problems: list[ConfigProblem] = []
    own: dict[str, ConfiguredHook] = {}
    others: list[ConfiguredHook] = []
    for source in sources.files:
        found = acting(source, sources.remembered, sources.trust)
        problems += _file_problems(source, found)
        checked = [check(entry, sources.environ) for entry in entries_of(found.text, source)]
        problems += [problem for one in checked for problem in one.problems]
        if found.state is FileState.LOADED and source.role is not Role.PROJECT and found.text is not None:
            held = any(_fails_closed(one.gate) for one in checked)
            sources.remembered.keep(source.path, found.text, held_gate=held)
        if found.state is FileState.CLOSED:
            others.append(_closed_file(source, problems[-1]))
        if source.role is Role.PROJECT:
            others += [one.gate for one in checked if one.gate is not None]
        else:
            _override(own, others, checked)
        files.append(LoadedFile(source, found.state, sum(one.gate is not None for one in checked)))
    kept = [check(entry, sources.environ) for entry in _kept_entries(sources)]
    problems += [problem for one in kept for problem in one.problems]
    others += [one.gate for one in kept if one.gate is not None]
    ordered = _in_order([*own.values(), *others], sources)
    origins = frozenset({*(str(source.path) for source in sources.files), sources.entries_place})
    return Configuration(ordered, tuple(problems), tuple(files), origins)


def _in_order(gates: Sequence[ConfiguredHook], sources: ConfigSources) -> tuple[ConfiguredHook, ...]:
    """Return the hooks by priority, then by file, then by line."""
    order = {str(source.path): number for number, source in enumerate(sources.files)}
    return tuple(
        sorted(gates, key=lambda gate: (gate.priority, order.get(gate.place.file, len(order)), gate.place.line or 0))
    )


def _override(own: dict[str, ConfiguredHook], others: list[ConfiguredHook], checked: Sequence[Checked]) -> None:
    """Replace a same-named entry of an earlier file by a usable one; an unusable one removes no gate."""
    for one in checked:
        if one.usable:
            own.pop(one.name, None)
            if one.gate is not None:
                own[one.name] = one.gate
        elif one.gate is not None:
            others.append(one.gate)


def _fails_closed(gate: ConfiguredHook | None) -> bool:
    return isinstance(gate, InvalidFailClosedHook) or (isinstance(gate, Webhook) and gate.fails_closed)


def _file_problems(source: HooksFile, found: Acting) -> list[ConfigProblem]:
    return [
        ConfigProblem(
            ConfigLocation(str(source.path), remark.line, source.role is Role.PROJECT),
            "",
            "",
            remark.message,
            remark.severity,
        )
        for remark in found.remarks
    ]


def _closed_file(source: HooksFile, problem: ConfigProblem) -> InvalidFailClosedHook:
    return InvalidFailClosedHook(
        name=source.path.name,
        points=frozenset({Point.TOOL_CALL_START, Point.PRE_TOOL}),
        reason=str(problem),
        place=problem.place,
    )


def entries_of(text: str | None, source: HooksFile) -> list[Entry]:
    """Return every entry of a text that parses, in the order of its lines; none when there is no text."""
    if text is None:
        return []
    lines = table_lines(text)
    entries: list[Entry] = []
    for table, ours, value in _tables(tomllib.loads(text)):
        faults = () if ours == table else (("", f"unknown table [[{table}]]; did you mean [[{ours}]]?"),)
        if not table:
            faults = (("", f"the keys of a webhook stand in no table; write [[{ours}]] above them"),)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            faults = (("", f"webhooks are given as tables under [[{ours}]]"),)
            value = _meant(value)
        for number, values in enumerate(value, 1):
            where = lines[table][number - 1] if len(lines.get(table, ())) == len(value) else None
            place = ConfigLocation(str(source.path), where.line if where else None, source.role is Role.PROJECT)
            entries.append(Entry(values, place, where, _TABLES[ours], number, faults))
    entries.sort(key=lambda entry: entry.place.line or 0)
    return _marking_repeats(entries)


def _tables(parsed: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Return every table that holds webhooks, or was meant to: its name, which of ours it is, and its contents."""
    astray = {key: value for key, value in parsed.items() if key in KEYS and not isinstance(value, dict)}
    if astray.keys() & {"trigger", "url", "on_failure"}:
        yield "", "webhooks", [astray]
    for name, value in parsed.items():
        ours = _our_table(name, value)
        if ours is not None:
            yield name, ours, value
        elif isinstance(value, dict):
            yield from ((f"{name}.{inner}", inner, held) for inner, held in value.items() if inner in _TABLES)


def _our_table(table: str, value: Any) -> str | None:
    """Return the table that a value means: by its name, by a near miss, or by its contents; None for other programs'
    tables."""
    if table in _TABLES:
        return table
    near = difflib.get_close_matches(table.lower(), _TABLES, n=1, cutoff=0.85)
    if near:
        return near[0]
    items = value if isinstance(value, list) else ()
    alike = any(isinstance(item, dict) and "url" in item and "command" not in item for item in items)
    return "webhooks" if alike else None


def _meant(value: Any) -> list[dict[str, Any]]:
    """Return the entries in a value that is not a list of tables: `[webhooks]`, or `[webhooks.NAME]` for each."""
    if not isinstance(value, dict):
        return [{}]
    inner = list(value.values())
    named = inner and all(isinstance(item, dict) for item in inner) and not value.keys() & KEYS.keys()
    return inner if named else [value]


def _marking_repeats(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries, with a problem for each whose name was used before."""
    first: dict[str, ConfigLocation] = {}
    marked = []
    for entry in entries:
        name = entry.values.get("name")
        if isinstance(name, str) and name in first:
            line = first[name].line
            message = f"the name {name!r} is already used" + (f" in line {line}" if line else "")
            entry = replace(entry, faults=(*entry.faults, ("name", message)))
        elif isinstance(name, str):
            first[name] = entry.place
        marked.append(entry)
    return marked


def _kept_entries(sources: ConfigSources) -> list[Entry]:
    place = ConfigLocation(sources.entries_place)
    entries = [
        Entry(values, place, number=number, batched="batch_size" in values or "flush_interval_ms" in values)
        for number, values in enumerate(sources.entries, 1)
    ]
    return _marking_repeats(entries)
