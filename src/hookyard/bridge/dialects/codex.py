"""Codex: Claude Code's shapes, except that a modification without an "allow" runs the original command.

Since that "allow" skips the person at the keyboard, it is sent only where no person would have been asked, or where the
user allowed it (`settle`). Codex skips hooks that it does not trust, silently: see `codex_trust`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hookyard.bridge.dialects import base
from hookyard.bridge.dialects.base import NativeHook, Recheck
from hookyard.bridge.dialects.claude_code import ClaudeCode
from hookyard.hooks.points import Point

SESSION_END_SECONDS = 3.0
"""Codex gives its SessionEnd hooks no more, whatever they ask for."""


class Codex(ClaudeCode):
    """Codex's dialect. It accepts events that it never fires, so those are left out."""

    name = "codex"
    title = "Codex"
    proven = "0.169.0"
    recheck = Recheck.RUNS_THEM
    noise = frozenset(base.Noise)  # the user's own shell, whichever that is
    events = (
        NativeHook("SessionStart", (Point.SESSION_START,)),
        NativeHook("UserPromptSubmit", base.PROMPT),
        NativeHook("PreToolUse", base.BEFORE_TOOL),
        NativeHook("PostToolUse", (Point.POST_TOOL,)),
        NativeHook("Stop", base.TURN_END),
        NativeHook("SessionEnd", (Point.SESSION_END,), SESSION_END_SECONDS),
    )
    tools: tuple[str, ...] = (
        "Bash",
        "apply_patch",
        "update_plan",
        "view_image",
        "web_search",
    )
    _with_modified: Mapping[str, Any] = {"permissionDecision": "allow"}
    _changes_results = False
    _read_by_others = False

    def settings_file(self, home: Path, environ: Mapping[str, str], project: Path | None) -> Path:
        """Return the hooks file, which is separate from the configuration."""
        if project is not None:
            return project / ".codex" / "hooks.json"
        return Path(environ.get("CODEX_HOME") or home / ".codex") / "hooks.json"

    def other_files(self, home: Path, environ: Mapping[str, str], project: Path | None) -> tuple[Path, ...]:
        """Return the configuration, which can switch hooks off and lists the trusted ones."""
        return (self.settings_file(home, environ, project).with_name("config.toml"),)


DIALECT = Codex()
