"""Where a run is done: its agent made from the profile that it names, its folder, its tools, its webhooks.

Made by `wiring`, entered by `executor` for every attempt. Profiles are read when the attempt begins, so that a
corrected profile serves the runs that wait. What is made for one attempt alone (its folder) is taken away with it;
what a killed worker could not take away, `workspace_cleanup` does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from hookyard.agents.base import Agent, AgentError, Parts, WorkspaceTools
from hookyard.agents.processes import child_environment
from hookyard.agents.profiles import Profile, make_agent
from hookyard.agents.worktree import fresh_worktree, remove_folder
from hookyard.core.errors import InvalidError
from hookyard.core.message_catalog import Message
from hookyard.runs.claim import AdmittedRun
from hookyard.runs.executor import ExecutionEnvironment
from hookyard.runs.profiles import stored_profile
from hookyard.runs.workspace_cleanup import directory_name
from hookyard.runs.workspace_hooks import WorkspaceHooks
from hookyard.store.database import Database

logger = logging.getLogger(__name__)


class ProfileEnvironments:
    """Workplaces by agent profile. Implements `executor.ExecutionEnvironments`.

    Args:
        database: Where profiles are kept.
        hooks: The webhooks of each workspace.
        tools: Makes the task tools of a run, which sign with the name given.
        parts: What agents are made with.
        scratch: Folder under which runs without a folder of their own work.
        environment: Variables from which a profile's allow-list takes, and where providers find their keys.
    """

    def __init__(
        self,
        *,
        database: Database,
        hooks: WorkspaceHooks,
        tools: Callable[[AdmittedRun, str], Awaitable[WorkspaceTools]],
        parts: Parts,
        scratch: Path,
        environment: Callable[[], Awaitable[Mapping[str, str]]],
    ) -> None:
        self._database = database
        self._hooks = hooks
        self._tools = tools
        self._parts = parts
        self._scratch = scratch
        self._environment = environment

    @asynccontextmanager
    async def open(self, claim: AdmittedRun) -> AsyncIterator[ExecutionEnvironment]:
        """Open the environment of one attempt.

        Raises:
            AgentError: There is no such profile, it cannot be used on this machine, or it cannot be gated where a gate
                fails closed.
        """
        profile = await self._profile(claim.agent)
        agent = make_agent(profile, self._parts)
        async with self._hooks.using(claim.workspace_id) as hooks, self._folder(profile, claim) as directory:
            if not agent.can_be_gated and hooks.fail_closed():
                raise AgentError(Message("agent_ungovernable", {"kind": profile.kind}))
            yield ExecutionEnvironment(
                agent=agent,
                hooks=hooks,
                working_dir=directory,
                tools=await self._tools(claim, profile.name or profile.kind) if agent.kind == "built-in" else None,
                environment=await self._variables(profile),
                model=self._model(agent, profile),
                timeout_seconds=profile.timeout_seconds,
            )

    async def _variables(self, profile: Profile) -> Mapping[str, str]:
        return child_environment(profile.environment, await self._environment()) if profile.needs_environment else {}

    async def _profile(self, named: str) -> Profile:
        try:
            profile = await self._database.read(lambda conn: stored_profile(conn, named))
        except InvalidError as error:
            raise AgentError(Message("profile_invalid", {"name": named, "problem": error.message})) from error
        if profile is None:
            raise AgentError(Message("profile_not_found", {"name": named}))
        return profile

    @asynccontextmanager
    async def _folder(self, profile: Profile, claim: AdmittedRun) -> AsyncIterator[Path]:
        own_name = directory_name(claim.execution)
        if profile.folder is not None:
            if not await asyncio.to_thread(profile.folder.is_dir):
                raise AgentError(Message("profile_directory_missing", {"path": str(profile.folder)}))
            if not profile.worktree:
                yield profile.folder
                return
            at = self._scratch / own_name
            await asyncio.to_thread(self._scratch.mkdir, parents=True, exist_ok=True, mode=0o700)
            async with fresh_worktree(profile.folder, at, own_name, logger.info) as directory:
                yield directory
            return
        own = self._scratch / own_name
        await asyncio.to_thread(own.mkdir, parents=True, exist_ok=True, mode=0o700)
        try:
            yield own
        finally:
            await asyncio.to_thread(remove_folder, own)
            if await asyncio.to_thread(own.exists):
                logger.warning("the folder of an attempt cannot be removed", extra={"folder": str(own)})

    def _model(self, agent: Agent, profile: Profile) -> str | None:
        return profile.model or (self._parts.default_model if agent.kind == "built-in" else None)
