"""A run's entries as what its page shows: a call with its decisions and its result is one item.

Used by the run's page for all of them at once, and by `web.live` as they come: `Assembly.add` says which items changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hookyard.web.pages.differences import WORK, DiffLine, differences, work_of
from hookyard.web.pages.queries.runs import TimelineEntry

_SHOWN = {"modify", "deny", "warning"}
_WORK = 5 * WORK
"""For the differences of one run together; those behind it are shown without their words compared."""


@dataclass(slots=True)
class ShownVerdict:
    """What one webhook did, where it did more than let it pass.

    Attributes:
        webhook: Its name.
        result: `modify`, `deny` or `warning`.
        message: Why.
        ms: Milliseconds.
        delivery_id: The delivery, `""` when it is not known.
        lines: What it changed.
        failed: No valid answer came.
    """

    webhook: str
    result: str
    message: str
    ms: float
    delivery_id: str
    lines: list[DiffLine]
    failed: bool


@dataclass(slots=True)
class TimelineItem:
    """One item of the timeline.

    Attributes:
        key: Its place; stays the same while it grows.
        kind: `prompt`, `say`, `system`, `tool`, `hooks`, `note`, `attempt`.
        at: Seconds since the epoch.
        seq: Number of the newest entry in it.
        attempt: The attempt that it belongs to.
        text: A message's or note's text; a tool's name.
        args: A tool's arguments by name, or its one argument under `""`.
        verdicts: What webhooks did other than letting it pass.
        allowed: How many webhooks let it pass.
        result: What the tool gave, None while it works.
        success: Whether it went well.
        ms: Milliseconds that the tool took.
        ran: The tool was executed.
    """

    key: str
    kind: str
    at: float
    seq: int
    attempt: int
    text: str = ""
    args: dict[str, str] = field(default_factory=dict)
    verdicts: list[ShownVerdict] = field(default_factory=list)
    allowed: int = 0
    result: str | None = None
    success: bool = True
    ms: float = 0.0
    ran: bool = True


class Assembly:
    """The items of one run."""

    def __init__(self) -> None:
        self.items: dict[str, TimelineItem] = {}
        self.seq = -1
        self._calls: dict[tuple[int, str], str] = {}
        self._attempt = 0
        self.decisions: dict[str, dict[str, int]] = {}
        self._totals: dict[tuple[int, int], tuple[int, int]] = {}
        self._work = _WORK

    @property
    def turns(self) -> list[tuple[int, int]]:
        """Tokens sent and made in each turn with the model, oldest first; several totals of one turn count as one."""
        found, attempt, before = [], 0, (0, 0)
        for (number, _), total in sorted(self._totals.items()):
            if number != attempt:
                attempt, before = number, (0, 0)
            sent, made = total[0] - before[0], total[1] - before[1]
            if sent >= 0 and made >= 0 and sent + made:
                found.append((sent, made))
            before = total
        return found

    def add(self, entries: Iterable[TimelineEntry]) -> list[TimelineItem]:
        """Take further entries; the items that are new or changed, in order."""
        changed: dict[str, None] = {}
        for entry in entries:
            self.seq = entry.seq
            if entry.attempt != self._attempt:
                if self._attempt:
                    changed[
                        self._put(TimelineItem(f"a{entry.attempt}", "attempt", entry.at, entry.seq, entry.attempt)).key
                    ] = None
                self._attempt = entry.attempt
            item = self._take(entry)
            if item is not None:
                item.seq = entry.seq
                changed[item.key] = None
        return [self.items[key] for key in changed]

    def _put(self, item: TimelineItem) -> TimelineItem:
        self.items[item.key] = item
        return item

    def _take(self, entry: TimelineEntry) -> TimelineItem | None:
        match entry.kind:
            case "message":
                return self._message(entry)
            case "tool_call":
                return self._call(entry)
            case "tool_result":
                return self._result(entry)
            case "decision":
                return self._decision(entry)
            case "note":
                text = str(entry.data.get("text", ""))
                return self._put(TimelineItem(f"e{entry.seq}", "note", entry.at, entry.seq, entry.attempt, text))
            case "usage":
                data = entry.data
                self._totals[entry.attempt, int(data["turn"])] = (int(data["inputTokens"]), int(data["outputTokens"]))
        return None

    def _message(self, entry: TimelineEntry) -> TimelineItem:
        kind = {"user": "prompt", "assistant": "say"}.get(str(entry.data.get("role")), "system")
        text = str(entry.data.get("text", ""))
        last = next(reversed(self.items.values()), None)
        if kind == "say" and last is not None and last.kind == "say" and last.attempt == entry.attempt:
            # An assistant's text may come in several messages.
            last.text = f"{last.text}\n\n{text}"
            return last
        return self._put(TimelineItem(f"e{entry.seq}", kind, entry.at, entry.seq, entry.attempt, text))

    def _of_call(self, entry: TimelineEntry) -> TimelineItem | None:
        key = self._calls.get((entry.attempt, str(entry.data.get("callId", ""))))
        return self.items[key] if key else None

    def _call(self, entry: TimelineEntry) -> TimelineItem:
        data = entry.data
        item = TimelineItem(f"e{entry.seq}", "tool", entry.at, entry.seq, entry.attempt, str(data.get("name", "")))
        item.args = arguments(str(data.get("args", "")))
        waiting = self._of_call(entry)
        if waiting is not None:  # its decision came first
            item.verdicts, item.allowed = waiting.verdicts, waiting.allowed
            item.key = waiting.key
        self._calls[entry.attempt, str(data.get("callId", ""))] = item.key
        return self._put(item)

    def _result(self, entry: TimelineEntry) -> TimelineItem | None:
        item = self._of_call(entry)
        if item is None:
            return None
        data = entry.data
        item.result = str(data.get("result", ""))
        item.success, item.ran = bool(data.get("success", True)), bool(data.get("ran", True))
        item.ms = float(data.get("durationMs", 0))
        return item

    def _decision(self, entry: TimelineEntry) -> TimelineItem | None:
        verdicts = entry.data.get("verdicts") or []
        for verdict in verdicts:
            counts = self.decisions.setdefault(str(verdict.get("webhook")), {})
            result = str(verdict.get("result"))
            counts[result] = counts.get(result, 0) + 1
        shown = [self._verdict(v) for v in verdicts if v.get("result") in _SHOWN]
        passed = len({v.get("webhook") for v in verdicts if v.get("result") == "ok"})
        item = self._of_call(entry)
        if item is None:
            if not shown:
                return None
            text = str(entry.data.get("point", ""))
            item = self._put(TimelineItem(f"e{entry.seq}", "hooks", entry.at, entry.seq, entry.attempt, text))
            if entry.data.get("callId"):
                self._calls[entry.attempt, str(entry.data["callId"])] = item.key
        item.verdicts.extend(shown)
        item.allowed = max(item.allowed, passed)
        return item

    def _verdict(self, data: Mapping[str, Any]) -> ShownVerdict:
        lines: list[DiffLine] = []
        if data.get("after") is not None:
            before, after = _changed(str(data.get("before") or ""), str(data["after"]))
            lines = differences(before, after, min(WORK, self._work))
            self._work -= min(self._work, work_of(before, after))
        return ShownVerdict(
            str(data.get("webhook", "")),
            str(data.get("result", "")),
            str(data.get("message") or ""),
            float(data.get("durationMs") or 0),
            str(data.get("deliveryId") or ""),
            lines,
            bool(data.get("failed")),
        )


def _changed(before: str, after: str) -> tuple[str, str]:
    """Return two JSON objects as the lines that differ between them; other texts as they are."""
    old, new = arguments(before), arguments(after)
    if "" in old or "" in new:
        return before, after
    names = [name for name in dict.fromkeys((*old, *new)) if old.get(name) != new.get(name)]
    if len(names) == 1 and names[0] in old and names[0] in new:
        return old[names[0]], new[names[0]]
    return (
        "\n".join(f"{name}: {old[name]}" for name in names if name in old),
        "\n".join(f"{name}: {new[name]}" for name in names if name in new),
    )


def arguments(text: str) -> dict[str, str]:
    """Return a tool's arguments by name; text that is not a JSON object is under `""`."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        return {"": text} if text else {}
    if not isinstance(given, dict):
        return {"": text}
    return {
        str(name): value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in given.items()
    }
