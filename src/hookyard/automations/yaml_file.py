"""Callbacks as YAML: what `hookyard callbacks` exports, imports, compares and tests. Secrets never appear in it.

    callbacks:
      - name: Blocked bugs
        events: [task.status_changed]
        condition: ctx.taskStatus === 'blocked'
        prompt: Find out why {{taskTitle}} is blocked.
    tests:
      - event: {eventName: task.status_changed, taskStatus: blocked, taskTitle: Login}
        expect: {Blocked bugs: run}
        prompts: {Blocked bugs: Find out why Login is blocked.}

A test needs no server: the events, author and condition gates and the prompt are those of the server. Variables that
its event leaves out take the examples of the event's type. `events` instead of `event` are merged into one. Types that
administrators have declared are named under `eventTypes`, as `POST /event-types` takes them: a file knows no server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from hookyard.automations.checks import check_spec
from hookyard.callbacks.spec import CallbackSpec
from hookyard.conditions.condition_set import ConditionSet
from hookyard.conditions.conditions import Conditions
from hookyard.core.errors import InvalidError, Problem
from hookyard.core.ids import CallbackId, EventId, Ids, WorkspaceId
from hookyard.core.verdicts import Gate
from hookyard.events.catalog import Catalog, EventType, declare
from hookyard.events.envelope import parse
from hookyard.events.model import API_SOURCE, AuthorTrust, Event
from hookyard.intake.match import CallbackListener, compile_listener, passes_author_gate
from hookyard.intake.merge import merged
from hookyard.intake.run_requests import prepare

if TYPE_CHECKING:
    import yaml

RUN = "run"
"""The verdict of a callback that an event starts; the others are the names of gates."""

VERDICTS = (RUN, Gate.LISTENING, Gate.AUTHOR, Gate.CONDITION)

_WORKSPACE = WorkspaceId("ws_test")

_OTHER_BREAK = re.compile("[\r\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Case:
    """One test.

    Attributes:
        events: The variables of its event, flat, with `eventName`; of several, which are merged, each.
        author_trust: Who wrote it.
        source: Where it comes from.
        expect: Verdict by the callback's name.
        prompts: Rendered prompt by the callback's name.
    """

    events: tuple[Mapping[str, Any], ...]
    author_trust: AuthorTrust = AuthorTrust.MEMBER
    source: str = API_SOURCE
    expect: Mapping[str, str] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallbackFile:
    """What a file holds.

    Attributes:
        callbacks: The callbacks; no two have one name.
        tests: The tests.
        event_types: Types that the server has in addition to the built-in ones.
    """

    callbacks: tuple[CallbackSpec, ...]
    tests: tuple[Case, ...] = ()
    event_types: tuple[EventType, ...] = ()

    @property
    def catalog(self) -> Catalog:
        """Every type that its callbacks may listen to."""
        return Catalog(self.event_types)


def read_file(text: str) -> CallbackFile:
    """Read a file.

    Raises:
        InvalidError: No YAML, or not of this form; every mistake with its place in the document.
    """
    import yaml

    try:
        document = yaml.load(text, _loader())  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = {} if mark is None else {"line": mark.line + 1, "column": mark.column + 1}
        said = getattr(error, "problem", None) or str(error).split("\n")[0]
        raise InvalidError("this is no YAML", problems=(Problem("", said, **place),)) from None
    except RecursionError:
        raise InvalidError("this is no YAML of callbacks: it is nested too deeply") from None
    if not isinstance(document, dict) or not isinstance(document.get("callbacks"), list):
        raise InvalidError("the file has no list of callbacks", hint="begin it with `callbacks:` and a list")
    problems = [
        Problem(str(name), "there is no such part; a file has callbacks, tests and eventTypes")
        for name in document
        if name not in ("callbacks", "tests", "eventTypes")
    ]
    callbacks = [spec for n, one in enumerate(document["callbacks"]) if (spec := _callback(one, n, problems))]
    names = [spec.name for spec in callbacks]
    problems += [Problem("callbacks", f"two are named {n!r}") for n in sorted(set(names)) if names.count(n) > 1]
    given = _list(document, "tests", problems)
    tests = [case for n, one in enumerate(given) if (case := _case(one, n, names, problems))]
    given = _list(document, "eventTypes", problems)
    types = [made for n, one in enumerate(given) if (made := _event_type(one, n, problems))]
    if problems:
        raise InvalidError("the file has mistakes", problems=tuple(problems))
    return CallbackFile(tuple(callbacks), tuple(tests), tuple(types))


def _list(document: Mapping[str, Any], part: str, problems: list[Problem]) -> list[Any]:
    """Return a part of the document that may be missing, as a list."""
    found = document.get(part)
    if found is None or isinstance(found, list):
        return found or []
    problems.append(Problem(part, "is no list"))
    return []


def _callback(given: Any, number: int, problems: list[Problem]) -> CallbackSpec | None:
    place = f"callbacks[{number}]"
    if not isinstance(given, dict):
        problems.append(Problem(place, "is no callback"))
        return None
    try:
        return CallbackSpec.read(given)
    except InvalidError as error:
        problems += [Problem(f"{place}.{p.field}", p.message) for p in error.problems]
        return None


def _event_type(given: Any, number: int, problems: list[Problem]) -> EventType | None:
    place = f"eventTypes[{number}]"
    shape = "an event type has a name, variables (each with name, type and example) and, if wished, a description"
    if not isinstance(given, dict) or not {"name"} <= set(given) <= {"name", "variables", "description"}:
        problems.append(Problem(place, shape))
        return None
    variables = given.get("variables") or []
    parts = {"name", "type", "example"}
    well = isinstance(variables, list) and all(isinstance(one, dict) and set(one) == parts for one in variables)
    texts = [given["name"], given.get("description", "")]
    texts += [one[part] for one in variables for part in ("name", "type")] if well else []
    if not well or not all(isinstance(one, str) for one in texts):
        problems.append(Problem(place, shape))
        return None
    try:
        triples = [(one["name"], one["type"], one["example"]) for one in variables]
        return declare(given["name"], triples, description=given.get("description", ""))
    except InvalidError as error:
        problems += [Problem(f"{place}.{p.field}", p.message) for p in error.problems]
        return None


def _case(given: Any, number: int, names: Sequence[str], problems: list[Problem]) -> Case | None:
    place = f"tests[{number}]"
    known = {"event", "events", "authorTrust", "source", "expect", "prompts"}
    events = _events(given)
    if not events or set(given) - known:
        others = ", ".join(sorted(known - {"event", "events"}))
        problems.append(Problem(place, f"a test has an event, or several events of one type, and of {others}"))
        return None
    before = len(problems)
    expect, prompts = (_by_name(given.get(part), f"{place}.{part}", problems) for part in ("expect", "prompts"))
    problems += [Problem(place, f"there is no callback {n!r}") for n in (*expect, *prompts) if n not in names]
    for name, verdict in expect.items():
        if verdict not in VERDICTS:
            problems.append(Problem(f"{place}.expect", f"{name}: {verdict!r} is none of {', '.join(VERDICTS)}"))
    trust = given.get("authorTrust", "member")
    if trust not in list(AuthorTrust):
        problems.append(Problem(f"{place}.authorTrust", f"{trust!r} is none of {', '.join(AuthorTrust)}"))
    source = given.get("source", API_SOURCE)
    if not isinstance(source, str):
        problems.append(Problem(f"{place}.source", "is no text"))
    if len(problems) == before and not expect and not prompts:
        problems.append(Problem(place, "expects nothing; give it expect or prompts"))
    if len(problems) > before:
        return None
    return Case(events, AuthorTrust(trust), source, expect, prompts)


def _events(given: Any) -> tuple[Mapping[str, Any], ...]:
    """Return the events of a test case, none when it is not a test case."""
    if not isinstance(given, dict) or ("event" in given) == ("events" in given):
        return ()
    events = [given["event"]] if "event" in given else given["events"]
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        return ()
    return tuple(events) if len({str(event.get("eventName")) for event in events}) == 1 else ()


def _by_name(given: Any, place: str, problems: list[Problem]) -> dict[str, str]:
    """Return texts by the callback's name."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        problems.append(Problem(place, "is no mapping with the names of callbacks"))
        return {}
    wrong = [name for name, text in given.items() if not isinstance(text, str)]
    problems += [Problem(place, f"{name}: is no text; put it into quotes") for name in wrong]
    return {str(name): text for name, text in given.items() if isinstance(text, str)}


