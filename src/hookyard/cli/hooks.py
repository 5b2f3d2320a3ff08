"""`hookyard hooks …`: the webhooks of this user and project, seen from the command line.

Thin: every command loads what a running agent would load and shows it. Found by `cli.main`.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from hookyard.cli import hooks_sent
from hookyard.cli.coverage import Coverage
from hookyard.cli.errors import warn_of_plugins
from hookyard.core.errors import HookyardError, InvalidError, NotFoundError
from hookyard.hooks import formats
from hookyard.hooks.config.configuration import Configuration, entries_of
from hookyard.hooks.config.entry_keys import variables_of
from hookyard.hooks.config.hooks_file import FileState, HooksFile, Role, read
from hookyard.hooks.config.trust import Trust, TrustStatus
from hookyard.hooks.decision import Verdict
from hookyard.hooks.delivery.breaker import Endpoint
from hookyard.hooks.delivery.delivery_log import Delivery
from hookyard.hooks.formats.fitting import one_line, visible
from hookyard.hooks.hooks import Hooks, point_named
from hookyard.hooks.points import POINTS, Point
from hookyard.hooks.samples import SAMPLE_TOOL
from hookyard.hooks.webhook import InvalidFailClosedHook, Webhook


@click.group(help="The webhooks of this user and project.")
def hooks() -> None:
    """Group of the commands below."""


_project = click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    show_default="the current folder",
    help="Folder of the project.",
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@hooks.command("list", short_help="Every webhook that acts, in their order.")
@_project
@_json
def list_(project: Path, as_json: bool) -> None:
    """List every webhook that acts, in the order in which they are called."""
    loaded = _hooks(project)
    configuration = loaded.configuration
    coverage = Coverage.here(project.resolve())
    off = loaded.sender.breaker.endpoints()
    if as_json:
        shown = [{**_shown(gate, off), "covers": coverage.of(gate)} for gate in configuration.gates]
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    problems = (*configuration.problems, *coverage.problems(configuration.gates))
    if problems:
        click.echo(f"{_count(problems)}: `hookyard hooks check` tells of them.", err=True)
    if not configuration.gates:
        click.echo("No webhooks. `hookyard hooks paths` shows the files that are read.")
        return
    rows = [("NAME", "TRIGGER", "MODE", "URL", "FROM")]
    for gate in configuration.gates:
        row = _shown(gate, off)
        rows.append((row["name"], row["trigger"], row["mode"], row["url"], str(gate.place)))
    _table(rows)
    for gate in configuration.gates:
        if isinstance(gate, InvalidFailClosedHook):
            click.echo(f"{gate.name}: {one_line(gate.reason)}")
        elif state := _switched_off(gate, off):
            click.echo(f"{gate.name}: {state}")
        if covers := coverage.line(gate):
            click.echo(one_line(covers))


@hooks.command("paths", short_help="Every file, and what became of it.")
@_project
@_json
def paths(project: Path, as_json: bool) -> None:
    """List every file that is looked for, in order, and its state."""
    files = _configuration(project).files
    if as_json:
        shown = [
            {"path": str(f.source.path), "role": f.source.role.value, "state": f.state.value, "hooks": f.hooks}
            for f in files
        ]
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    _table(
        [("FILE", "OF", "STATE", "WEBHOOKS")]
        + [(str(f.source.path), f.source.role.value, f.state.value, str(f.hooks)) for f in files]
    )


@hooks.command("check", short_help="Check the files.")
@_project
@_json
def check(project: Path, as_json: bool) -> None:
    """Check the files; exit code 1 when anything in them is wrong."""
    configuration = _configuration(project)
    coverage = Coverage.here(project.resolve())
    problems = (*configuration.problems, *coverage.problems(configuration.gates))
    warn_of_plugins(formats.discovered().problems)
    if as_json:
        click.echo(json.dumps([problem.as_dict() for problem in problems], indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(f"{problem.severity}: {problem}")
        read = sum(file.state is not FileState.ABSENT for file in configuration.files)
        webhooks = _number(len(configuration.webhooks), "webhook")
        click.echo(f"{_number(read, 'file')}, {webhooks}, {_count(problems)}")
    if any(problem.severity == "error" for problem in problems):
        sys.exit(1)


def _count(problems: tuple[Any, ...]) -> str:
    errors = sum(problem.severity == "error" for problem in problems)
    return f"{_number(errors, 'error')}, {_number(len(problems) - errors, 'warning')}"


def _number(count: int, of: str) -> str:
    return f"{count} {of}" if count == 1 else f"{count} {of}s"


@hooks.command("trust")
@_project
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--revoke", is_flag=True, help="Trust them no longer.")
def trust(project: Path, *, yes: bool, revoke: bool) -> None:
    """Show what a project's webhooks would do, and let them act."""
    sources = _hooks(project).sources
    trusted = sources.trust
    assert trusted is not None  # `Hooks.load` always has it
    found = 0
    for source in sources.files:
        if source.role is not Role.PROJECT:
            continue
        text, fault = read(source.path)
        if revoke:
            found += 1
            click.echo(
                f"{source.path}: {'not trusted any more' if trusted.distrust(source.path) else 'was not trusted'}"
            )
        elif fault is not None:
            raise click.ClickException(f"{source.path}: {fault.message} (fix it before it can be trusted)")
        elif text is not None:
            found += 1
            _trust_one(trusted, source, text, yes=yes)
    if not found:
        click.echo(f"{project.resolve()} has no hooks file, so there is nothing to trust.")


