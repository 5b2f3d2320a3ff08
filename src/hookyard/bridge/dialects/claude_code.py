"""Claude Code, and what Codex took over from it.

A modification is the whole new input without any decision: an "allow" would skip the person at the keyboard.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hookyard.bridge import grouped_settings
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

_BYPASSING = "bypassPermissions"

_NOT_CLAUDES = frozenset({"timestamp", "client_type"})
"""Keys that Claude Code's events do not have, and those of agents that read its settings have."""


class ClaudeCode:
    """Claude Code's dialect."""

    name = "claude-code"
    title = "Claude Code"
    proven = "2.1.330"
    recheck = Recheck.ASKS_AGAIN
    noise = frozenset({base.Noise.ENV})  # /bin/sh
    closed_tail = base.closed_by_exit()
    blocks_prompts = True
    plugin: Path | None = None
    events: tuple[NativeHook, ...] = (
        NativeHook("SessionStart", (Point.SESSION_START,)),
        NativeHook("UserPromptSubmit", base.PROMPT),
        NativeHook("MessageDisplay", (Point.MODEL_RESPONSE,)),
        NativeHook("PreToolUse", base.BEFORE_TOOL),
        NativeHook("PostToolUse", (Point.POST_TOOL,)),
        NativeHook("PostToolUseFailure", (Point.POST_TOOL,)),
        NativeHook("Stop", base.TURN_END),
        NativeHook("StopFailure", (Point.ERROR, *base.TURN_END)),
        NativeHook("SessionEnd", (Point.SESSION_END,)),
    )
    tools: tuple[str, ...] = (
        "Agent",
        "AskUserQuestion",
        "Bash",
        "BashOutput",
        "Edit",
        "ExitPlanMode",
        "Glob",
        "Grep",
        "KillShell",
        "MultiEdit",
        "NotebookEdit",
        "Read",
        "Skill",
        "SlashCommand",
        "Task",
        "TodoWrite",
        "WebFetch",
        "WebSearch",
        "Write",
    )

    def read(self, event: str, native: Mapping[str, Any]) -> NativeEvent:
        """Understand an event, also of an agent that reads Claude's settings."""
        about_tool = "ToolUse" in event
        return NativeEvent(
            event,
            self._author(native),
            self._firings(event, native),
            base.text_of(native, "session_id") or None,
            base.text_of(native, "cwd") or None,
            base.needed(native, "tool_name") if about_tool else None,
            base.arguments(native, "tool_input") if about_tool else None,
            base.text_of(native, "tool_use_id"),
            base.number(native, "duration_ms"),
            native.get("permission_mode") == _BYPASSING,
            native.get("tool_response") if event == "PostToolUse" and self._changes_results else None,
            fixed_args=(base.fixed(native, "tool_input") or self._foreign(native)) if about_tool else "",
        )

    def _author(self, native: Mapping[str, Any]) -> str:
        """Return the agent that fired an event: the one named in the line, unless the event is Copilot's, which names
        no transcript.

        The end of a turn is the one event at which Copilot names its transcript, in its own folder.
        """
        transcript = base.text_of(native, "transcript_path")
        copilots = self._read_by_others and "timestamp" in native and (not transcript or "/.copilot/" in transcript)
        return "copilot" if copilots else self.name

    def _foreign(self, native: Mapping[str, Any]) -> str:
        """Say that the agent is another one, which may run the old arguments, `""` where it is Claude Code."""
        claudes = not self._read_by_others or _NOT_CLAUDES.isdisjoint(native)
        return "" if claudes else f"an agent that only reads {self.title}'s settings may not obey"

    def _firings(self, event: str, native: Mapping[str, Any]) -> tuple[HookCall, ...]:
        call_id = base.text_of(native, "tool_use_id")
        model = {"model_name": base.text_of(native, "model")}
        match event:
            case "SessionStart":
                return (HookCall(Point.SESSION_START, model if model["model_name"] else {}),)
            case "UserPromptSubmit":
                return base.prompt(base.text_of(native, "prompt"))
            case "MessageDisplay":
                text = base.text_of(native, "delta")
                return (HookCall(Point.MODEL_RESPONSE, {"response": text}),) if text else ()
            case "PreToolUse":
                return base.before_tool(call_id)
            case "PostToolUse":
                result = native.get("tool_response", native.get("tool_result", ""))
                return base.after_tool(call_id, base.as_text(result), success=True)
            case "PostToolUseFailure":
                return base.after_tool(call_id, base.as_text(native.get("error", "")), success=False)
            case "Stop":
                return base.turn_end()
            case "StopFailure":
                kind, message = base.text_of(native, "error"), base.text_of(native, "last_assistant_message")
                error = HookCall(
                    Point.ERROR, {"error_type": kind or "error", "error_message": message, "phase": "turn"}
                )
                return (error, *base.turn_end("Failed"))
            case "SessionEnd":
                return (HookCall(Point.SESSION_END),)
        return ()

    def answer(self, heard: NativeEvent, ruling: BridgeDecision) -> HookExit:
        """Return a refusal by exit code, anything else as JSON."""
        if ruling.denied is not None:
            return self.refuse(heard.event, ruling.denied)
        said: dict[str, Any] = {}
        if ruling.args is not None:
            said |= self._specific(heard, updatedInput=ruling.args, **self._with_modified)
        if ruling.result is not None:
            said |= self._specific(heard, updatedToolOutput=_in_shape_of(heard.response, ruling.result))
        if ruling.warnings:
            said["systemMessage"] = base.warn(ruling.warnings)
        return HookExit.of(said, base.warn(ruling.warnings))

    def refuse(self, event: str, reason: str) -> HookExit:
        """Exit code 2 with the reason on stderr: for tool calls and prompts, whatever stands on stdout."""
        return HookExit(base.BLOCKED, err=reason)

    _with_modified: Mapping[str, Any] = {}
    _changes_results = True
    _read_by_others = True
    """Other agents read its settings too, and run its lines."""

    def _specific(self, heard: NativeEvent, **said: Any) -> dict[str, Any]:
        return {"hookSpecificOutput": {"hookEventName": heard.event, **said}}

    def settings_file(self, home: Path, environ: Mapping[str, str], project: Path | None) -> Path:
        """Return the settings file; a project's is the uncommitted one, since the lines name paths of this machine."""
        if project is not None:
            return project / ".claude" / "settings.local.json"
        return Path(environ.get("CLAUDE_CONFIG_DIR") or home / ".claude") / "settings.json"

    def other_files(self, home: Path, environ: Mapping[str, str], project: Path | None) -> tuple[Path, ...]:
        """Return the committed settings of a project, which can switch all hooks off, besides the others."""
        return () if project is None else (project / ".claude" / "settings.json",)

    def install(self, settings: dict[str, Any], lines: Sequence[InstalledLine], ours: Callable[[str], bool]) -> None:
        """Write the hooks as groups by event."""
        grouped_settings.install(settings, lines, ours, matcher="*")


def _in_shape_of(response: Any, content: str) -> Any:
    """Return a new result in the shape of the old one: Claude Code keeps the old one when the shape changes."""
    if isinstance(response, str):
        return content
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return {**response, "stdout": content} if isinstance(response, dict) and "stdout" in response else content


DIALECT = ClaudeCode()
