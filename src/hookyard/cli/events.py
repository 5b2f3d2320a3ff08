"""`hookyard events`: send events to a running server, and watch what becomes of them."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from hookyard.cli.server import Server, json_option, workspace_option
from hookyard.cli.terminal import counted, show
from hookyard.errors import InvalidError

_POLL_SECONDS = 1.0


@click.group(short_help="Send events to a running server, or watch them")
def events() -> None:
    """Send events to a running server, or watch them (HOOKYARD_URL, HOOKYARD_TOKEN)."""


@events.command()
@click.argument("name", required=False)
@click.argument("variables", nargs=-1, metavar="[VARIABLE=VALUE | VARIABLE:=JSON]…")
@click.option("--file", "source", type=click.File("rb"), help="A JSON file with the whole event; - is stdin.")
@click.option("--id", "event_id", help="Its id: the same id within 7 days is a duplicate.")
@click.option("--operation-id", help="The operation that it is part of.")
@workspace_option
@json_option
def send(
    name: str | None,
    variables: tuple[str, ...],
    source: Any,
    event_id: str | None,
    operation_id: str | None,
    workspace: str | None,
    as_json: bool,
) -> None:
    """Send one event.

    hookyard events send task.created taskId=task-1 taskTitle="A bug" … or with --file.
    """
    if (name is None) == (source is None):
        raise click.UsageError("give NAME and its variables, or --file")
    event = _read(source) if name is None else {"eventName": name, **dict(_variable(text) for text in variables)}
    given = {"id": event_id, "operationid" if "specversion" in event else "operationId": operation_id}
    event.update((key, value) for key, value in given.items() if value is not None)
    server = Server.from_environment()
    try:
        answer = server.ask("POST", f"{server.workspace(workspace)}/events", event)
    except InvalidError as error:
        texts = [p.field for p in error.problems if p.message == "must be a number, but a string was sent"]
        if name is not None and texts:
            error.legacy_hint = (
                f"write {' '.join(f'{field}:=…' for field in texts)}: a value after = is a text, after := JSON"
            )
        raise
    if as_json:
        print(json.dumps(answer))
    elif "duplicateOf" in answer:
        print(f"{answer['id']} is a duplicate of {answer['duplicateOf']}")
    else:
        batch = f", batch {answer['batchId']}" if "batchId" in answer else ""
        runs = answer["runs"]
        print(f"{answer['id']}: {counted(len(runs), 'run')}{''.join(' ' + run for run in runs)}{batch}")


@events.command(short_help="Watch the events of a workspace.")
@click.option("--last", type=click.IntRange(0, 500), default=10, help="Begin with so many of the last ones.")
@click.option("--follow/--no-follow", default=True, help="Go on until interrupted.")
@workspace_option
@json_option
def tail(last: int, follow: bool, workspace: str | None, as_json: bool) -> None:
    """Watch the events of a workspace, and which gate stopped each callback."""
    server = Server.from_environment()
    path = f"{server.workspace(workspace)}/events"
    newest = ""
    shown = list(server.pages(path, limit=last or 1))
    if shown:
        newest = shown[0]["id"]
    for event in reversed(shown[:last]):
        _show(event, as_json)
    while follow:
        time.sleep(_POLL_SECONDS)
        fresh = []
        for event in server.pages(path, limit=10_000):
            if event["id"] <= newest:
                break
            fresh.append(event)
        for event in reversed(fresh):
            _show(event, as_json)
            newest = event["id"]


def _show(event: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(event, ensure_ascii=False), flush=True)
        return
    print(f"{event['receivedAt']}  {event['eventName']:<24} {event['id']}", flush=True)
    for callback in event.get("callbacks", ()):
        why = callback.get("runId") or callback.get("reason") or callback.get("gate") or ""
        show(f"    {callback['name']}: {callback['outcome']} {why}".rstrip())


def _variable(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise click.UsageError(f"{text!r} is no VARIABLE=VALUE")
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except (ValueError, RecursionError):
        raise click.UsageError(f"{value[:200]!r} after := is no JSON") from None


def _read(source: Any) -> dict[str, Any]:
    where = getattr(source, "name", "--file")
    try:
        event = json.loads(source.read())
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"no JSON: {error}", where=where, mend="give a file with one event") from None
    if not isinstance(event, dict):
        raise InvalidError("no event", where=where, mend="give a file with one JSON object")
    return event
