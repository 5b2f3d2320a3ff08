"""How the demo speaks: in English or Chinese, on a terminal or elsewhere.

Called by `scenario`. Knows nothing of what happens.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources

from hookyard.core.message_catalog import preferred_language

_MARKS = {
    "modified": "~",
    "denied": "✗",
    "forged": "✗",
    "failed": "✗",
    "asked": "?",
    "started": "▶",
    "finished": "✓",
    "done": "✓",
}
_COLOURS = {"~": "35", "✗": "31", "✓": "32", "▶": "34", "?": "36"}


@dataclass(frozen=True, slots=True)
class DemoOutput:
    """Prints the story.

    Attributes:
        texts: What is said at each step, in the reader's language.
        colours: With the terminal's colours.
        write: Takes each line.
    """

    texts: Mapping[str, str]
    colours: bool
    write: Callable[[str], None]

    @classmethod
    def for_terminal(cls, language: str | None) -> DemoOutput:
        """Return the output for the requested language, or for the environment's, and for this standard output."""
        named = language or preferred_language()
        source = resources.files("hookyard.cli.demo").joinpath("texts.toml").read_text(encoding="utf-8")
        texts = tomllib.loads(source)["zh" if named.lower().startswith("zh") else "en"]
        colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        return cls(texts, colours, lambda line: print(line, flush=True))

    def text(self, key: str, **values: object) -> str:
        """Return one text in the reader's language."""
        return self.texts[key].format(**values)

    def print(self, key: str, **values: object) -> None:
        """Print one step."""
        mark = _MARKS.get(key, "·")
        if self.colours and mark in _COLOURS:
            mark = f"\x1b[{_COLOURS[mark]}m{mark}\x1b[0m"
        self.write(f" {mark} {self.text(key, **values)}")
