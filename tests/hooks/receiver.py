"""The real parts that tests of the webhooks half stand on: a receiver on loopback, a home, a clock that tests own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hookyard.hooks.hooks import Hooks
from hookyard.testing import Received, Receiver
from hookyard.testing import webhook_entry as entry
from hookyard.testing.receiver import Reply as Answer

__all__ = ["Answer", "FakeClock", "Home", "Received", "Receiver", "entry"]


@dataclass
class Home:
    """An empty HOOKYARD_HOME, and what hooks loaded from it print."""

    path: Path
    lines: list[str] = field(default_factory=list)
    environ: dict[str, str] = field(default_factory=dict)
    opened: list[Hooks] = field(default_factory=list)

    def write(self, text: str, name: str = "hooks.toml") -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def hooks(self, project: Path | None = None, **parts: Any) -> Hooks:
        environ = {"ATOMCODE_HOME": str(self.path / "atomcode"), **self.environ}
        hooks = Hooks.load(project, environ=environ, home=self.path, warn=self.lines.append, **parts)
        self.opened.append(hooks)
        return hooks

    def one(self, url: str, *, trigger: str = "pre_tool", name: str = "gate", **keys: object) -> Hooks:
        """Hooks with one webhook; values of keys are TOML texts as `json.dumps` makes them."""
        self.write(entry(name, trigger, url, **keys))
        return self.hooks()


class FakeClock:
    """A clock that moves only when told; `sleep` moves it."""

    __test__ = False

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.at = now
        self.ticks = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.ticks

    def advance(self, seconds: float) -> None:
        self.at += seconds
        self.ticks += seconds

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)
