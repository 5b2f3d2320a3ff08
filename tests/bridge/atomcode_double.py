"""A double of AtomCode's hook runner, after the rules that its public source states: the program cannot be installed.

It runs every entry of `hooks.json` for an event with `sh -c`. The last non-blank line of standard output decides when
it is a JSON object, whatever the exit code. Otherwise only exit code 2 refuses, and only with a reason (standard
output before standard error) that does not look as if the hook itself had failed to start.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hookyard.bridge.dialects import dialect_of

BROKEN = (
    "can't open file",
    "command not found",
    "cannot execute",
    "ModuleNotFoundError",
    "No module named",
    "ImportError",
)


@dataclass(frozen=True)
class AtomCode:
    """One AtomCode with its settings.

    Attributes:
        home: The user's home folder.
        work: Where it works.
        environ: Its variables.
    """

    home: Path
    work: Path
    environ: Mapping[str, str]

    async def call(self, args: Any, tool: str = "bash") -> tuple[str | None, Any]:
        """Return why a tool call is refused, None when it runs, and the arguments that it would run with."""
        native = {"session_id": "s", "call_id": "c", "tool_name": tool, "tool_input": args, "cwd": str(self.work)}
        for decided, reason in await self._run("PreToolUse", native):
            if decided.get("action") == "modify":
                args = decided["args"]
            if reason is not None:
                return reason, args
        return None, args

    async def prompt(self, text: str) -> str | None:
        """Return why a message is refused, None when it is not."""
        native = {"session_id": "s", "prompt": text, "cwd": str(self.work)}
        return next((why for _, why in await self._run("UserPromptSubmit", native) if why is not None), None)

    async def _run(self, event: str, native: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str | None]]:
        settings = json.loads(dialect_of("atomcode").settings_file(self.home, self.environ, None).read_text())
        found = [entry["command"] for entry in settings["hooks"].values() if entry["event"] == event]
        assert found, f"nothing is hooked at {event}"
        return [self._decided(*await self._shell(command, native)) for command in found]

    async def _shell(self, command: str, native: Mapping[str, Any]) -> tuple[int | None, str, str]:
        process = await asyncio.create_subprocess_exec(
            *("sh", "-c", command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.work,
            env=dict(self.environ),
        )
        out, err = await process.communicate(json.dumps(native).encode())
        return process.returncode, out.decode(), err.decode()

    def _decided(self, code: int | None, out: str, err: str) -> tuple[Mapping[str, Any], str | None]:
        lines = [line for line in out.splitlines() if line.strip()]
        try:
            said = json.loads(lines[-1]) if lines else None
        except ValueError:
            said = None
        if isinstance(said, dict):
            blocks = "block" in (said.get("decision"), said.get("action"))
            return said, said.get("reason", "blocked by hook") if blocks else None
        reason = out.strip() or err.strip()
        broken = not reason or any(sign in reason for sign in BROKEN)
        return {}, reason if code == 2 and not broken else None
