"""`hookyard bridge …`: the hooks of other agents, theirs in and ours out. Found by `cli.main`.

Thin: `bridge.install` does the work, `bridge.desk` answers an event.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from hookyard.bridge import relay, shim
from hookyard.bridge.dialects import all_dialects, discovered
from hookyard.bridge.dialects.base import HookExit
from hookyard.bridge.handler import HookRequestHandler
from hookyard.bridge.install import Bridge, Done, Status
from hookyard.bridge.wire import HookRequest, noise_in
from hookyard.cli.errors import warn_of_plugins
from hookyard.core.clock import SystemClock, iso
from hookyard.hooks.warning import to_stderr


@click.group(help="Hooks of other agents, in and out.")
def bridge() -> None:
    """Group of the commands below."""


_agent = click.argument("agent", type=click.Choice(list(all_dialects())))
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


def _scope(command: Callable[..., Any]) -> Callable[..., Any]:
    project = click.option(
        "--project", type=click.Path(exists=True, file_okay=False, path_type=Path), help="For one project's folder."
    )
    user = click.option("--user", is_flag=True, help="For all of your work (the default).")
    return project(user(command))


def _folder(project: Path | None, user: bool) -> Path | None:
    if project is not None and user:
        raise click.UsageError("--project and --user exclude each other")
    return None if project is None else project.resolve()


@bridge.command(short_help="Write our hooks into an agent's configuration.")
@_agent
@_scope
@click.option("--allow-modify", is_flag=True, help="Let changed arguments run where the agent asks nobody about them.")
@click.option("--trust-codex", is_flag=True, help="Have Codex trust these hooks, in place of your own review.")
def install(agent: str, project: Path | None, user: bool, allow_modify: bool, trust_codex: bool) -> None:
    """Write our hooks into an agent's configuration, next to its own."""
    directory = _folder(project, user)
    if trust_codex and agent != "codex":
        raise click.UsageError("--trust-codex is for codex only")
    done = _ours().install(agent, directory, allow_modify=allow_modify, trust_codex=trust_codex)
    click.echo(f"{'wrote' if done.changed else 'nothing to change in'} {done.path}")
    click.echo(f"hooked: {', '.join(done.events)}")
    closed = ", ".join(done.closed) or "none, since no gate at these events fails closed"
    click.echo(f"closed: {closed}")
    for note in done.notes:
        click.echo(f"note: {note}")


@bridge.command()
@_agent
@_scope
def uninstall(agent: str, project: Path | None, user: bool) -> None:
    """Take our hooks out again; everything else stays."""
    done: Done = _ours().uninstall(agent, _folder(project, user))
    click.echo(f"{'restored' if done.changed else 'nothing of ours in'} {done.path}")


@bridge.command(short_help="What is installed, and whether it works.")
@click.option(
    "--project",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    show_default="the current folder",
    help="Folder of the project.",
)
@_json
def status(project: Path, as_json: bool) -> None:
    """Show what is installed, whether the agent trusts it, and whether it reaches the webhooks."""
    ours = _ours()
    warn_of_plugins(discovered().problems)
    found = ours.status(project.resolve())
    installed = any(one.installed for one in found)
    took = ours.reach() if installed else None
    if as_json:
        shown = {
            "agents": [{**asdict(one), "path": str(one.path)} for one in found],
            "relayPid": ours.relay_pid(),
            "reached": took is not None if installed else None,
        }
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    for one in found:
        if one.installed or one.fault:
            click.echo(_line(one))
    if not installed:
        click.echo("Nothing is installed. `hookyard bridge install AGENT` hooks an agent.")
    elif took is None:
        click.echo(f"relay: NOT REACHED; its log is {ours.folder / relay.LOG}")
        sys.exit(1)
    else:
        click.echo(f"relay: answers ({took * 1000:.0f} ms)")


@bridge.command(short_help="Answer one native event from stdin.")
@_agent
@click.argument("event")
@click.option("--closed", is_flag=True, help="Whatever goes wrong refuses the step.")
@click.option("--allow-modify", is_flag=True, help="As at installation.")
@click.option("--seconds", type=click.FloatRange(0.1, 3600), default=60.0, show_default=True, help="Deadline.")
def run(agent: str, event: str, closed: bool, allow_modify: bool, seconds: float) -> None:
    """Answer one native event from stdin, without the relay: what the agent's hook would get."""
    text = sys.stdin.buffer.read()
    asked = HookRequest(agent, event, closed, allow_modify, seconds, str(Path.cwd()), text, noise_in(shim.noise()))
    answer = asyncio.run(_answer(asked))
    if answer.err:
        click.echo(answer.err, err=True)
    if answer.out:
        click.echo(answer.out)
    sys.exit(answer.code)


async def _answer(asked: HookRequest) -> HookExit:
    ours = _ours()
    desk = HookRequestHandler(ours.folder, ours.home, os.environ, SystemClock(), to_stderr)
    try:
        return await desk.handle(asked)
    finally:
        await desk.aclose()


def _ours() -> Bridge:
    return Bridge.of_environment(os.environ)


def _line(one: Status) -> str:
    if one.fault:
        return f"{one.agent} ({one.scope}): {one.fault}"
    parts = [f"{one.agent} ({one.scope}): {', '.join(one.installed)} in {one.path}"]
    if one.missing:
        parts.append(f"install again for {', '.join(one.missing)}")
    if one.trusted is not None:
        parts.append("trusted by Codex" if one.trusted else "NOT TRUSTED by Codex, which skips it: open /hooks there")
    heard = "never heard of" if one.last_heard is None else f"last heard of {_ago(one.last_heard)}"
    return "; ".join([*parts, heard])


def _ago(at: float) -> str:
    return f"{iso(at)} ({max(time.time() - at, 0):.0f} s ago)"
