"""`hookyard runs`: the runs of a running server."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import click

from hookyard.cli import terminal
from hookyard.cli.server import Server, json_option, workspace_option

_STATUSES = ("queued", "running", "succeeded", "failed", "timed_out", "cancelled", "skipped")


@click.group(short_help="List, show, cancel and retry runs of a running server")
def runs() -> None:
    """List, show, cancel and retry runs of a running server (HOOKYARD_URL, HOOKYARD_TOKEN)."""


@runs.command("list")
@click.option("--status", type=click.Choice(_STATUSES), help="Only those.")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="At most so many, newest first."
)
@workspace_option
@json_option
def list_runs(status: str | None, limit: int, workspace: str | None, as_json: bool) -> None:
    """List runs, newest first."""
    server = Server.from_environment()
    found = list(server.pages(f"{server.workspace(workspace)}/runs", limit=limit, query={"status": status}))
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    if not found:
        print("no runs")
    for run in found:
        terminal.show(f"{run['id']}  {run['status']:<9}  {run['queuedAt']}  {_callback(run)}")


@runs.command(short_help="Show one run, with all that it did.")
@click.argument("run_id", metavar="ID")
@workspace_option
@json_option
def show(run_id: str, workspace: str | None, as_json: bool) -> None:
    """Show one run: prompt, messages, tool calls, webhook decisions, notes, usage."""
    server = Server.from_environment()
    run = server.ask("GET", f"{server.workspace(workspace)}/runs/{quote(run_id, safe='')}")
    if as_json:
        print(json.dumps(run, ensure_ascii=False))
        return
    why = f": {run['reason']}" if run.get("reason") else ""
    terminal.show(f"{run['id']}  {run['status']}{why}  {_callback(run)}")
    for name in ("queuedAt", "startedAt", "finishedAt"):
        if run.get(name):
            terminal.show(f"{name}: {run[name]}")
    _show_agent(run)
    terminal.show(f"\n{run['prompt']}\n")
    for message in run.get("messages", ()):
        terminal.show(f"[{message['role']}] {message['content']}")
    for call in run.get("toolCalls", ()):
        terminal.show(f"tool {call.get('name')} {call.get('args', '')}")
    for decision in run.get("decisions", ()):
        terminal.show(f"webhook {json.dumps(decision, ensure_ascii=False)}")
    for note in run.get("notes", ()):
        if note["text"] != run.get("answer"):  # a dry run's only note is its answer
            terminal.show(f"note {note['text']}")
    _show_usage(run["usage"])
    if run.get("answer"):
        terminal.show(f"\n{run['answer']}")
    if run.get("error"):
        terminal.show(f"\nerror: {run['error']}")


@runs.command(short_help="Cancel a run that has not ended.")
@click.argument("run_id", metavar="ID")
@workspace_option
@json_option
def cancel(run_id: str, workspace: str | None, as_json: bool) -> None:
    """Cancel a run that has not ended; its agent and all that it started are ended."""
    _act("cancel", run_id, workspace, as_json)


@runs.command()
@click.argument("run_id", metavar="ID")
@workspace_option
@json_option
def retry(run_id: str, workspace: str | None, as_json: bool) -> None:
    """Start a run again, as a new run with the same prompt."""
    _act("retry", run_id, workspace, as_json)


def _act(what: str, run_id: str, workspace: str | None, as_json: bool) -> None:
    server = Server.from_environment()
    run = server.ask("POST", f"{server.workspace(workspace)}/runs/{quote(run_id, safe='')}/{what}")
    print(json.dumps(run, ensure_ascii=False) if as_json else f"{run['id']}  {run['status']}")


def _show_agent(run: dict[str, Any]) -> None:
    """Print which agent worked on the newest attempt."""
    about = (run.get("attempts") or [{}])[-1].get("agent") or {}
    words = [" ".join(filter(None, (about.get("kind"), about.get("version")))), about.get("model"), about.get("folder")]
    if known := [word for word in words if word]:
        terminal.show(f"agent: {', '.join(known)}")


def _show_usage(usage: dict[str, Any]) -> None:
    if not any(usage.values()):
        return
    cost = "" if usage["costUsd"] is None else f", {usage['costUsd']:.4f} USD"
    tokens = f"{usage['inputTokens']} tokens in, {usage['outputTokens']} out"
    terminal.show(f"usage: {tokens}, {terminal.counted(usage['toolCalls'], 'tool call')}{cost}")


def _callback(run: dict[str, Any]) -> str:
    return str(run.get("callbackName") or run.get("callbackId") or "")
