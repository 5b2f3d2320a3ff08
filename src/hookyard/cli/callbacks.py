"""`hookyard callbacks`: callbacks as YAML, to and from a running server; and their tests, without one."""

from __future__ import annotations

import asyncio
import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from hookyard.automations.yaml_file import CallbackFile, check_file, read_file, run_case, write_file
from hookyard.callbacks.spec import CallbackSpec
from hookyard.cli.server import Server, json_option, workspace_option
from hookyard.cli.terminal import counted
from hookyard.core.errors import HookyardError, InvalidError, PermanentError, Problem
from hookyard.events.catalog import BUILT_IN, RESERVED, EventType, declare

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(short_help="Callbacks as YAML: export, import, diff, test")
def callbacks() -> None:
    """Callbacks as YAML, by their names (HOOKYARD_URL, HOOKYARD_TOKEN); tests need no server."""


@callbacks.command()
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="The file; stdout by default.")
@workspace_option
def export(output: Path | None, workspace: str | None) -> None:
    """Write the callbacks of a workspace as YAML."""
    server = Server.from_environment()
    there = _there(server, server.workspace(workspace))
    specs = [spec for _, spec in there.values()]
    text = write_file(specs, _declared(server, {name for spec in specs for name in spec.events}))
    if output is None:
        print(text, end="")
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise PermanentError(
                f"cannot be written: {error.strerror}", where=str(output), hint="give a file in a folder that exists"
            ) from None
        print(f"{counted(len(there), 'callback')} in {output}")


@callbacks.command("import", short_help="Make and change callbacks to be as in a file.")
@click.argument("file", type=_FILE)
@click.option("--delete", is_flag=True, help="Delete callbacks that are not in the file.")
@workspace_option
@json_option
def import_(file: Path, delete: bool, workspace: str | None, as_json: bool) -> None:
    """Make and change callbacks to be as in a file; those that are the same are left alone. All are checked first: a
    file with a mistake changes nothing."""
    wanted = {spec.name: spec for spec in _read(file).callbacks}
    server = Server.from_environment()
    path = f"{server.workspace(workspace)}/callbacks"
    there = _there(server, server.workspace(workspace))
    _check(server, path, [spec for name, spec in wanted.items() if name not in there or there[name][1] != spec])
    done: dict[str, list[str]] = {"created": [], "changed": [], "unchanged": [], "deleted": []}
    for name, spec in wanted.items():
        if name not in there:
            server.ask("POST", path, spec.as_dict())
            done["created"].append(name)
        elif there[name][1] == spec:
            done["unchanged"].append(name)
        else:
            server.ask("PUT", f"{path}/{there[name][0]}", spec.as_dict())
            done["changed"].append(name)
    for name in [name for name in there if delete and name not in wanted]:
        server.ask("DELETE", f"{path}/{there[name][0]}")
        done["deleted"].append(name)
    print(json.dumps(done) if as_json else ", ".join(f"{len(names)} {what}" for what, names in done.items()))


@callbacks.command(short_help="Show how they differ from a file.")
@click.argument("file", type=_FILE)
@workspace_option
def diff(file: Path, workspace: str | None) -> None:
    """Show how the callbacks of a workspace differ from a file; exits 1 when they do."""
    wanted = {spec.name: spec for spec in _read(file).callbacks}
    server = Server.from_environment()
    there = {name: spec for name, (_, spec) in _there(server, server.workspace(workspace)).items()}
    lines: list[str] = []
    for name in [*there, *(name for name in wanted if name not in there)]:
        lines += difflib.unified_diff(
            _lines(there.get(name)), _lines(wanted.get(name)), f"server: {name}", f"{file}: {name}", lineterm=""
        )
    print("\n".join(lines) if lines else f"{counted(len(there), 'callback')}, no difference")
    if lines:
        raise click.exceptions.Exit(1)


