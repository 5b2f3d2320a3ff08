"""`hookyard events`: send events to a running server, and watch their outcomes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from hookyard.cli.errors import line_of
from hookyard.cli.server import Server, json_option, workspace_option
from hookyard.cli.terminal import counted, show
from hookyard.core.errors import InvalidError, TemporaryError

_POLL_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 5.0
_OVERLAP = timedelta(seconds=10)
"""How much later than a younger event an older one may become visible: the longest wait for a busy database, and what
the clocks of several servers differ."""


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
    """Watch the events of a workspace, and which gate stopped each callback.

    Follows until Ctrl-C. While the server is away it says so on stderr and goes on where it was once the server is
    back; an error that waiting cannot repair ends it with exit code 1.
    """
    server = Server.from_environment()
    followed = Followed(server, f"{server.workspace(workspace)}/events")
    for event in followed.begin(last) if follow else reversed(list(followed.newest(last))):
        _show(event, as_json)
    away, wait = False, _POLL_SECONDS
    while follow:
        time.sleep(wait)
        try:
            fresh = followed.fresh()
        except TemporaryError as error:
            if not away:
                click.echo(f"{line_of(error)}; waiting for the server", err=True)
            away, wait = True, min(wait * 2, _LONGEST_WAIT_SECONDS)
            continue
        if away:
            click.echo("hookyard: the server is back", err=True)
        away, wait = False, _POLL_SECONDS
        for event in fresh:
            _show(event, as_json)


class Followed:
    """The events of a workspace, each returned once.

    Events are listed by their ids, which are dated when an event arrives. One that was stored later than a younger one
    stands behind it in the list, so every look goes back some seconds and leaves out what it has returned before.

    Args:
        server: The server.
        path: The list's path.
    """

    def __init__(self, server: Server, path: str) -> None:
        self._server = server
        self._path = path
        self._seen: dict[str, datetime] = {}
        self._since: datetime | None = None

    def newest(self, count: int) -> Iterator[dict[str, Any]]:
        """Yield the newest events, at most so many, newest first."""
        return self._server.pages(self._path, limit=count)

    def begin(self, last: int) -> list[dict[str, Any]]:
        """Return the last events, oldest first; `fresh` returns those that come after them."""
        found: list[dict[str, Any]] = []
        for event in self._server.pages(self._path):
            if self._since is None:
                self._since = _received(event) - _OVERLAP
            if len(found) >= last and _received(event) < self._since:
                break
            found.append(event)
        self._keep(found)
        return found[:last][::-1]

    def fresh(self) -> list[dict[str, Any]]:
        """Return the events that were not returned before, oldest first.

        Raises:
            TemporaryError: The server is away; the next call returns what this one would have.
        """
        found: list[dict[str, Any]] = []
        for event in self._server.pages(self._path):
            if self._since is not None and _received(event) < self._since:
                break
            if event["id"] not in self._seen:
                found.append(event)
        self._keep(found)
        return found[::-1]

    def _keep(self, events: Sequence[dict[str, Any]]) -> None:
        """Remember what was returned, as far back as the next look goes."""
        self._seen.update((event["id"], _received(event)) for event in events)
        if self._seen:
            since = max(self._seen.values()) - _OVERLAP
            self._seen = {key: at for key, at in self._seen.items() if at >= since}
            self._since = since


def _received(event: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(event["receivedAt"])


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
        raise InvalidError(f"no JSON: {error}", where=where, hint="give a file with one event") from None
    if not isinstance(event, dict):
        raise InvalidError("no event", where=where, hint="give a file with one JSON object")
    return event
