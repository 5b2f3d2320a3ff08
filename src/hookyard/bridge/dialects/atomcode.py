"""AtomCode, whose own webhooks no longer fire; its command hooks do.

Known from its documentation and from the shapes that it shares with Claude Code; no test has run it, so it is called
unproven everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hookyard.bridge.dialects import base
from hookyard.bridge.dialects.base import BridgeDecision, HookExit, InstalledLine, NativeEvent, NativeHook, Recheck
from hookyard.bridge.dialects.claude_code import ClaudeCode
from hookyard.core.errors import InvalidError
from hookyard.hooks.points import Point

_PREFIX = "hookyard-"


class AtomCode(ClaudeCode):
    """AtomCode's dialect."""

    name = "atomcode"
    title = "AtomCode"
    proven = ""
    recheck = Recheck.RUNS_THEM
    noise = frozenset({base.Noise.ENV})  # sh
    closed_tail = base.closed_by_words({"action": "block", "decision": "block", "reason": base.NOT_ASKED})
    events = (
        NativeHook("SessionStart", (Point.SESSION_START,)),
        NativeHook("UserPromptSubmit", base.PROMPT),
        NativeHook("PreToolUse", base.BEFORE_TOOL),
        NativeHook("PostToolUse", (Point.POST_TOOL,)),
        NativeHook("PostToolUseFailure", (Point.POST_TOOL,)),
        NativeHook("Stop", base.TURN_END),
        NativeHook("StopFailure", (Point.ERROR, *base.TURN_END)),
        NativeHook("SessionEnd", (Point.SESSION_END,)),
    )
    tools: tuple[str, ...] = (
        "bash",
        "edit_file",
        "glob",
        "grep",
        "list_directory",
        "read_file",
        "search_files",
        "web_fetch",
        "web_search",
        "write_file",
    )

    _changes_results = False
    _read_by_others = False

    def read(self, event: str, native: Mapping[str, Any]) -> NativeEvent:
        """Read an event as Claude Code's, except that a call's id is `call_id`."""
        call_id = base.text_of(native, "call_id", "tool_use_id")
        return super().read(event, {**native, "tool_use_id": call_id})

    def answer(self, heard: NativeEvent, ruling: BridgeDecision) -> HookExit:
        """Return a deny and a modification in AtomCode's terms."""
        if ruling.denied is not None:
            return self.refuse(heard.event, ruling.denied)
        said: dict[str, Any] = {} if ruling.args is None else {"action": "modify", "args": ruling.args}
        if ruling.warnings:
            said["additionalContext"] = base.warn(ruling.warnings)
        return HookExit.of(said, base.warn(ruling.warnings))

    def refuse(self, event: str, reason: str) -> HookExit:
        """Return a refusal as JSON on stdout: AtomCode reads many an exit code 2 as a broken hook and goes on.

        It reads the last line, so the words get a line of their own. The old and the new word for it are both said.
        """
        said = {"action": "block", "decision": "block", "reason": reason}
        return HookExit(out="\n" + json.dumps(said, ensure_ascii=False), err=reason)

    def settings_file(self, home: Path, environ: Mapping[str, str], project: Path | None) -> Path:
        """Return the file of the command hooks, not the webhooks' `hooks.toml`."""
        if project is not None:
            return project / ".hooks.json"
        return Path(environ.get("ATOMCODE_HOME") or home / ".atomcode") / "hooks.json"

    def other_files(self, home: Path, environ: Mapping[str, str], project: Path | None) -> tuple[Path, ...]:
        """Return nothing: no other file is known."""
        return ()

    def install(self, settings: dict[str, Any], lines: Sequence[InstalledLine], ours: Callable[[str], bool]) -> None:
        """Write one named entry for each event; times are in milliseconds."""
        entries = settings.setdefault("hooks", {})
        if not isinstance(entries, dict):
            raise InvalidError("`hooks` is no object", hint="fix the file, then install again")
        for name, entry in list(entries.items()):
            if isinstance(entry, dict) and ours(str(entry.get("command", ""))):
                del entries[name]
        for line in lines:
            entries[f"{_PREFIX}{line.event.name}"] = {
                "event": line.event.name,
                "command": line.command,
                "timeout_ms": line.timeout_seconds * 1000,
            }
        if not entries:
            del settings["hooks"]


DIALECT = AtomCode()
