"""What an agent is given that stops it where its worker's lease is over: its hooks, its task tools, its requests.

Made by `executor` and `wiring`. A process that was stopped and goes on does not know how long it was away; others may
have started its runs again meanwhile. So every point at which an agent is about to act asks the lease first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from hookyard.agents.base import HookFirer, WorkspaceTools
from hookyard.core.errors import UnavailableError
from hookyard.hooks.decision import Decision
from hookyard.hooks.delivery.egress import Egress, Reply
from hookyard.hooks.points import Point
from hookyard.runs.lease import Lease

logger = logging.getLogger(__name__)

T = TypeVar("T")

TOOL_RETRY_SECONDS = 1.0


def check_lease(lease: Lease) -> None:
    """Refuse to begin anything once the lease is over.

    Raises:
        UnavailableError: It is.
    """
    if lease.is_over():
        raise UnavailableError("lease_over", retry_after=1.0)


class LeasedHooks:
    """The hooks of a run; after the lease no decision of theirs lets the agent go on.

    Args:
        hooks: The webhooks.
        lease: The worker's.
    """

    def __init__(self, hooks: HookFirer, lease: Lease) -> None:
        self._hooks = hooks
        self._lease = lease

    def listens(self, point: Point, tool_name: str | None = None) -> bool:
        """Call the wrapped hooks under the lease; see `agents.base.HookFirer`."""
        return self._hooks.listens(point, tool_name)

    def fail_closed(self, point: Point | None = None, tool_name: str | None = None) -> bool:
        """Call the wrapped hooks under the lease; see `agents.base.HookFirer`."""
        return self._hooks.fail_closed(point, tool_name)

    async def fire(self, point: Point | str, **context: Any) -> Decision:
        """Call the webhooks of a point.

        Raises:
            UnavailableError: The lease is over.
        """
        check_lease(self._lease)
        decision = await self._hooks.fire(point, **context)
        check_lease(self._lease)
        return decision


class LeasedTools:
    """The task tools of a run; a call waits while the database cannot be used, for as long as the run may.

    A write whose answer was lost is not repeated: it may have been stored, which the agent learns.

    Args:
        tools: The tools.
        lease: The worker's.
    """

    def __init__(self, tools: WorkspaceTools, lease: Lease) -> None:
        self._tools = tools
        self._lease = lease

    async def get_task(self, task_id: str) -> Mapping[str, Any]:
        """Call the wrapped tools under the lease; see `agents.base.WorkspaceTools`."""
        return await self._patiently(lambda: self._tools.get_task(task_id))

    async def create_task(self, title: str, task_type: str, status: str, description: str) -> Mapping[str, Any]:
        """Call the wrapped tools under the lease; see `agents.base.WorkspaceTools`."""
        return await self._patiently(lambda: self._tools.create_task(title, task_type, status, description))

    async def update_task(self, task_id: str, changes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Call the wrapped tools under the lease; see `agents.base.WorkspaceTools`."""
        return await self._patiently(lambda: self._tools.update_task(task_id, changes))

    async def comment_task(self, task_id: str, content: str) -> Mapping[str, Any]:
        """Call the wrapped tools under the lease; see `agents.base.WorkspaceTools`."""
        return await self._patiently(lambda: self._tools.comment_task(task_id, content))

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        while True:
            check_lease(self._lease)
            try:
                return await call()
            except UnavailableError as error:
                if error.maybe_stored:  # without the address of the database, which is no agent's business
                    raise UnavailableError("write_unconfirmed", problem=error.message, maybe_stored=True) from None
                logger.warning("a task tool waits for the database", extra={"error": error.what})
                await asyncio.sleep(TOOL_RETRY_SECONDS)


class LeasedEgress(Egress):
    """Sends the requests of `http` agents over another egress, none once the lease is over.

    Args:
        egress: Sends them.
        lease: The worker's.
    """

    def __init__(self, egress: Egress, lease: Lease) -> None:
        super().__init__()
        self._egress = egress
        self._lease = lease

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> Reply:
        """Make one request.

        Raises:
            UnavailableError: The lease is over.
            SendError: No usable answer came.
        """
        check_lease(self._lease)
        return await self._egress.send(method, url, headers, body, timeout_seconds)