@callbacks.command(short_help="Run the tests of a file.")
@click.argument("file", type=_FILE)
@json_option
def test(file: Path, as_json: bool) -> None:
    """Run the tests of a file: events with expected verdicts and prompts. Exits 1 when one fails, or when a callback
    could not be saved."""
    content = _read(file)
    if not content.tests:
        raise PermanentError(
            "there are no tests", where=str(file), hint="add `tests:` with events and what they expect"
        )
    try:
        failures = asyncio.run(_run(content))
    except InvalidError as error:
        error.where = str(file)
        raise
    if as_json:
        print(json.dumps({"tests": len(content.tests), "failures": failures}))
    else:
        for number, wrong in failures.items():
            for line in wrong:
                print(f"tests[{number}] {line}")
        print(f"{counted(len(content.tests), 'test')}, {len(failures)} failed")
    if failures:
        raise click.exceptions.Exit(1)


async def _run(content: CallbackFile) -> dict[int, list[str]]:
    from hookyard.conditions.conditions import Conditions
    from hookyard.core.clock import SystemClock

    conditions = Conditions(SystemClock())
    failures = {}
    try:
        mistakes = [found for found in await check_file(content, conditions) if found.severity == "error"]
        if mistakes:
            raise InvalidError("the file has mistakes", problems=tuple(mistakes))
        for number, case in enumerate(content.tests):
            try:
                wrong = await run_case(content, case, conditions)
            except HookyardError as error:
                places = [f"{p.field}: {p.message}" if p.field else p.message for p in getattr(error, "problems", ())]
                wrong = ["; ".join(places) or str(error)]
            if wrong:
                failures[number] = wrong
    finally:
        await conditions.close()
    return failures


def _read(file: Path) -> CallbackFile:
    try:
        return read_file(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentError(f"cannot be read: {error}", where=str(file), hint="give a YAML file in UTF-8") from None
    except HookyardError as error:
        error.where = str(file)
        raise


def _there(server: Server, workspace: str) -> dict[str, tuple[str, CallbackSpec]]:
    """Return id and content of the callbacks of a workspace by name.

    Raises:
        PermanentError: Two have the same name.
    """
    there: dict[str, tuple[str, CallbackSpec]] = {}
    for shown in server.pages(f"{workspace}/callbacks"):
        spec = _spec(shown)
        if spec.name in there:
            raise PermanentError(
                f"two callbacks are named {spec.name!r}", where=workspace, hint="rename one: a file knows them by name"
            )
        there[spec.name] = (shown["id"], spec)
    return there


def _declared(server: Server, names: set[str]) -> list[EventType]:
    """Return the administrators' declarations of some event types."""
    if names <= {one.name for one in BUILT_IN}:
        return []
    return [
        declare(
            one["name"],
            [(v["name"], v["type"], v["example"]) for v in one["variables"] if v["name"] not in RESERVED],
            description=one["description"]["en"],
        )
        for one in server.ask("GET", "/event-types")["items"]
        if one["declared"] and one["name"] in names
    ]


def _check(server: Server, path: str, wanted: Sequence[CallbackSpec]) -> None:
    """Check callbacks on the server before they are saved, and print its warnings.

    Raises:
        InvalidError: It would refuse some; with the problems of all.
    """
    problems = []
    for spec in wanted:
        given = spec.as_dict()
        asked = {name: given[name] for name in ("events", "prompt", "condition", "concurrencyKey", "agent")}
        for found in server.ask("POST", f"{path}/check", asked)["problems"]:
            place = f"{spec.name}: {found['field']}".removesuffix(": ")
            if found["severity"] == "error":
                where = {"line": found.get("line"), "column": found.get("column")}
                problems.append(Problem(place, found["message"], **where))
            else:
                print(f"warning: {place}: {found['message']}", file=sys.stderr)
    if problems:
        raise InvalidError("the file has mistakes, nothing was changed", problems=tuple(problems))


def _spec(shown: Mapping[str, Any]) -> CallbackSpec:
    names = {field.alias or name for name, field in CallbackSpec.model_fields.items()}
    return CallbackSpec.read({name: value for name, value in shown.items() if name in names})


def _lines(spec: CallbackSpec | None) -> list[str]:
    return [] if spec is None else write_file([spec]).splitlines()[1:]
