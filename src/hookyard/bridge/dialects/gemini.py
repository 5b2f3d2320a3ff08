"""Gemini CLI, as `gemini -p` and in the terminal; in its ACP mode it fires no tool hooks and cannot be governed.

Modified arguments are merged with the old ones by Gemini and run at once: what a webhook took away cannot be taken
away, so that is a deny.
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


class Gemini:
    """Gemini CLI's dialect."""

    name = "gemini"
    title = "Gemini CLI"
    proven = "0.61.0"
    recheck = Recheck.RUNS_THEM
    noise = frozenset({base.Noise.BASH_ENV, base.Noise.ENV})  # bash
    closed_tail = base.closed_by_exit({"decision": "deny", "reason": base.NOT_ASKED})
    blocks_prompts = True
    plugin: Path | None = None
    events: tuple[NativeHook, ...] = (
        NativeHook("SessionStart", (Point.SESSION_START,)),
        NativeHook("BeforeAgent", base.PROMPT),
        NativeHook("AfterModel", (Point.MODEL_RESPONSE,)),
        NativeHook("BeforeTool", base.BEFORE_TOOL),
        NativeHook("AfterTool", (Point.POST_TOOL,)),
        NativeHook("AfterAgent", base.TURN_END),
        NativeHook("SessionEnd", (Point.SESSION_END,)),
    )
    tools: tuple[str, ...] = (
        "glob",
        "google_web_search",
        "grep_search",
        "list_directory",
        "read_file",
        "read_many_files",
        "replace",
        "run_shell_command",
        "save_memory",
        "search_file_content",
        "web_fetch",
        "write_file",
        "write_todos",
    )

    def read(self, event: str, native: Mapping[str, Any]) -> NativeEvent:
        """Understand an event; it tells neither the id of a call nor a permission mode."""
        about_tool = event in {"BeforeTool", "AfterTool"}
        return NativeEvent(
            event,
            self.name,
            self._firings(event, native),
            base.text_of(native, "session_id") or None,
            base.text_of(native, "cwd") or None,
            base.needed(native, "tool_name") if about_tool else None,
            base.arguments(native, "tool_input") if about_tool else None,
            fixed_args=base.fixed(native, "tool_input") if about_tool else "",
        )

    def _firings(self, event: str, native: Mapping[str, Any]) -> tuple[HookCall, ...]:
        match event:
            case "SessionStart":
                return (HookCall(Point.SESSION_START),)
            case "BeforeAgent":
                return base.prompt(base.text_of(native, "prompt"))
            case "AfterModel":
                return _spoken(native)
            case "BeforeTool":
                return base.before_tool("")
            case "AfterTool":
                said = native.get("tool_response")
                response = said if isinstance(said, dict) else {"llmContent": said or ""}
                text = base.as_text(response.get("llmContent", ""))
                return base.after_tool("", text, success=not response.get("error"))
            case "AfterAgent":
                return base.turn_end()
            case "SessionEnd":
                return (HookCall(Point.SESSION_END),)
        return ()

    def answer(self, heard: NativeEvent, ruling: BridgeDecision) -> HookExit:
        """Return a deny, a modification and a message to the user in Gemini CLI's terms."""
        if ruling.denied is not None:
            return self.refuse(heard.event, ruling.denied)
        said: dict[str, Any] = {}
        if ruling.args is not None:
            gone = sorted(set(heard.tool_args or {}) - set(ruling.args))
            if gone:
                reason = f"Not run: a webhook took away {gone[0]!r}, which {self.title} cannot do."
                return self.refuse(heard.event, reason)
            said["hookSpecificOutput"] = {"hookEventName": heard.event, "tool_input": ruling.args}
        if ruling.warnings:
            said["systemMessage"] = base.warn(ruling.warnings)
        return HookExit.of(said, base.warn(ruling.warnings))

    def refuse(self, event: str, reason: str) -> HookExit:
        """Exit code 2, and the words on stdout too: where that is not empty, Gemini CLI reads the reason there."""
        said = {"decision": "deny", "reason": reason}
        return HookExit(base.BLOCKED, json.dumps(said, ensure_ascii=False), reason)

    def settings_file(self, home: Path, environ: Mapping[str, str], project: Path | None) -> Path:
        """Return the settings file, of which hooks are a part."""
        return (home if project is None else project) / ".gemini" / "settings.json"

    def other_files(self, home: Path, environ: Mapping[str, str], project: Path | None) -> tuple[Path, ...]:
        """Return the list of trusted directories: no hooks run in another one."""
        return (home / ".gemini" / "trustedFolders.json",) if project is None else ()

    def install(self, settings: dict[str, Any], lines: Sequence[InstalledLine], ours: Callable[[str], bool]) -> None:
        """Write the hooks as groups by event; times are in milliseconds."""
        grouped_settings.install(settings, lines, ours, matcher=".*", timeout_unit=1000)


def _spoken(native: Mapping[str, Any]) -> tuple[HookCall, ...]:
    """Return the text of one chunk of the model's answer; chunks without text (tool calls) give none."""
    answer, request = native.get("llm_response"), native.get("llm_request")
    text = base.text_of(answer, "text") if isinstance(answer, dict) else ""
    if not text and isinstance(answer, dict):
        text = "".join(_parts(answer))
    if not text:
        return ()
    model = base.text_of(request, "model") if isinstance(request, dict) else ""
    return (HookCall(Point.MODEL_RESPONSE, {"response": text, **({"model_name": model} if model else {})}),)


def _parts(answer: Mapping[str, Any]) -> list[str]:
    candidates = answer.get("candidates")
    first = candidates[0] if isinstance(candidates, list) and candidates else None
    content = first.get("content") if isinstance(first, dict) else None
    parts = content.get("parts") if isinstance(content, dict) else None
    return [part for part in parts if isinstance(part, str)] if isinstance(parts, list) else []


DIALECT = Gemini()