def write_file(callbacks: Sequence[CallbackSpec], event_types: Sequence[EventType] = ()) -> str:
    """Return the YAML file of some callbacks and of the declared types that they listen to; defaults are left out."""
    import yaml

    usual = CallbackSpec(name="x", events=("task.created",), prompt="x").as_dict()
    shown = []
    for spec in callbacks:
        given = spec.as_dict()
        shown.append({k: v for k, v in given.items() if k in ("name", "events", "prompt") or v != usual[k]})
    content: dict[str, Any] = {"callbacks": shown}
    if event_types:
        content["eventTypes"] = [_declaration(one) for one in event_types]
    return yaml.dump(content, Dumper=_dumper(), allow_unicode=True, sort_keys=False, width=100)


def _declaration(event_type: EventType) -> dict[str, Any]:
    variables = [{"name": v.name, "type": v.type.value, "example": v.example} for v in event_type.variables]
    return {"name": event_type.name, "description": event_type.meaning_en, "variables": variables}


@cache
def _loader() -> type[yaml.SafeLoader]:
    """Return a loader that reads what looks like a date as text, since JSON has no dates."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012 - as its base has it
            first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    return Loader


@cache
def _dumper() -> type[yaml.SafeDumper]:
    """Return a dumper that writes a text of several lines as a block where YAML allows it."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def write(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        # Only between double quotes are breaks of other kinds than \n written so that they are read again.
        style = '"' if _OTHER_BREAK.search(value) else "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, write)
    return Dumper


