"""`hookyard demo`: the main job on a throw-away data folder, with no key and no network.

Called from the command line. Tells the story as it happens (`story`), on a real server in a process of its own
(`server`), with a real webhook receiver (`receiver`). Only the model is played: by the scripted model, which is named
wherever it speaks. Exits 0 only if every step really happened.
"""

from __future__ import annotations

import signal
import sys
from typing import NoReturn

import click


@click.command(short_help="Show the whole of it at work, with no key and no network")
@click.option("--keep", is_flag=True, help="Leave the server up afterwards and print its link; Ctrl-C ends it.")
@click.option("--lang", type=click.Choice(["en", "zh-CN"]), help="Language of the story; the terminal's by default.")
def demo(keep: bool, lang: str | None) -> None:
    """Show the main job from end to end: an event starts an agent whose tool calls pass webhooks."""
    from hookyard.cli.demo.output import DemoOutput
    from hookyard.cli.demo.scenario import run_scenario

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    sys.exit(run_scenario(DemoOutput.for_terminal(lang), keep=keep))


def _end(number: int, _frame: object) -> NoReturn:
    """Exit on a signal; the demo's server ends with it, and its directory is removed."""
    sys.exit(128 + number)
