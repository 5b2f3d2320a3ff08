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
its event leaves out take the examples of the event's type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from hookyard.callbacks import letters
from hookyard.callbacks.condition import Conditions
from hookyard.callbacks.match import compile_listener, is_vouched_for
from hookyard.callbacks.spec import CallbackSpec
from hookyard.callbacks.start import prepare
from hookyard.errors import InvalidError, Problem
from hookyard.events.catalog import Catalog
from hookyard.events.envelope import parse
from hookyard.events.model import API_SOURCE, AuthorTrust, Event
from hookyard.ids import CallbackId, EventId, Ids, WorkspaceId

if TYPE_CHECKING:
    import yaml

RUN = "run"
"""The verdict of a callback that an event starts; the others are the names of gates."""

VERDICTS = (RUN, "listening", "author", "condition")

_WORKSPACE = WorkspaceId("ws_test")


@dataclass(frozen=True, slots=True)
class Case:
    """One test.

    Attributes:
        event: Its variables, flat, with `eventName`.
        author_trust: Who wrote it.
        source: Where it comes from.
        expect: Verdict by the callback's name.
        prompts: Rendered prompt by the callback's name.
    """

    event: Mapping[str, Any]
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
    """

    callbacks: tuple[CallbackSpec, ...]
    tests: tuple[Case, ...] = ()


def read_file(text: str) -> CallbackFile:
    """Read a file.

    Raises:
        InvalidError: No YAML, or not of this form; every mistake with its place in the document.
    """
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = {} if mark is None else {"line": mark.line + 1, "column": mark.column + 1}
        said = getattr(error, "problem", None) or str(error).split("\n")[0]
        raise InvalidError("this is no YAML", problems=(Problem("", said, **place),)) from None
    if not isinstance(document, dict) or not isinstance(document.get("callbacks"), list):
        raise InvalidError("the file has no list of callbacks", mend="begin it with `callbacks:` and a list")
    problems = [
        Problem(name, "there is no such part; a file has callbacks and tests")
        for name in document
        if name not in ("callbacks", "tests")
    ]
    callbacks = [spec for n, one in enumerate(document["callbacks"]) if (spec := _callback(one, n, problems))]
    names = [spec.name for spec in callbacks]
    problems += [Problem("callbacks", f"two are named {n!r}") for n in sorted(set(names)) if names.count(n) > 1]
    tests = [case for n, one in enumerate(document.get("tests") or []) if (case := _case(one, n, names, problems))]
    if problems:
        raise InvalidError("the file has mistakes", problems=tuple(problems))
    return CallbackFile(tuple(callbacks), tuple(tests))


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


def _case(given: Any, number: int, names: Sequence[str], problems: list[Problem]) -> Case | None:
    place = f"tests[{number}]"
    known = {"event", "authorTrust", "source", "expect", "prompts"}
    if not isinstance(given, dict) or not isinstance(given.get("event"), dict) or set(given) - known:
        problems.append(Problem(place, f"a test has an event, and of {', '.join(sorted(known - {'event'}))}"))
        return None
    expect, prompts = given.get("expect") or {}, given.get("prompts") or {}
    before = len(problems)
    problems += [Problem(place, f"there is no callback {n!r}") for n in (*expect, *prompts) if n not in names]
    for name, verdict in expect.items():
        if verdict not in VERDICTS:
            problems.append(Problem(f"{place}.expect", f"{name}: {verdict!r} is none of {', '.join(VERDICTS)}"))
    trust = given.get("authorTrust", "member")
    if trust not in list(AuthorTrust):
        problems.append(Problem(f"{place}.authorTrust", f"{trust!r} is none of {', '.join(AuthorTrust)}"))
    if len(problems) > before:
        return None
    return Case(given["event"], AuthorTrust(trust), given.get("source", API_SOURCE), expect, prompts)


def write_file(callbacks: Sequence[CallbackSpec]) -> str:
    """The file of some callbacks; what is as usual is left out."""
    import yaml

    usual = CallbackSpec(name="x", events=("task.created",), prompt="x").as_dict()
    shown = []
    for spec in callbacks:
        given = spec.as_dict()
        shown.append({k: v for k, v in given.items() if k in ("name", "events", "prompt") or v != usual[k]})
    return yaml.dump({"callbacks": shown}, Dumper=_dumper(), allow_unicode=True, sort_keys=False, width=100)


@cache
def _dumper() -> type[yaml.SafeDumper]:
    """Writes text of several lines as a block, as people do, where YAML allows it."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    def write(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, write)
    return Dumper


async def run_case(file: CallbackFile, case: Case, conditions: Conditions, catalog: Catalog) -> list[str]:
    """What is not as a test expects; empty when all is.

    Raises:
        InvalidError: Its event cannot be.
        TemporaryError: Conditions cannot be judged.
    """
    event = _event(case, catalog)
    wrong = []
    for number, spec in enumerate(file.callbacks):
        if spec.name not in case.expect and spec.name not in case.prompts:
            continue
        verdict, reason, prompt = await _rehearse(spec, CallbackId(f"cb_{number}"), event, conditions, catalog)
        expected = case.expect.get(spec.name, RUN)
        if verdict != expected:
            wrong.append(f"{spec.name}: expected {expected}, got {verdict}" + (f" ({reason})" if reason else ""))
        elif spec.name in case.prompts and prompt.strip() != case.prompts[spec.name].strip():
            wrong.append(f"{spec.name}: the prompt is {prompt!r}, expected {case.prompts[spec.name]!r}")
    return wrong


def _event(case: Case, catalog: Catalog) -> Event:
    event_type = catalog.get(str(case.event.get("eventName")))
    common = {"timestamp", "workspaceId"}
    examples = {} if event_type is None else {k: v for k, v in event_type.sample.items() if k not in common}
    body = json.dumps({**examples, **case.event}).encode()
    headers = {"content-type": "application/json"}
    (draft,) = parse(body, headers, str(case.event.get("workspaceId", _WORKSPACE)), catalog, case.author_trust).drafts
    accepted = draft.accepted(EventId("evt_test"), _WORKSPACE, 0.0)
    return Event(
        accepted.id, accepted.workspace_id, accepted.name, case.source, None, None, accepted.occurred_at, 0.0,
        accepted.variables, accepted.author_trust,
    )  # fmt: skip


async def _rehearse(
    spec: CallbackSpec, callback_id: CallbackId, event: Event, conditions: Conditions, catalog: Catalog
) -> tuple[str, str | None, str]:
    """The gate that stops it or `RUN`, why, and the prompt."""
    # A profile's name says nothing here about whom it serves: the callback's own word stands for it.
    open_profiles = frozenset({spec.agent}) if isinstance(spec.agent, str) and spec.authors == "anyone" else frozenset()
    listener = compile_listener(callback_id, 1, spec, open_profiles)
    if not spec.enabled or event.name not in spec.events:
        return letters.GATES[0], None, ""
    if not listener.serves_anyone and not is_vouched_for(event):
        return "author", None, ""
    if spec.condition:
        judged = await conditions.judge(event.workspace_id, event.ctx, ((listener.key, spec.condition),))
        if not judged.matched:
            return "condition", judged.errors.get(0), ""
    return RUN, None, prepare(listener, event, catalog.get(event.name), Ids()).prompt
