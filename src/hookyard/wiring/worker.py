"""The worker of a process: what executes runs, put together.

Imported by `wiring` when a worker begins, since a server is ready before it has all this, and one that leaves the runs
to others needs none of it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from sqlalchemy import Connection

from hookyard.agents.base import Parts
from hookyard.bridge.governor import Governor
from hookyard.callbacks.accept import Accept
from hookyard.events.model import Draft
from hookyard.hooks.facade import server_sender
from hookyard.ids import RunId, WorkspaceId
from hookyard.runs.engine import TaskQueue
from hookyard.runs.execute import Executor
from hookyard.runs.governing import DeliveryRecords, WorkspaceHooks
from hookyard.runs.lease import Lease
from hookyard.runs.leased import LeasedEgress, LeasedTools
from hookyard.runs.left_folders import LeftFolders
from hookyard.runs.liveness import liveness_for
from hookyard.runs.model_keys import ModelKeys, ProviderEnvironment
from hookyard.runs.tokens import TokensOfRuns
from hookyard.runs.worker import Worker
from hookyard.runs.workplaces import ProfileWorkplaces
from hookyard.wiring.ground import Ground, in_background
from hookyard.workspace.agent_tools import AgentTools, run_actor
from hookyard.workspace.post_back import PostBack

log = logging.getLogger(__name__)

_GRACE_SECONDS = 3.0
"""How long runs may go on when the process is told to stop; what is not done by then starts again elsewhere."""


@asynccontextmanager
async def worker_on(ground: Ground) -> AsyncIterator[None]:
    """The worker of this process, admitting runs."""
    settings, db, clock = ground.settings, ground.db, ground.clock
    async with AsyncExitStack() as stack:
        records = DeliveryRecords(db)
        stack.push_async_callback(records.close)
        traces = ground.traces
        kept = records if traces is None else traces.beside(records)
        sender = server_sender(
            settings.data,
            allow=settings.allow_private_hosts,
            proxy=settings.egress_proxy,
            warn=log.warning,
            log=kept,
            traceparent=None if traces is None else traces.traceparent,
        )
        stack.push_async_callback(sender.aclose)
        hooks = WorkspaceHooks(
            database=db,
            box=ground.box,
            data=settings.data,
            sender=sender,
            log=kept,
        )
        stack.push_async_callback(hooks.close)
        sender.background.resume()
        tokens = TokensOfRuns(ground.tokens)
        liveness = liveness_for(settings.database_url, clock, float(ground.live.current.number("worker.leaseSeconds")))
        lease = Lease(clock, liveness.lease_seconds)
        scratch = settings.data / "work"
        executor = Executor(
            database=db,
            clock=clock,
            workplaces=ProfileWorkplaces(
                database=db,
                hooks=hooks,
                tools=lambda claim, name: _task_tools(ground, lease, claim.workspace_id, claim.run_id, name),
                parts=Parts(
                    default_model=settings.model,
                    egress=LeasedEgress(sender.egress, lease),
                    governor=Governor(),
                    clock=clock,
                ),
                scratch=scratch,
                environment=ProviderEnvironment(ModelKeys(db, ground.box, clock), os.environ).current,
            ),
            emit=lambda workspace_id, draft, apply: _emit(ground.accept, workspace_id, draft, apply),
            tokens=tokens,
            live=lambda: ground.live.current,
            api_url=lambda: settings.url,
            follow=traces,
            lease=lease,
        )
        worker_id = ground.ids.worker()
        worker = Worker(
            worker_id=worker_id,
            database=db,
            clock=clock,
            queue=TaskQueue(),
            executor=executor,
            tokens=tokens,
            live=lambda: ground.live.current,
            liveness=liveness,
            lease=lease,
        )
        await worker.start()
        try:
            post_back = PostBack(db, ground.sources, sender.egress.send, clock)
            left_folders = LeftFolders(db, clock, scratch)
            async with in_background(post_back.run, left_folders.run):
                yield
        finally:
            await worker.stop(_GRACE_SECONDS)


async def _task_tools(ground: Ground, lease: Lease, workspace_id: WorkspaceId, run_id: RunId, name: str) -> LeasedTools:
    actor = await run_actor(ground.db, workspace_id, run_id, name)
    return LeasedTools(AgentTools(ground.tasks, ground.comments, workspace_id, actor), lease)


async def _emit(accept: Accept, workspace_id: WorkspaceId, draft: Draft, apply: Callable[[Connection], None]) -> None:
    await accept.accept(workspace_id, (draft,), apply=apply)
