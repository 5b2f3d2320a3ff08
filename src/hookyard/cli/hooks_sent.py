"""`hookyard hooks listen | deliveries | replay`: a receiver, and what was sent. Added to the group in `hooks`.

Thin: the outbox and the receiver do the work. Texts of others are shown without anything that could steer a terminal.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from hookyard.core.clock import SystemClock, iso
from hookyard.core.errors import InvalidError
from hookyard.core.ids import Ids
from hookyard.hooks.delivery.delivery_log import Delivery, DeliveryState
from hookyard.hooks.formats.fitting import cut, one_line, visible
from hookyard.hooks.hooks import Hooks
from hookyard.hooks.outbox import outbox as outbox_file
from hookyard.hooks.outbox.outbox import Outbox
from hookyard.settings import Settings

LISTEN_PORT = 8485
REPLAY_SECONDS = 10.0
_POLL_SECONDS = 0.05
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


@click.command("listen", short_help="A receiver that shows what arrives, and answers as told.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=LISTEN_PORT, show_default=True, help="0 = any free one."
)
@click.option("--answer", type=click.Choice(["ok", "warning", "deny", "modify"]), default="ok", show_default=True)
@click.option("--message", default="", help="The answer's message.")
@click.option("--content", help="With --answer modify: the new content.")
@click.option("--status", type=int, default=200, show_default=True, help="HTTP status of the answer.")
@click.option("--delay", type=float, metavar="SECONDS", default=0.0, help="Wait before the answer, at most an hour.")
@click.option("--rules", multiple=True, help="Judge what arrives: secrets. May be repeated.")
@click.option(
    "--on-find",
    type=click.Choice(["warn", "deny", "redact"]),
    default="deny",
    show_default=True,
    help="With --rules: what to do; where a point cannot be denied, it is redacted, else warned of.",
)
@click.option("--save", type=click.Path(file_okay=False, path_type=Path), help="Save each request in this folder.")
@click.option(
    "--secret", multiple=True, envvar="HOOKYARD_LISTEN_SECRET", help="Verify signatures; better given as a variable."
)
def listen(
    host: str,
    port: int,
    answer: str,
    message: str,
    content: str | None,
    status: int,
    delay: float,
    rules: tuple[str, ...],
    on_find: str,
    save: Path | None,
    secret: tuple[str, ...],
) -> None:
    """Print every request that arrives, and answer it as the options say.

    A receiver for trying webhooks without sending a prompt to anybody: point a url at it. Verifies signatures with
    HOOKYARD_LISTEN_SECRET.
    """
    from hookyard.hooks import listen as receiver
    from hookyard.hooks.redaction.secret_rules import Action, named

    try:
        listening = receiver.Listening(
            host=host,
            port=port,
            answer=answer,
            message=message,
            content=content,
            status=status,
            delay_seconds=delay,
            rules=tuple(named(name) for name in rules),
            action=Action(on_find),
            save=save,
            secrets=secret,
            colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        )
    except InvalidError as error:
        raise click.UsageError(str(error)) from None
    try:
        asyncio.run(receiver.listen(listening, click.echo, SystemClock(), _listening_at))
    except KeyboardInterrupt:
        click.echo("")


def _listening_at(url: str) -> None:
    click.echo(
        f"listening at {url} until Ctrl-C; to send everything here, add to {Settings.load().home / 'hooks.toml'}:\n\n"
        f'  [[webhooks]]\n  name = "debug"\n  trigger = "*"\n  url = "{url}"\n'
    )


@click.command("deliveries", short_help="What was sent, and what is still owed.")
@click.argument("delivery_id", metavar="[ID]", required=False)
@click.option(
    "--state", type=click.Choice([state.value for state in DeliveryState]), help="Only those; dead = given up."
)
@click.option("--webhook", metavar="NAME", help="Only those of this webhook.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True)
@_json
def deliveries(delivery_id: str | None, state: str | None, webhook: str | None, limit: int, as_json: bool) -> None:
    """List what was sent to webhooks and what is still pending, newest first; with an ID, show one delivery whole."""
    found = asyncio.run(_select(delivery_id, DeliveryState(state) if state else None, webhook, limit))
    if as_json:
        shown = [asdict(delivery) for delivery in found]
        click.echo(json.dumps(shown[0] if delivery_id else shown, indent=2, ensure_ascii=False))
    elif delivery_id:
        click.echo(_whole(found[0]))
    elif found:
        click.echo(_table(found))
    else:
        click.echo("No deliveries.")


async def _select(
    delivery_id: str | None, state: DeliveryState | None, webhook: str | None, limit: int
) -> list[Delivery]:
    path = Settings.load().home / outbox_file.FILE_NAME
    if not path.exists() and delivery_id is None:
        return []  # looking makes no file
    outbox = Outbox(path, clock=SystemClock(), ids=Ids(), warn=_warn)
    try:
        if delivery_id is not None:
            return [await outbox.get(delivery_id)]
        return await outbox.listed(state=state, webhook=webhook, limit=limit)
    finally:
        outbox.close()


@click.command("replay", short_help="Send a delivery again.")
@click.argument("delivery_id", metavar="ID")
@click.option(
    "--project",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    show_default="the current folder",
    help="Folder of the project whose webhook it was.",
)
def replay(delivery_id: str, project: Path) -> None:
    """Send a delivery again: a dead letter under its id, a delivered one under a new id."""
    delivery = asyncio.run(_replayed(delivery_id, project))
    if delivery.id != delivery_id:
        click.echo(f"{delivery_id} again, as {delivery.id}")
    click.echo(_whole(delivery))
    if delivery.state is not DeliveryState.DELIVERED:
        sys.exit(1)


async def _replayed(delivery_id: str, project: Path) -> Delivery:
    """Queue it again and send pending deliveries, for some seconds; earlier ones of its webhook go out first."""
    async with Hooks.load(project, warn=_warn) as loaded:
        background = loaded.sender.background
        new_id = await background.outbox.replay(delivery_id)
        background.start()
        delivery = await background.outbox.get(new_id)
        deadline = SystemClock().monotonic() + REPLAY_SECONDS
        while delivery.state is DeliveryState.PENDING and SystemClock().monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
            delivery = await background.outbox.get(new_id)
        return delivery


def _table(found: Sequence[Delivery]) -> str:
    rows = [("ID", "WHEN", "STATE", "WEBHOOK", "EVENT", "TRIES", "LAST")]
    rows += [
        (
            delivery.id,
            iso(delivery.created_at)[:19].replace("T", " "),
            delivery.state.value,
            cut(one_line(delivery.webhook), 30),
            delivery.event or "batch",
            str(len(delivery.attempts)),
            cut(one_line(_last(delivery)), 60),
        )
        for delivery in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def _whole(delivery: Delivery) -> str:
    """Return a delivery with every attempt, for reading."""
    lines = [
        f"{delivery.id}: {delivery.state.value}",
        f"  {delivery.event or 'batch'} for {delivery.webhook} at {delivery.url}, format {delivery.format}",
        f"  {iso(delivery.created_at)}" + (f", session {delivery.session_id}" if delivery.session_id else ""),
    ]
    for attempt in delivery.attempts:
        said = attempt.error or f"HTTP {attempt.status}"
        lines.append(f"  attempt {attempt.number} at {iso(attempt.at)}: {said} after {attempt.duration_ms:.0f} ms")
        if attempt.answer.strip():
            lines.append(f"    {cut(one_line(attempt.answer), 400)}")
    if delivery.message:
        lines.append(f"  {delivery.message}")
    try:
        body = json.dumps(json.loads(delivery.request), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        body = delivery.request
    lines += [f"  {line}" for line in body.split("\n")]
    return visible("\n".join(lines))


def _last(delivery: Delivery) -> str:
    """Return how the last attempt ended, or why there is none yet."""
    if not delivery.attempts:
        return delivery.message
    last = delivery.attempts[-1]
    return last.error or delivery.message or f"HTTP {last.status}"


def _warn(line: str) -> None:
    click.echo(line, err=True)
