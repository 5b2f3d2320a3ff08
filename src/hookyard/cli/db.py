"""`hookyard db`: migrations, retention, a consistent copy. Works on the database itself; a server may be running."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hookyard.cli.options import data_option
from hookyard.core.errors import NotFoundError
from hookyard.settings import SQLITE, Settings

if TYPE_CHECKING:
    from hookyard.store.database import Database


@click.group(short_help="Migrations, retention, a consistent copy")
def db() -> None:
    """Migrations, retention, a consistent copy of the database (HOOKYARD_DATABASE_URL, or SQLite in the data
    folder)."""


@db.command(short_help="Bring the tables to this version.")
@data_option
def upgrade(data: Path | None) -> None:
    """Bring the database to this version of hookyard; servers do it themselves when they start."""
    from hookyard.store import migrations
    from hookyard.store.database import Database
    from hookyard.wiring.container import prepare_directory

    settings = Settings.load(data=data)
    prepare_directory(settings.data)
    with Database(settings.database_url) as database:
        done = migrations.upgrade(database)
        print(f"{database.where} {'is now' if done else 'was already'} at version {migrations.HEAD}")


@db.command(short_help="Delete what is kept no longer.")
@data_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def prune(data: Path | None, as_json: bool) -> None:
    """Delete what is kept no longer, by the settings `retention.*`; servers do it every hour."""
    settings = Settings.load(data=data)
    with existing(settings) as database:
        deleted = asyncio.run(_prune(database, settings, _progress()))
    if as_json:
        print(json.dumps(dict(deleted)))
    else:
        print("\n".join(f"{table}: {count} deleted" for table, count in deleted.items()) or "nothing to delete")


@db.command(short_help="Write a consistent copy of SQLite.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@data_option
def backup(file: Path, data: Path | None) -> None:
    """Write a consistent copy of a SQLite database to FILE, also while a server runs."""
    from hookyard.store.retention import backup as copy

    with existing(Settings.load(data=data)) as database:
        print(f"{file}: {copy(database, file):,} bytes")


def existing(settings: Settings) -> Database:
    """Return the database, which must exist.

    Raises:
        NotFoundError: There is none yet.
    """
    from hookyard.store import migrations
    from hookyard.store.database import Database

    path = settings.database_url.removeprefix(SQLITE)
    # Looked for first: opening a SQLite database would make it.
    there = path == settings.database_url or Path(path).exists()
    database = Database(settings.database_url) if there else None
    if database is None or database.read_sync(migrations.current) is None:
        if database is not None:
            database.close()
        raise NotFoundError(
            "there is no hookyard here yet",
            where=settings.database_url if database is None else database.where,
            hint="start it with `hookyard serve`, or give --data",
        )
    return database


async def _prune(
    database: Database, settings: Settings, progress: Callable[[str, int], None] | None
) -> Mapping[str, int]:
    from hookyard.core.clock import SystemClock
    from hookyard.store import retention
    from hookyard.store.live_settings import LiveSettingsStore

    clock = SystemClock()
    live = await LiveSettingsStore(database, clock, settings.live()).load()
    return await retention.prune(database, clock.now(), live, progress)


def _progress() -> Callable[[str, int], None] | None:
    if not sys.stderr.isatty():
        return None

    def show(table: str, count: int) -> None:
        print(f"\r{table}: {count} …\x1b[K", end="", file=sys.stderr, flush=True)

    return show
