"""The gates against a small model of the contract: whatever happens in whatever order, the same runs come of it.

The model knows no database: it is sections 4 to 7 of the contract, written down in fifty lines.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from hookyard.automations.callbacks import Callback
from hookyard.events.model import EventDraft
from hookyard.store import schema
from tests.intake.environment import IntakeEnvironment, chain, open_environment, task_event

WEEK = 7 * 86_400.0
HOUR = 3600.0
RUNS_PER_HOUR = 3
Run = tuple[int, int, tuple[str, ...], str]  # callback, version, events, status


@dataclass
class Open:
    at: float
    version: int
    subject: str
    events: list[str]


@dataclass
class Listening:
    """A callback as the model sees it."""

    names: frozenset[str]
    wants: str | None
    version: int = 1
    enabled: bool = True


@dataclass
class Model:
    """What the contract says."""

    dedupe: bool = True
    merge: bool = False
    callbacks: dict[int, Listening] = field(default_factory=dict)
    claims: dict[Any, tuple[str, float]] = field(default_factory=dict)
    open: dict[tuple[int, str], Open] = field(default_factory=dict)
    closed: list[tuple[int, Open]] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    started: list[tuple[int, str, float]] = field(default_factory=list)

    def claim(self, key: Any, event: str, now: float, seconds: float) -> str | None:
        held = self.claims.get(key)
        if held is not None and now < held[1]:
            return held[0]
        self.claims[key] = (event, now + seconds)
        return None

    def accept(self, draft: EventDraft, event: str, now: float, caused_by: set[int]) -> str | None:
        """The event that it repeats, or None."""
        if draft.source_id is not None:
            repeated = self.claim(("id", draft.source, draft.source_id), event, now, WEEK)
        elif self.dedupe:
            content = (draft.name, tuple(sorted(draft.variables.items())), draft.operation_id and draft.source)
            repeated = self.claim((content, draft.operation_id), event, now, 5.0)
        else:
            repeated = None
        if repeated is not None:
            return repeated
        for number, callback in self.callbacks.items():
            if not callback.enabled or draft.name not in callback.names:
                continue
            if callback.wants is not None and draft.variables["taskStatus"] != callback.wants:
                continue
            if draft.operation_id is not None and self.claim(
                (number, draft.source, draft.operation_id), event, now, WEEK
            ):
                continue
            if number in caused_by:
                continue
            subject = str(draft.variables["taskId"])
            if self.merge:
                self.join(number, callback, draft.name, subject, event, now)
            else:
                self.start(number, callback.version, subject, (event,), now)
        return None

    def join(self, number: int, callback: Listening, name: str, subject: str, event: str, now: float) -> None:
        batch = self.open.get((number, name))
        if batch is not None and now >= batch.at + 5:
            self.closed.append((number, self.open.pop((number, name))))
            batch = None
        if batch is None:
            batch = self.open[number, name] = Open(now, callback.version, subject, [])
        batch.events.append(event)
        batch.subject = subject

    def start(self, number: int, version: int, subject: str, events: tuple[str, ...], now: float) -> None:
        recent = [one for one in self.started if one[:2] == (number, subject) and one[2] > now - HOUR]
        if len(recent) < RUNS_PER_HOUR:
            self.started.append((number, subject, now))
            self.runs.append((number, version, events, "queued"))

    def change(self, number: int) -> None:
        self.callbacks[number].version += 1
        for place in [place for place in self.open if place[0] == number]:
            self.closed.append((number, self.open.pop(place)))

    def settle(self, now: float) -> None:
        for place in [place for place, batch in self.open.items() if now >= batch.at + 5]:
            self.closed.append((place[0], self.open.pop(place)))
        for number, batch in self.closed:
            if self.callbacks[number].enabled:
                self.start(number, batch.version, batch.subject, tuple(batch.events), now)
            else:
                self.runs.append((number, batch.version, tuple(batch.events), "skipped"))
                self.started.append((number, batch.subject, now))
        self.closed.clear()


@dataclass
class Database:
    """The real thing, kept over all examples: a workspace of its own for each."""

    world: IntakeEnvironment
    runner: asyncio.Runner


class GatesMachine(RuleBasedStateMachine):
    ground: Database

    @initialize()
    def begin(self) -> None:
        self.model = Model()
        self.do(self._begin())

    def do(self, coroutine: Any) -> Any:
        return self.ground.runner.run(coroutine)

    async def _begin(self) -> None:
        env = self.ground.world
        env.settings.clear()
        env.workspace = await env.make_workspace()
        self.made: list[Callback] = []
        for names, wants in (
            (("task.updated",), None),
            (("task.updated", "task.status_changed"), "blocked"),
            (("task.status_changed",), None),
        ):
            condition = "" if wants is None else f"ctx.taskStatus === '{wants}'"
            spec: dict[str, Any] = {
                "events": list(names),
                "condition": condition,
                "loop": {"runsPerHour": RUNS_PER_HOUR},
            }
            self.model.callbacks[len(self.made)] = Listening(frozenset(names), wants)
            self.made.append(await env.callback(**spec))

    @rule(
        names=st.sampled_from([("task.updated",), ("task.status_changed",), ("task.updated", "task.status_changed")]),
        status=st.sampled_from(["todo", "blocked"]),
        task=st.sampled_from(["task-1", "task-2"]),
        source=st.sampled_from(["a", "b"]),
        source_id=st.sampled_from([None, None, "1", "2"]),
        operation=st.sampled_from([None, "x", "y"]),
        by=st.sampled_from([None, None, 0, 1]),
    )
    def send(self, names: tuple[str, ...], status: str, task: str, source: str, by: int | None, **ids: Any) -> None:
        source_id, operation = ids["source_id"], ids["operation"]
        cause = chain() if by is None else chain(("run_1", self.made[by].id))
        drafts = [
            task_event(
                name, operation, source=source, source_id=source_id and source_id + name, cause=cause, taskId=task,
                taskStatus=status,
            )
            for name in names
        ]  # fmt: skip
        accepted = self.do(self.ground.world.send(*drafts))
        now = self.ground.world.clock.at
        for draft, one in zip(drafts, accepted, strict=True):
            repeated = self.model.accept(draft, one.event_id, now, set() if by is None else {by})
            assert one.duplicate_of == repeated

    @rule(seconds=st.sampled_from([0.5, 4.9, 5.0, 60.0, HOUR + 1, WEEK + 1]))
    def wait(self, seconds: float) -> None:
        self.ground.world.clock.at += seconds

    @rule()
    def settle(self) -> None:
        self.do(self.ground.world.merger.step())
        self.model.settle(self.ground.world.clock.at)

    @rule(merge=st.booleans(), dedupe=st.booleans())
    def set(self, merge: bool, dedupe: bool) -> None:
        self.ground.world.settings.update({"eventCallback.mergeEnabled": merge, "eventCallback.dedupEnabled": dedupe})
        self.model.merge, self.model.dedupe = merge, dedupe

    @rule(number=st.integers(0, 2), enabled=st.booleans(), prompt=st.sampled_from(["one", "two"]))
    def edit(self, number: int, enabled: bool, prompt: str) -> None:
        before = self.made[number]
        self.made[number] = self.do(self.ground.world.change(before, enabled=enabled, prompt=prompt))
        if self.made[number].version != before.version:
            self.model.change(number)
            self.model.callbacks[number].enabled = enabled

    @invariant()
    def the_same_runs(self) -> None:
        if hasattr(self, "made"):
            assert sorted(self.do(self._runs())) == sorted(self.model.runs)

    async def _runs(self) -> list[Run]:
        env, numbers = self.ground.world, {callback.id: n for n, callback in enumerate(self.made)}
        members = await env.database.read(lambda c: c.execute(select(schema.batch_events)).all())
        found = []
        for run in await env.runs():
            if run["workspace_id"] == env.workspace:
                events = tuple(sorted(e for b, e in members if b == run["batch_id"])) or (run["event_id"],)
                found.append((numbers[run["callback_id"]], run["callback_version"], events, run["status"]))
        return found


@pytest.fixture
def ground(database_url: str, tmp_path: Path) -> Iterator[Database]:
    with asyncio.Runner() as runner:
        opened = contextlib.AsyncExitStack()
        env = runner.run(opened.enter_async_context(open_environment(database_url)))
        try:
            yield Database(env, runner)
        finally:
            runner.run(opened.aclose())


@pytest.mark.timeout(300)
def test_the_gates_do_what_the_contract_says(ground: Database) -> None:
    machine = type("GatesHere", (GatesMachine,), {"ground": ground})
    profile = settings(
        max_examples=40,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    run_state_machine_as_test(machine, settings=profile)
