"""OpenCode, whose hooks are JavaScript inside it: a plugin of ours (`opencode.js`) runs the lines and obeys them.

What the plugin hands over is what OpenCode gave it: `input` and `output` of the hook, and the folder. An answer is ours
alone to word: `deny`, or `args` or `text` in place of what the hook may change.
"""

from __future__ import annotations

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

_CALL_FAILED = "message.part.updated"
"""The plugin tells it only of tool calls that failed, for which there is no hook."""

_ABORTED = "MessageAbortedError"


class OpenCode:
    """OpenCode's dialect."""

    name = "opencode"
    title = "OpenCode"
    proven = "1.18.33"
    recheck = Recheck.ASKS_AGAIN
    noise = frozenset({base.Noise.ENV})  # the plugin runs /bin/sh
    closed_tail = base.closed_by_exit()
    blocks_prompts = True
    plugin: Path | None = Path(__file__).with_suffix(".js")
    events: tuple[NativeHook, ...] = (
        NativeHook("session.created", (Point.SESSION_START,)),
        NativeHook("chat.message", base.PROMPT),
        NativeHook("experimental.chat.system.transform", (Point.SYSTEM_PROMPT,)),
        NativeHook("experimental.text.complete", (Point.MODEL_RESPONSE,)),
        NativeHook("tool.execute.before", base.BEFORE_TOOL),
        NativeHook("tool.execute.after", (Point.POST_TOOL,)),
        NativeHook(_CALL_FAILED, (Point.POST_TOOL,)),
        NativeHook("session.error", (Point.ERROR,)),
        NativeHook("session.idle", base.TURN_END),
        NativeHook("dispose", (Point.SESSION_END,)),
    )
    tools: tuple[str, ...] = (
        "apply_patch",
        "bash",
        "codesearch",
        "edit",
        "glob",
        "grep",
        "list",
        "lsp",
        "multiedit",
        "patch",
        "question",
        "read",
        "skill",
        "task",
        "todoread",
        "todowrite",
        "webfetch",
        "websearch",
        "write",
    )

    def read(self, event: str, native: Mapping[str, Any]) -> NativeEvent:
        """Understand an event; it tells no permission mode."""
        given, made = base.part_of(native, "input"), base.part_of(native, "output")
        tool, holder, key = _call(event, given, made)
        return NativeEvent(
            event,
            self.name,
            _firings(event, given, made),
            base.text_of(given, "sessionID") or None,
            base.text_of(native, "cwd") or None,
            tool,
            None if tool is None else base.arguments(holder, key),
            base.text_of(base.part_of(given, "part") or given, "callID"),
            response=made.get("output") if event == "tool.execute.after" else None,
            takes_text=True,
            fixed_args="" if tool is None else base.fixed(holder, key),
        )

    def answer(self, heard: NativeEvent, ruling: BridgeDecision) -> HookExit:
        """Return the answer in the form that the plugin reads."""
        if ruling.denied is not None:
            return self.refuse(heard.event, ruling.denied)
        said: dict[str, Any] = {}
        if ruling.args is not None:
            said["args"] = ruling.args
        text = ruling.text if ruling.result is None else ruling.result
        if text is not None:
            said["text"] = text
        return HookExit.of(said, base.warn(ruling.warnings))

    def refuse(self, event: str, reason: str) -> HookExit:
        """Return exit code 2 with the reason on stderr, the form that the plugin reads."""
        return HookExit(base.BLOCKED, err=reason)

    def settings_file(self, home: Path, environ: Mapping[str, str], project: Path | None) -> Path:
        """Return the plugin's path, in the directory from which OpenCode loads every plugin."""
        if project is not None:
            directory = project / ".opencode"
        else:
            directory = Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "opencode"
        return directory / "plugin" / "hookyard.js"

    def other_files(self, home: Path, environ: Mapping[str, str], project: Path | None) -> tuple[Path, ...]:
        """Return the plugin directories: another plugin may run after ours and change its result."""
        plugins = self.settings_file(home, environ, project).parent
        return plugins, plugins.with_name("plugins")

    def install(self, settings: dict[str, Any], lines: Sequence[InstalledLine], ours: Callable[[str], bool]) -> None:
        """Write the value that the plugin calls HOOKS. The file is hookyard's alone, so all of it is replaced."""
        settings.clear()
        for line in lines:
            settings[line.event.name] = {
                "command": line.command,
                "timeoutSeconds": line.timeout_seconds,
                "closed": base.is_closed(self, line.command),
            }


def _call(event: str, given: Mapping[str, Any], made: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any], str]:
    """Return the tool that an event is about (None when it is about none), and the object and key that hold its
    arguments."""
    match event:
        case "tool.execute.before":
            return base.needed(given, "tool"), made, "args"
        case "tool.execute.after":
            return base.needed(given, "tool"), given, "args"
        case "message.part.updated":
            part = base.part_of(given, "part")
            return base.needed(part, "tool"), base.part_of(part, "state"), "input"
    return None, {}, ""


def _firings(event: str, given: Mapping[str, Any], made: Mapping[str, Any]) -> tuple[HookCall, ...]:
    match event:
        case "session.created":
            return (HookCall(Point.SESSION_START),)
        case "chat.message":
            return _message(made)
        case "experimental.chat.system.transform":
            system = made.get("system")
            texts = [text for text in system if isinstance(text, str)] if isinstance(system, list) else []
            return (HookCall(Point.SYSTEM_PROMPT, {"system_prompt": "\n".join(texts)}),)
        case "experimental.text.complete":
            text = base.text_of(made, "text")
            return (HookCall(Point.MODEL_RESPONSE, {"response": text}),) if text else ()
        case "tool.execute.before":
            return base.before_tool(base.text_of(given, "callID"))
        case "tool.execute.after":
            success = base.part_of(made, "metadata").get("exit") in (None, 0)
            return base.after_tool(base.text_of(given, "callID"), base.as_text(made.get("output", "")), success=success)
        case "message.part.updated":
            return _failed_call(base.part_of(given, "part"))
        case "session.error":
            return (_error(base.part_of(given, "error")),)
        case "session.idle":
            error = base.text_of(given, "error")
            return base.turn_end("Responded" if not error else "Cancelled" if error == _ABORTED else "Failed")
        case "dispose":
            return (HookCall(Point.SESSION_END),)
    return ()


def _message(made: Mapping[str, Any]) -> tuple[HookCall, ...]:
    """Return the user's text and attachments, without what OpenCode added (the text of an attached file)."""
    told = made.get("parts")
    parts = [part for part in told if isinstance(part, dict)] if isinstance(told, list) else []
    texts = [base.text_of(part, "text") for part in parts if part.get("type") == "text" and not part.get("synthetic")]
    files = [name for part in parts if part.get("type") == "file" and (name := base.text_of(part, "filename"))]
    message, turn = base.prompt("\n".join(texts))
    return HookCall(message.point, {**message.own, **({"attached_files": files} if files else {})}), turn


def _failed_call(part: Mapping[str, Any]) -> tuple[HookCall, ...]:
    state = base.part_of(part, "state")
    if state.get("status") != "error":
        return ()
    return base.after_tool(base.text_of(part, "callID"), base.as_text(state.get("error", "")), success=False)


def _error(error: Mapping[str, Any]) -> HookCall:
    own = {
        "error_type": base.text_of(error, "name") or "error",
        "error_message": base.text_of(base.part_of(error, "data"), "message"),
        "phase": "turn",
    }
    return HookCall(Point.ERROR, own)


DIALECT = OpenCode()