async def check_file(file: CallbackFile, conditions: Conditions) -> list[Problem]:
    """Return what a server would report when the callbacks are saved, except about their agents, which only the server
    knows.

    Raises:
        TemporaryError: Conditions cannot be checked.
    """
    found: list[Problem] = []
    for number, spec in enumerate(file.callbacks):
        problems = await check_spec(spec, conditions, file.catalog)
        found += [
            Problem(f"callbacks[{number}].{p.field}", p.message, severity=p.severity, line=p.line, column=p.column)
            for p in problems
        ]
    return found


async def run_case(file: CallbackFile, case: Case, conditions: Conditions) -> list[str]:
    """Return the differences from what a test case expects; empty when it passes.

    Raises:
        InvalidError: Its event cannot be.
        TemporaryError: Conditions cannot be judged.
    """
    catalog = file.catalog
    events = [_event(case, variables, catalog) for variables in case.events]
    wrong = []
    for number, spec in enumerate(file.callbacks):
        if spec.name not in case.expect and spec.name not in case.prompts:
            continue
        verdict, reason, prompt = await _rehearse(spec, CallbackId(f"cb_{number}"), events, conditions, catalog)
        expected = case.expect.get(spec.name, RUN)
        if verdict != expected:
            wrong.append(f"{spec.name}: expected {expected}, got {verdict}" + (f" ({reason})" if reason else ""))
        elif spec.name in case.prompts and prompt.strip() != case.prompts[spec.name].strip():
            wrong.append(f"{spec.name}: the prompt is {prompt!r}, expected {case.prompts[spec.name]!r}")
    return wrong


def _event(case: Case, variables: Mapping[str, Any], catalog: Catalog) -> Event:
    event_type = catalog.get(str(variables.get("eventName")))
    common = {"timestamp", "workspaceId"}
    examples = {} if event_type is None else {k: v for k, v in event_type.sample.items() if k not in common}
    try:
        body = json.dumps({**examples, **variables}).encode()
    except (TypeError, ValueError, RecursionError):
        raise InvalidError("the event has a value that JSON does not know") from None
    headers = {"content-type": "application/json"}
    (draft,) = parse(body, headers, str(variables.get("workspaceId", _WORKSPACE)), catalog, case.author_trust).drafts
    accepted = draft.accepted(EventId("evt_test"), _WORKSPACE, 0.0)
    return Event(
        accepted.id, accepted.workspace_id, accepted.name, case.source, None, None, accepted.occurred_at, 0.0,
        accepted.variables, accepted.author_trust,
    )  # fmt: skip


async def _rehearse(
    spec: CallbackSpec, callback_id: CallbackId, events: Sequence[Event], conditions: Conditions, catalog: Catalog
) -> tuple[str, str | None, str]:
    """Return the gate that stops the events or `RUN`, the reason, and the prompt."""
    # A profile's name says nothing here about whom it serves: the callback's own word stands for it.
    open_profiles = frozenset({spec.agent}) if isinstance(spec.agent, str) and spec.authors == "anyone" else frozenset()
    listener = compile_listener(callback_id, 1, spec, open_profiles)
    if not spec.enabled or events[0].name not in spec.events:
        return Gate.LISTENING, None, ""
    if not listener.serves_anyone and not all(map(passes_author_gate, events)):
        return Gate.AUTHOR, None, ""
    held, error = await _held(listener, [merged(events)] if listener.reads_batch else events, conditions)
    if not held:
        return Gate.CONDITION, error, ""
    event = merged(held)
    return RUN, None, prepare(listener, event, catalog.get(event.name), Ids()).prompt


async def _held(
    listener: CallbackListener, events: Sequence[Event], conditions: Conditions
) -> tuple[Sequence[Event], str | None]:
    """Return the events for which the condition holds, and why one could not be judged."""
    if not listener.spec.condition:
        return events, None
    question = ConditionSet.of(((listener.key, listener.spec.condition),))
    held, error = [], None
    for event in events:
        judged = await conditions.evaluate(event.workspace_id, event.ctx, question)
        if judged.matched:
            held.append(event)
        error = error or judged.errors.get(0)
    return held, error
