"""Several servers on one PostgreSQL: what one claims, counts or merges holds for the others at the same moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import func, select

from hookyard.conditions.conditions import Conditions
from hookyard.core.clock import SystemClock
from hookyard.core.ids import Ids
from hookyard.events.catalog import Catalog
from hookyard.events.model import EventDraft
from hookyard.intake.accept import EventIntake
from hookyard.intake.merge import BatchMerger
from hookyard.intake.pending import Accepted
from hookyard.settings import LiveSettings
from hookyard.store import schema
from hookyard.store.database import Database
from tests.intake.environment import IntakeEnvironment, open_environment, task_event

SERVERS = 3


class Servers:
    """A world and further servers on its database."""

    def __init__(self, env: IntakeEnvironment, accepts: list[EventIntake], mergers: list[BatchMerger]) -> None:
        self.world = env
        self.accepts = accepts
        self.mergers = mergers

    async def send_to_all(self, drafts: list[EventDraft]) -> list[Accepted]:
        """Each draft to every server, at once."""
        sent = [accept.accept(self.world.workspace, (draft,)) for draft in drafts for accept in self.accepts]
        return [accepted for (accepted,) in await asyncio.gather(*sent)]


@pytest.fixture
async def servers(postgresql_url: str) -> AsyncIterator[Servers]:
    async with open_environment(postgresql_url) as env, AsyncExitStack() as stack:
        accepts, mergers = [env.accept], [env.merger]

        def live() -> LiveSettings:
            return LiveSettings().with_stored(env.settings)

        for _ in range(SERVERS - 1):
            database, ids = stack.enter_context(Database(postgresql_url)), Ids(env.clock)
            conditions = Conditions(SystemClock())
            stack.push_async_callback(conditions.close)
            accepts.append(EventIntake(database, env.clock, ids, conditions, live))
            mergers.append(BatchMerger(database, env.clock, ids, conditions, Catalog, live))
        yield Servers(env, accepts, mergers)


async def test_an_operation_runs_once_whichever_server_hears_of_it(servers: Servers) -> None:
    await servers.world.callback()
    await servers.world.callback(condition="ctx.taskStatus === 'todo'")
    # Another content each time, or event dedupe would be first.
    sent = [
        accept.accept(servers.world.workspace, (task_event(operation=f"op-{n}", taskId=f"task-{n}", updatedBy=str(m)),))
        for n in range(60)
        for m, accept in enumerate(servers.accepts)
    ]
    await asyncio.gather(*sent)
    assert await servers.world.count(schema.events) == 60 * SERVERS
    runs = await servers.world.runs()
    assert len(runs) == 120
    assert len({(run["callback_id"], run["subject"]) for run in runs}) == 120


async def test_an_event_is_stored_once_whichever_server_hears_it(servers: Servers) -> None:
    await servers.world.callback()
    by_id = [task_event(source_id=str(n), taskId=f"task-{n}") for n in range(40)]
    by_content = [task_event(taskId=f"other-{n}") for n in range(40)]
    accepted = await servers.send_to_all(by_id + by_content)
    assert sum(one.duplicate_of is None for one in accepted) == 80
    assert await servers.world.count(schema.events) == 80
    assert len(await servers.world.runs()) == 80
    total = await servers.world.database.read(
        lambda c: c.execute(select(func.sum(schema.events.c.duplicates))).scalar_one()
    )
    assert total == 80 * (SERVERS - 1)


async def test_a_batch_is_neither_split_nor_doubled(servers: Servers) -> None:
    servers.world.settings["eventCallback.mergeEnabled"] = True
    await servers.world.callback()
    await servers.world.callback()
    sent = await asyncio.gather(
        *(
            servers.accepts[n % SERVERS].accept(servers.world.workspace, (task_event(taskTitle=str(n)),))
            for n in range(90)
        )
    )
    assert len({accepted.batch_id for (accepted,) in sent}) == 1  # the first callback's
    servers.world.clock.at += 5
    await asyncio.gather(*(merger.step() for merger in servers.mergers))
    runs = await servers.world.runs()
    assert len(runs) == 2
    assert await servers.world.count(schema.batch_events) == 180


async def test_the_hourly_stop_counts_the_runs_of_all(servers: Servers) -> None:
    await servers.world.callback(loop={"runsPerHour": 7})
    sent = (
        servers.accepts[n % SERVERS].accept(servers.world.workspace, (task_event(taskTitle=str(n)),)) for n in range(60)
    )
    await asyncio.gather(*sent)
    assert len(await servers.world.runs()) == 7


async def test_a_change_is_in_effect_on_every_server_at_once(servers: Servers) -> None:
    callback = await servers.world.callback()
    await servers.send_to_all([task_event(taskTitle="warm")])
    for number in range(10):
        callback = await servers.world.change(callback, prompt=f"prompt {number}")
        sent = [
            accept.accept(servers.world.workspace, (task_event(taskId=f"{number}-{n}"),))
            for n, accept in enumerate(servers.accepts)
        ]
        for (accepted,) in await asyncio.gather(*sent):
            (run,) = [run for run in await servers.world.runs() if run["event_id"] == accepted.event_id]
            assert run["prompt"] == f"prompt {number}"


async def test_changes_while_events_pour_in(servers: Servers) -> None:
    """Nothing waits for itself, and no event is lost."""
    callback = await servers.world.callback()

    async def edit() -> None:
        nonlocal callback
        for number in range(15):
            callback = await servers.world.change(callback, prompt=f"prompt {number}")

    async def pour(accept: EventIntake, name: str) -> None:
        for number in range(30):
            await accept.accept(servers.world.workspace, (task_event(taskId=f"{name}-{number}"),))

    async with asyncio.timeout(60):
        await asyncio.gather(edit(), *(pour(accept, str(n)) for n, accept in enumerate(servers.accepts)))
    assert len(await servers.world.runs()) == 30 * SERVERS
