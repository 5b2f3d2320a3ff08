"""Real fakes of what an agent is given: hooks that decide as a test says, a recorder that remembers, a workspace."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hookyard.agents.base import Assignment, Usage
from hookyard.core.errors import NotFoundError
from hookyard.hooks.decision import GO_ON, Decision, Result, Verdict
from hookyard.hooks.points import Point


@dataclass
class Fired:
    """One firing, as a webhook would have been told of it."""

    point: Point
    keys: dict[str, Any]


@dataclass
class FakeHooks:
    """Decides by point; remembers every firing."""

    answers: dict[Point, Decision] = field(default_factory=dict)
    fired: list[Fired] = field(default_factory=list)
    closed: bool = False

    def listens(self, point: Point, tool_name: str | None = None) -> bool:
        return True

    def fail_closed(self, point: Point | str | None = None, tool_name: str | None = None) -> bool:
        return self.closed

    async def fire(self, point: Point | str, **keys: Any) -> Decision:
        point = Point(point)
        self.fired.append(Fired(point, keys))
        return self.answers.get(point, GO_ON)

    @property
    def points(self) -> list[str]:
        return [str(fired.point) for fired in self.fired]

    def at(self, point: Point) -> dict[str, Any]:
        (only,) = [fired.keys for fired in self.fired if fired.point is point]
        return only


def deny(message: str) -> Decision:
    return Decision(Result.DENY, message, verdicts=(Verdict("gate", Result.DENY, message),))


def modify(content: str) -> Decision:
    return Decision(Result.MODIFY, content=content, verdicts=(Verdict("gate", Result.MODIFY, after=content),))


@dataclass
class FakeRecorder:
    """Remembers everything that it is told."""

    messages: list[tuple[str, str]] = field(default_factory=list)
    calls: list[tuple[str, str, str]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[tuple[Point, Decision, str]] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    introductions: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def message(self, role: str, text: str) -> None:
        self.messages.append((role, text))

    def tool_call(self, call_id: str, name: str, args: str) -> None:
        self.calls.append((call_id, name, args))

    def tool_result(self, call_id: str, result: str, *, success: bool, duration_ms: float, ran: bool = True) -> None:
        self.results.append({"call_id": call_id, "result": result, "success": success, "ran": ran})

    def decision(self, point: Point, decision: Decision, call_id: str = "") -> None:
        self.decisions.append((point, decision, call_id))

    def usage(self, usage: Usage) -> None:
        self.usages.append(usage)

    def agent_info(self, *, version: str = "", model: str = "") -> None:
        self.introductions.append((version, model))

    def note(self, text: str) -> None:
        self.notes.append(text)


@dataclass
class FakeWorkspace:
    """One task, task-1."""

    comments: list[tuple[str, str]] = field(default_factory=list)
    changes: list[Mapping[str, Any]] = field(default_factory=list)

    async def get_task(self, task_id: str) -> Mapping[str, Any]:
        if task_id != "task-1":
            raise NotFoundError(f"there is no task {task_id}")
        return {"taskId": "task-1", "title": "Mend it"}

    async def create_task(self, title: str, task_type: str, status: str, description: str) -> Mapping[str, Any]:
        return {"taskId": "task-2", "title": title, "type": task_type, "status": status}

    async def update_task(self, task_id: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        self.changes.append(changes)
        return {"taskId": task_id, **changes}

    async def comment_task(self, task_id: str, content: str) -> Mapping[str, Any]:
        self.comments.append((task_id, content))
        return {"commentId": "cmt_1"}


def assignment(directory: Path, prompt: str = "Do it.", **changes: Any) -> Assignment:
    environment = {"PATH": "/usr/bin:/bin"}
    return Assignment(prompt, directory, "ses_1", **{"environment": environment, "timeout_seconds": 30.0, **changes})


async def there(path: Path) -> None:
    """Wait until a file is there."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(path.exists):  # noqa: ASYNC110 - it is made by another process
            await asyncio.sleep(0.02)
