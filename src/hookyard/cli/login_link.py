"""`hookyard login-link`: a new one-time login link, for users who can read the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from hookyard.cli.options import data_option
from hookyard.settings import Settings


@click.command("login-link", short_help="Print a new one-time login link")
@data_option
@click.option("--login", metavar="NAME", help="Whose; the first administrator's unless given.")
@click.option(
    "--port", type=click.IntRange(1, 65_535), help="Port of the server; that of the one that is running unless given."
)
def login_link(data: Path | None, login: str | None, port: int | None) -> None:
    """Print a link that signs in once, within 24 hours; the server need not be running."""
    settings = Settings.load(data=data)
    print(asyncio.run(_link(settings, login, port)))


async def _link(settings: Settings, login: str | None, port: int | None) -> str:
    from dataclasses import replace

    from hookyard.cli.db import existing
    from hookyard.cli.server_registry import login_url, server_url
    from hookyard.core.clock import SystemClock
    from hookyard.core.ids import Ids
    from hookyard.identity.accounts import Accounts

    clock = SystemClock()
    with existing(settings) as database:
        accounts = Accounts(database, clock, Ids(clock))
        user = (await accounts.first_start())[0] if login is None else await accounts.by_login(login)
        url = server_url(settings) if port is None else replace(settings, port=port).url
        return login_url(url, await accounts.login_link(user.id))
