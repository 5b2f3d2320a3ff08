"""The option `--data`, of the commands that work on the server's own folder.

Used by `serve`, `worker`, `login-link` and `db`.
"""

from __future__ import annotations

from pathlib import Path

import click


def _named(_ctx: click.Context, _param: click.Parameter, given: str | None) -> Path | None:
    # A script's empty variable must not mean the current folder, where a database and a key would then be made.
    if given is not None and not given.strip():
        raise click.BadParameter("is empty; give a folder, or leave it out")
    return None if given is None else Path(given)


data_option = click.option(
    "--data", type=click.Path(file_okay=False), callback=_named, metavar="DIR", help="Data folder; ~/.hookyard."
)