def _trust_one(trusted: Trust, source: HooksFile, text: str, *, yes: bool) -> None:
    """Show a file, ask, and trust exactly the text that was shown."""
    standing, before = trusted.status(source.path, text)
    if standing is TrustStatus.TRUSTED:
        click.echo(f"{source.path}: trusted already")
        return
    click.echo(f"{source.path}:")
    for entry in entries_of(text, source):
        trigger, url = entry.values.get("trigger", "*"), entry.values.get("url", "no url")
        click.echo(f"  {entry.label}: {one_line(f'{trigger} -> {url}')}")
        variables = variables_of(entry.values)
        if variables:
            click.echo(f"    reads the variables {', '.join(variables)}")
    if before is not None:
        changes = difflib.unified_diff(before.splitlines(), text.splitlines(), "trusted", "now", lineterm="", n=1)
        click.echo(visible("\n".join(f"  {line}" for line in changes)))
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody is there to ask; look at the above and give --yes")
        click.confirm("Let these webhooks act?", abort=True)
    if not trusted.trust(source.path, text):
        raise click.ClickException(f"{source.path}: cannot be written down as trusted (is the home writable?)")
    click.echo(f"{source.path}: trusted")


@hooks.command("test", short_help="Send a sample to a webhook, and show what comes of it.")
@click.argument("name")
@click.option("--point", help="Which event, by its trigger word; the webhook's first when not given.")
@click.option("--tool", help="Which tool the sample is about; bash, or the first that the matcher covers.")
@click.option("--force", is_flag=True, help="Send it even where the trigger or the matcher does not match.")
@_project
@_json
def test(name: str, point: str | None, tool: str | None, project: Path, *, force: bool, as_json: bool) -> None:
    """Send a realistic sample to a webhook; show request, answer, time and verdict.

    A sample that the trigger or the matcher would keep from the webhook is not sent. Exit code 1 then, and when the
    delivery fails.
    """
    try:
        wanted = point_named(point) if point else None
    except InvalidError as error:
        raise click.BadParameter(str(error), param_hint="--point") from None
    trial = asyncio.run(_tried(name, wanted, tool, project.resolve(), force=force))
    if as_json:
        click.echo(json.dumps(trial.as_dict(), indent=2, ensure_ascii=False))
    else:
        trial.show()
    if trial.failed:
        sys.exit(1)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a sample.

    Attributes:
        point: The sample's point.
        tool: The tool that it is about, None at a point without one.
        mismatch: Why an agent would not have called the webhook, None when it would.
        covers: The known tools that the webhook covers, by agent; None when it listens to no tool call.
        sent: The verdict and the delivery, None when nothing was sent.
    """

    point: Point
    tool: str | None
    mismatch: str | None
    covers: Mapping[str, Sequence[str]] | None
    sent: tuple[Verdict, Delivery] | None

    @property
    def failed(self) -> bool:
        """Nothing was sent, or the delivery failed."""
        return self.sent is None or self.sent[0].failed

    def as_dict(self) -> dict[str, Any]:
        """Return it as `--json` shows it."""
        verdict, delivery = self.sent or (None, None)
        return {
            "event": POINTS[self.point].event,
            "tool": self.tool,
            "matches": self.mismatch is None,
            "reason": self.mismatch or "",
            "covers": self.covers,
            "verdict": None if verdict is None else asdict(verdict),
            "delivery": None if delivery is None else asdict(delivery),
        }

    def show(self) -> None:
        """Print it."""
        about = POINTS[self.point].event + (f" of the tool {self.tool}" if self.tool else "")
        click.echo(one_line(f"sample: {about}"))
        for agent, tools in (self.covers or {}).items():
            click.echo(f"covers {agent}: {', '.join(tools) or 'no known tool'}")
        if self.mismatch is not None:
            click.echo(one_line(f"does not match: {self.mismatch}"))
        if self.sent is None:
            click.echo("nothing was sent; --force sends it all the same")
        else:
            _show_try(*self.sent)


async def _tried(name: str, point: Point | None, tool: str | None, project: Path, *, force: bool) -> Trial:
    lines: list[str] = []
    async with Hooks.load(project, warn=lines.append) as loaded:
        found = [webhook for webhook in loaded.configuration.webhooks if webhook.name == name]
        if not found:
            raise _not_found(name, loaded.configuration)
        webhook, coverage = found[0], Coverage.here(project)
        wanted = point or min(webhook.points, key=list(Point).index, default=None) or Point.PRE_TOOL
        about = tool or coverage.sample_tool(webhook)
        mismatch = _mismatch(webhook, wanted, about)
        sent = None
        if mismatch is None or force:
            sent = await loaded.try_webhook(webhook, wanted, str(project), about or SAMPLE_TOOL)
        shown_tool = (about or SAMPLE_TOOL) if POINTS[wanted].for_tools else None
        return Trial(wanted, shown_tool, mismatch, coverage.of(webhook), sent)


def _mismatch(webhook: Webhook, point: Point, tool: str | None) -> str | None:
    """Return why an agent would not call a webhook for a sample, None when it would."""
    if point not in webhook.points:
        listens = ", ".join(spot for spot in Point if spot in webhook.points) or "no event"
        return f"the trigger {webhook.trigger!r} does not listen to {point} (it listens to {listens})"
    if tool is None and POINTS[point].for_tools:
        return f"the matcher {webhook.matcher!r} fits no known tool; name one of your agent's with --tool"
    if not webhook.wants(point, tool):
        return f"the matcher {webhook.matcher!r} does not fit the tool {tool!r}"
    return None


def _not_found(name: str, configuration: Configuration) -> HookyardError:
    """Return why no webhook of a name can be tested."""
    for problem in configuration.problems:
        if problem.hook == name and problem.severity == "error":
            fault = f"{problem.key}: {problem.message}" if problem.key else problem.message
            return InvalidError(f"the webhook {name!r} cannot be used: {fault}", where=str(problem.place))
    near = difflib.get_close_matches(name, [webhook.name for webhook in configuration.webhooks], n=1)
    return NotFoundError(
        f"no webhook {name!r} acts here",
        hint=f"did you mean {near[0]!r}?" if near else "hookyard hooks list shows them, hooks check their faults",
    )


def _show_try(verdict: Verdict, delivery: Delivery) -> None:
    click.echo(f"request to {delivery.url} in the format {delivery.format}, webhook-id {delivery.id}:")
    click.echo(_indented(delivery.request))
    for attempt in delivery.attempts:
        said = attempt.error or f"HTTP {attempt.status}"
        click.echo(f"attempt {attempt.number}: {said} after {attempt.duration_ms:.0f} ms")
    if delivery.attempts and delivery.attempts[-1].answer:
        click.echo(_indented(delivery.attempts[-1].answer))
    click.echo(f"verdict: {verdict.result.value}" + (f": {verdict.message}" if verdict.message else ""))
    if verdict.after is not None:
        click.echo(f"modified to:\n{_indented(verdict.after)}")


def _indented(text: str) -> str:
    """Return JSON indented for reading, other text as it is, without control characters."""
    with contextlib.suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    lines = ("".join(c for c in line if c.isprintable() or c == "\t") for line in text.splitlines())
    return "\n".join(f"  {line}" for line in lines)


def _hooks(project: Path) -> Hooks:
    return Hooks.load(project, warn=lambda _: None)


def _configuration(project: Path) -> Configuration:
    return _hooks(project).configuration


def _switched_off(webhook: Webhook, off: Mapping[str, Endpoint]) -> str | None:
    endpoint = off.get(webhook.breaker_key)
    return str(endpoint) if endpoint and endpoint.is_switched_off and not webhook.fails_closed else None


def _shown(gate: Webhook | InvalidFailClosedHook, off: Mapping[str, Endpoint]) -> dict[str, Any]:
    """Return a webhook in a form that is safe to show."""
    if isinstance(gate, InvalidFailClosedHook):
        return {
            "name": gate.name,
            "trigger": ",".join(sorted(gate.points)),
            "mode": "denies",
            "url": "",
            "from": str(gate.place),
            "reason": gate.reason,
            "points": sorted(gate.points),
            "matcher": gate.matcher,
        }
    mode = "batch" if gate.batch else gate.mode.value
    return {
        "name": gate.name,
        "description": gate.description,
        "trigger": gate.trigger,
        "points": sorted(gate.points),
        "matcher": gate.matcher,
        "mode": f"{mode}, fails closed" if gate.fails_closed else mode,
        "format": gate.format,
        "url": gate.shown_url,
        "priority": gate.priority,
        "from": str(gate.place),
        "switchedOff": _switched_off(gate, off),
    }


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


for command in (hooks_sent.listen, hooks_sent.deliveries, hooks_sent.replay):
    hooks.add_command(command)
