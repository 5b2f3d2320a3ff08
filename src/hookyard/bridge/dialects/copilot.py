"""GitHub Copilot CLI. Its events do not name themselves, so the installed line does; it has a folder of hook files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hookyard.bridge.dialects import base
from hookyard.bridge.dialects.base import (
    BridgeDecision,
    HookCall,
    HookExit,
    InstalledLine,
    NativeEvent,
    NativeHook,
    Recheck,
)
from hookyard.hooks.points import Point

_TOOL_CALL = "preToolUse"


class Copilot:
    """Copilot CLI's dialect."""

    name = "copilot"
    title = "GitHub Copilot CLI"
    proven = "1.0.102"
    recheck = Recheck.RUNS_THEM
    noise = frozenset({base.Noise.BASH_ENV, base.Noise.ENV})  # bash
    closed_tail = base.closed_by_exit({"permissionDecision": "deny", "permissionDecisionReason": base.NOT_ASKED})
    blocks_prompts = False
    plugin: Path | None = None
    events: tuple[NativeHook, ...] = (
        NativeHook("sessionStart", (Point.SESSION_START,)),
        NativeHook("userPromptSubmitted", base.PROMPT),
        NativeHook("preToolUse", base.BEFORE_TOOL),
        NativeHook("postToolUse", (Point.POST_TOOL,)),
        NativeHook("agentStop", base.TURN_END),
        NativeHook("errorOccurred", (Point.ERROR,)),
        NativeHook("sessionEnd", (Point.SESSION_END,)),
    )
    tools: tuple[str, ...] = (
        "apply_patch",
        "bash",
        "create",
        "edit",
        "glob",
        "grep",
        "read_bash",
        "report_intent",
        "stop_bash",
        "task",
        "update_todo",
        "view",
        "web_fetch",
        "write_bash",
    )

    def read(self, event: str, native: Mapping[str, Any]) -> NativeEvent:
        """Understand an event; it tells neither the id of a call nor a permission mode."""
        about_tool = event in {"preToolUse", "postToolUse"}
        return NativeEvent(
            event,
            self.name,
            self._firings(event, native),
            base.text_of(native, "sessionId") or None,
            base.text_of(native, "cwd") or None,
            base.needed(native, "toolName") if about_tool else None,
            base.arguments(native, "toolArgs") if about_tool else None,
            fixed_args=base.fixed(native, "toolArgs") if about_tool else "",
        )

    def _firings(self, event: str, native: Mapping[str, Any]) -> tuple[HookCall, ...]:
        match event:
            case "sessionStart":
                return (HookCall(Point.SESSION_START),)
            case "userPromptSubmitted":
                return base.prompt(base.text_of(native, "prompt"))
            case "preToolUse":
                return base.before_tool("")
            case "postToolUse":
                said = native.get("toolResult")
                result = said if isinstance(said, dict) else {"textResultForLlm": said or ""}
                text = base.as_text(result.get("textResultForLlm", ""))
                return base.after_tool("", text, success=result.get("resultType", "success") == "success")
            case "agentStop":
                return base.turn_end()
            case "errorOccurred":
                return (_error(native),)
            case "sessionEnd":
                return (HookCall(Point.SESSION_END),)
        return ()

    def answer(self, heard: NativeEvent, ruling: BridgeDecision) -> HookExit:
        """Return a refusal by exit code and changed arguments as JSON; a warning can be shown on stderr only."""
        if ruling.denied is not None:
            return self.refuse(heard.event, ruling.denied)
        said = {} if ruling.args is None else {"modifiedArgs": ruling.args}
        return HookExit.of(said, base.warn(ruling.warnings))

    def refuse(self, event: str, reason: str) -> HookExit:
        """Exit code 2, and the words on stdout: the model reads the reason of a tool call there only.

        A message is refused by the words alone, so it is not where the shell prints (`blocks_prompts` is off).
        """
        if event == _TOOL_CALL:
            said = {"permissionDecision": "deny", "permissionDecisionReason": reason}
        else:
            said = {"decision": "block", "reason": reason}
        return HookExit(base.BLOCKED, json.dumps(said, ensure_ascii=False), reason)

    def settings_file(self, home: Path, environ: Mapping[str, str], project: Path | None) -> Path:
        """Return a file of our own in the directory of hook files."""
        if project is not None:
            return project / ".github" / "hooks" / "hookyard.json"
        return Path(environ.get("COPILOT_HOME") or home / ".copilot") / "hooks" / "hookyard.json"

    def other_files(self, home: Path, environ: Mapping[str, str], project: Path | None) -> tuple[Path, ...]:
        """Return the directory, of which every file is run, and the settings, which can switch all hooks off."""
        hooks = self.settings_file(home, environ, project).parent
        if project is not None:
            settings = project / ".github" / "copilot"
            return hooks, settings / "settings.json", settings / "settings.local.json"
        return hooks, hooks.parent / "settings.json", hooks.parent / "config.json"

    def install(self, settings: dict[str, Any], lines: Sequence[InstalledLine], ours: Callable[[str], bool]) -> None:
        """Write a list of commands for each event. The file is hookyard's alone, so all of it is replaced."""
        settings.clear()
        for line in lines:
            hook = {"type": "command", "bash": line.command, "timeoutSec": line.timeout_seconds}
            settings.setdefault("version", 1)
            settings.setdefault("hooks", {}).setdefault(line.event.name, []).append(hook)


def _error(native: Mapping[str, Any]) -> HookCall:
    error = native.get("error")
    told: Mapping[str, Any] = error if isinstance(error, dict) else {"message": base.as_text(error or "")}
    own = {
        "error_type": base.text_of(told, "name") or "error",
        "error_message": base.text_of(told, "message"),
        "phase": base.text_of(native, "errorContext"),
    }
    return HookCall(Point.ERROR, own)


DIALECT = Copilot()
