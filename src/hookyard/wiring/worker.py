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
from hookyard.agents.model_keys import ModelKeys, ProviderEnvironment
from hookyard.bridge.governor import HookGovernor
from hookyard.core.ids import RunId, WorkspaceId
from hookyard.events.model import EventDraft
from hookyard.hooks.hooks import server_sender
from hookyard.intake.accept import EventIntake
from hookyard.runs.engine import TaskQueue
from hookyard.runs.environments import ProfileEnvironments
from hookyard.runs.executor import Executor
from hookyard.runs.lease import Lease
from hookyard.runs.leased import LeasedEgress, LeasedTools
from hookyard.runs.liveness import liveness_for
from hookyard.runs.tokens import RunTokenIssuer
from hookyard.runs.worker import Worker
from hookyard.runs.workspace_cleanup import WorkspaceCleanup
from hookyard.runs.workspace_hooks import DeliveryRecords, WorkspaceHooks
from hookyard.wiring.container import Core, in_background
from hookyard.workspace.agent_tools import AgentTools, run_actor
from hookyard.workspace.outgoing_comments import CommentSender

logger = logging.getLogger(__name__)

_GRACE_SECONDS = 3.0
"""How long runs may go on when the process is stopping; what is not done by then starts again elsewhere."""


@asynccontextmanager
async def run_worker(ground: Core) -> AsyncIterator[None]:
    """Run the worker of this process, which admits runs."""
    settings, database, clock = ground.settings, ground.database, ground.clock
    async with AsyncExitStack() as stack:
        records = DeliveryRecords(database)
        stack.push_async_callback(records.close)
        traces = ground.traces
        kept = records if traces is None else traces.combined_with(records)
        sender = server_sender(
            settings.data,
            allow=settings.allow_private_hosts,
            proxy=settings.egress_proxy,
            warn=logger.warning,
            log=kept,
            traceparent=None if traces is None else traces.traceparent,
        )
        stack.push_async_callback(sender.aclose)
        hooks = WorkspaceHooks(
            database=database,
            box=ground.box,
            data=settings.data,
            sender=sender,
            log=kept,
        )
        stack.push_async_callback(hooks.close)
        sender.background.resume()
        tokens = RunTokenIssuer(ground.tokens)
        liveness = liveness_for(settings.database_url, clock, float(ground.live.current.number("worker.leaseSeconds")))
        lease = Lease(clock, liveness.lease_seconds)
        scratch = settings.data / "work"
        executor = Executor(
            database=database,
            clock=clock,
            workplaces=ProfileEnvironments(
                database=database,
                hooks=hooks,
                tools=lambda claim, name: _task_tools(ground, lease, claim.workspace_id, claim.run_id, name),
                parts=Parts(
                    default_model=settings.model,
                    egress=LeasedEgress(sender.egress, lease),
                    governor=HookGovernor(),
                    clock=clock,
                ),
                scratch=scratch,
                environment=ProviderEnvironment(ModelKeys(database, ground.box, clock), os.environ).current,
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
            database=database,
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
            post_back = CommentSender(database, ground.sources, sender.egress.send, clock)
            left_folders = WorkspaceCleanup(database, clock, scratch)
            async with in_background(post_back.run, left_folders.run):
                yield
        finally:
            await worker.stop(_GRACE_SECONDS)


async def _task_tools(ground: Core, lease: Lease, workspace_id: WorkspaceId, run_id: RunId, name: str) -> LeasedTools:
    actor = await run_actor(ground.database, workspace_id, run_id, name)
    return LeasedTools(AgentTools(ground.tasks, ground.comments, workspace_id, actor), lease)


async def _emit(
    accept: EventIntake, workspace_id: WorkspaceId, draft: EventDraft, apply: Callable[[Connection], None]
) -> None:
    await accept.accept(workspace_id, (draft,), apply=apply)
