"""One attempt: an agent does the run, and how that went is stored.

Called by the engine through `worker`, in a task of its own that is cancelled to end the run. The agent fires its hook
points itself and tells the timeline; here its time is watched, its errors become outcomes and the events that tell of
them, and the result is stored before the place is given up. Nothing here starts, orders or repeats runs.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, select

from hookyard.agents.base import (
    Agent,
    AgentError,
    AgentResult,
    Assignment,
    BudgetError,
    HookFirer,
    PromptDeniedError,
    TimeLimitError,
    Usage,
    WorkspaceTools,
    model_as_shown,
)
from hookyard.core.clock import Clock
from hookyard.core.errors import HookyardError, TemporaryError, UnavailableError
from hookyard.core.ids import RunId, WorkspaceId
from hookyard.core.message_catalog import Message
from hookyard.core.run_status import LOST, RunStatus
from hookyard.events.catalog import Value
from hookyard.events.model import WORKSPACE_SOURCE, AuthorTrust, EventDraft
from hookyard.runs.admission import TOPIC, RunTokens
from hookyard.runs.claim import AdmittedRun
from hookyard.runs.completion import Completion, RunOutcome, complete
from hookyard.runs.control import cancelled_by
from hookyard.runs.lease import Lease
from hookyard.runs.leased import LeasedHooks, check_lease
from hookyard.runs.pricing import cost_usd
from hookyard.runs.timeline import Timeline, shorten
from hookyard.settings import LiveSettings
from hookyard.store.database import Database
from hookyard.store.schema import batch_events, events

logger = logging.getLogger(__name__)

CLOSING_SECONDS = 20.0
"""What an agent gets beyond its time limit to keep it itself, with its last hook points."""

ENDING_SECONDS = 30.0
"""How long a cancelled agent may take to end its children before it is given up and its place freed."""

EMIT_DELAYS = (0.5, 2.0, 8.0)
"""Seconds between tries to tell of a failure while events cannot be accepted."""

STORE_SECONDS = 1.0
"""Between tries to store a result, beyond the patience of the database's writer."""

STACK_CHARS = 8_000
MESSAGE_CHARS = 4_000


@dataclass(frozen=True, slots=True)
class ExecutionEnvironment:
    """An agent and where it works.

    Attributes:
        agent: Ready to be started.
        hooks: Calls the webhooks that apply to the run.
        working_dir: Absolute.
        tools: The task tools of the run; None for an agent that has none.
        environment: Variables of its children.
        model: `provider:name` for the price; None when it is not known.
        timeout_seconds: The profile's own limit.
    """

    agent: Agent
    hooks: HookFirer
    working_dir: Path
    tools: WorkspaceTools | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    model: str | None = None
    timeout_seconds: float | None = None


class ExecutionEnvironments(Protocol):
    """Finds the agent that a run names and makes the place where it works."""

    def open(self, claim: AdmittedRun) -> AbstractAsyncContextManager[ExecutionEnvironment]:
        """Open the environment of one attempt; everything made for this attempt alone is removed at the end.

        Raises:
            AgentError: On entering: there is no such agent, or it may not be started here.
        """
        ...


class Emit(Protocol):
    """Stores an event of a workspace and something else in one transaction."""

    async def __call__(self, workspace_id: WorkspaceId, draft: EventDraft, apply: Callable[[Connection], None]) -> None:
        """Accept the event. `apply` may be called more than once, in transactions that are rolled back.

        Raises:
            TemporaryError: Events cannot be accepted now; nothing was stored.
            Exception: What `apply` raised; nothing was stored.
        """
        ...


class RunObserver(Protocol):
    """Follows attempts, for traces. Returns at once and never fails."""

    def began(self, claim: AdmittedRun) -> None:
        """Note that an attempt begins."""
        ...

    def ended(self, claim: AdmittedRun, agent: str, status: str, used: Usage) -> None:
        """Note that an attempt has ended; its status is `lost` when it has no result. `agent` is the kind, `""` when
        none was found."""
        ...


class _SupersededError(Exception):
    """The attempt is not the current one any more: nothing of it counts."""


@dataclass(frozen=True, slots=True)
class _AttemptEnd:
    """How an attempt ended, and the event that reports it, if any."""

    outcome: RunOutcome
    event: str | None = None
    variables: Mapping[str, Value] = field(default_factory=dict)


class Executor:
    """Executes attempts.

    Args:
        database: Where results go.
        clock: Dates and measures.
        workplaces: Finds agents.
        emit: Accepts the events that runs raise.
        tokens: Revokes the run's token.
        live: The live settings in effect.
        api_url: Where agents reach the server, `""` when they cannot.
        follow: Follows attempts; None = not followed.
        lease: Begins nothing once it is over; None = there is none.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        workplaces: ExecutionEnvironments,
        emit: Emit,
        tokens: RunTokens,
        live: Callable[[], LiveSettings],
        api_url: Callable[[], str] = lambda: "",
        follow: RunObserver | None = None,
        lease: Lease | None = None,
    ) -> None:
        self._database = database
        self._clock = clock
        self._workplaces = workplaces
        self._emit = emit
        self._tokens = tokens
        self._live = live
        self._api_url = api_url
        self._follow = follow
        self._lease = lease or Lease(clock, None)
        self._cancelled_by: dict[RunId, str] = {}
        self._no_longer_than: float | None = None
        self._settle = self._complete_group  # one object, by which the writer knows what belongs together

    def cancelled_by(self, run_id: RunId, who: str) -> None:
        """Note that a person cancels the run, before its task is cancelled; otherwise the run is started again."""
        self._cancelled_by[run_id] = who

    def set_shutdown_deadline(self, seconds: float) -> None:
        """Wait no longer than that for a database that is away: this worker is stopping. What is not stored by then
        is lost, and its run is for others to take over."""
        self._no_longer_than = self._clock.monotonic() + seconds

    def _may_wait(self, seconds: float) -> bool:
        return self._no_longer_than is None or self._clock.monotonic() + seconds <= self._no_longer_than

    async def execute(self, claim: AdmittedRun) -> bool:
        """Carry out an attempt and store its result.

        Returns:
            False when it has no result: this worker stops, or the attempt is not the current one any more.

        Raises:
            UnavailableError: The database could not be used for so long, or this worker's lease is over: the run has to
                start again, and had no part in it.
        """
        timeline = Timeline(claim, self._database, self._clock)
        model: str | None = None
        kind, status = "", LOST
        if self._follow is not None:
            self._follow.began(claim)
        try:
            try:
                async with self._opened(claim) as workplace:
                    model, kind = workplace.model, workplace.agent.kind
                    ended = _AttemptEnd(await self._work(claim, workplace, timeline))
            except UnavailableError:
                await asyncio.shield(timeline.close())
                raise
            except asyncio.CancelledError:
                who = self._cancelled_by.get(claim.run_id)
                if who is None:
                    await asyncio.shield(timeline.close())
                    return False
                ended = _AttemptEnd(RunOutcome(RunStatus.CANCELLED, reason=cancelled_by(who)))
            except Exception as error:
                check_lease(self._lease)  # an agent that was cut off with its worker did not fail
                ended = _failure(claim, error, timeline.last_message)
            # From here on nothing interrupts: what the agent did is stored.
            stored = await _uninterrupted(self._store(claim, ended, timeline, model))
            status = ended.outcome.status.value if stored else LOST
            return stored
        finally:
            if self._follow is not None:
                self._follow.ended(claim, kind, status, timeline.total)
            self._cancelled_by.pop(claim.run_id, None)

    @asynccontextmanager
    async def _opened(self, claim: AdmittedRun) -> AsyncIterator[ExecutionEnvironment]:
        """Open the environment, and wait while the database is away: an outage is not the run's failure."""
        async with AsyncExitStack() as stack:
            yield await self._entered(stack, claim)

    async def _entered(self, stack: AsyncExitStack, claim: AdmittedRun) -> ExecutionEnvironment:
        while True:
            check_lease(self._lease)
            try:
                return await stack.enter_async_context(self._workplaces.open(claim))
            except TemporaryError as error:
                if not self._may_wait(STORE_SECONDS):
                    raise
                logger.warning("a run waits for the database", extra={"run": claim.run_id, "error": error.what})
                await asyncio.sleep(STORE_SECONDS)

    async def _work(self, claim: AdmittedRun, workplace: ExecutionEnvironment, timeline: Timeline) -> RunOutcome:
        limits = [seconds for seconds in (claim.timeout_seconds, workplace.timeout_seconds) if seconds]
        timeout = min(limits, default=float(self._live().number("runs.timeoutSeconds")))
        timeline.begin(workplace.agent.kind, model_as_shown(workplace.model), workplace.working_dir)
        if claim.attempt > 1:
            timeline.note(f"attempt {claim.attempt}: the worker of the attempt before ended unexpectedly")
        assignment = Assignment(
            prompt=claim.prompt,
            working_dir=workplace.working_dir,
            session_id=claim.conversation_id,
            run_id=claim.run_id,
            workspace_id=claim.workspace_id,
            attempt=claim.attempt,
            event=claim.context,
            cause={
                "eventId": claim.event_id,
                "callbackId": claim.callback_id,
                "runId": claim.run_id,
                "chain": claim.chain.as_list(),
            },
            timeout_seconds=timeout,
            token_limit=claim.token_limit,
            environment=workplace.environment,
            run_token=claim.run_token,
            api_url=self._api_url(),
        )
        started = self._clock.monotonic()
        hooks = LeasedHooks(workplace.hooks, self._lease)
        check_lease(self._lease)
        work = asyncio.ensure_future(workplace.agent.run(assignment, hooks, timeline, workplace.tools))
        try:
            await asyncio.wait([work], timeout=timeout + CLOSING_SECONDS)
        except asyncio.CancelledError:
            await _end(work, claim)
            if not work.done() or work.cancelled() or work.exception() is not None:
                raise
            # It had finished at that very moment: what it did counts.
        await _end(work, claim)
        if work.done() and not work.cancelled():
            result = work.result()
            timeline.usage(result.usage)
            return RunOutcome(RunStatus.SUCCEEDED, answer=result.answer)
        raise TimeLimitError(
            Message("agent_timed_out", {"seconds": timeout}),
            duration_seconds=self._clock.monotonic() - started,
            last_message=timeline.last_message,
        )

    async def _store(self, claim: AdmittedRun, ended: _AttemptEnd, timeline: Timeline, model: str | None) -> bool:
        progress = await timeline.close()
        ending = Completion(claim, ended.outcome, progress, _priced(timeline.total, model), self._clock.now())
        stored = ended.event is not None and await self._emit_with_result(ending, ended)
        return stored or await self._store_until_done(ending)

    async def _emit_with_result(self, ending: Completion, ended: _AttemptEnd) -> bool:
        """Store the result together with the event that reports it; False when that cannot be done."""
        claim = ending.claim

        def apply(conn: Connection) -> None:
            if complete(conn, [ending], self._tokens) != [True]:
                raise _SupersededError

        for delay in (*EMIT_DELAYS, None):
            try:
                draft = EventDraft(
                    ended.event or "",
                    ended.variables,
                    source=WORKSPACE_SOURCE,
                    source_id=f"{claim.execution.key}:{ended.event}",
                    author_trust=await self._database.read(lambda conn: _least_trust(conn, claim)),
                    cause=claim.chain,
                )
                await self._emit(claim.workspace_id, draft, apply)
            except _SupersededError:
                return False
            except TemporaryError:
                if delay is None or not self._may_wait(delay):
                    break
                await asyncio.sleep(delay)
            except Exception:
                logger.exception("the event of a run was refused", extra={"run": claim.run_id})
                break
            else:
                return True
        logger.error("the event of a failed run could not be accepted", extra={"run": claim.run_id})
        return False

    async def _store_until_done(self, ending: Completion) -> bool:
        """Store the result, however long the database is away: the run holds its place until then.

        Returns:
            False when the attempt is not the current one any more, or this worker must stop.
        """
        told = {"run": ending.claim.run_id, "attempt": ending.claim.attempt}
        while True:
            try:
                writing = asyncio.ensure_future(self._database.write_grouped(self._settle, ending))
                # Admission is woken already now: it then often shares the result's commit, and waits for none of its
                # own before it gives the place away.
                await asyncio.sleep(0)
                self._database.signals.notify(TOPIC)
                stored = await writing
            except TemporaryError as error:
                level = logging.WARNING if (again := self._may_wait(STORE_SECONDS)) else logging.ERROR
                what = "a result waits for the database" if again else "a result was given up: the worker stops"
                logger.log(level, what, extra={**told, "error": error.what})
                if not again:
                    return False
                await asyncio.sleep(STORE_SECONDS)
            else:
                if not stored:
                    logger.warning("a late attempt was not stored", extra=told)
                return stored

    def _complete_group(self, conn: Connection, endings: Sequence[Completion]) -> list[bool | Exception]:
        return [*complete(conn, endings, self._tokens)]


async def _end(work: asyncio.Future[AgentResult], claim: AdmittedRun) -> None:
    """Cancel the agent's task and wait until it has ended its children; give it up when it takes too long."""
    deadline = asyncio.get_running_loop().time() + ENDING_SECONDS
    while not work.done():
        work.cancel()
        try:
            await asyncio.wait([work], timeout=deadline - asyncio.get_running_loop().time())
        except asyncio.CancelledError:
            continue  # cancelled again: it is ending already
        if asyncio.get_running_loop().time() >= deadline:
            logger.error("an agent did not end when it was cancelled", extra={"run": claim.run_id})
            return


async def _uninterrupted(storing: Coroutine[object, object, bool]) -> bool:
    """Wait for the result to be stored, also when the caller is cancelled."""
    task = asyncio.ensure_future(storing)
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
    return task.result()


def _failure(claim: AdmittedRun, error: Exception, last_message: str) -> _AttemptEnd:
    """Return the outcome for an error of an agent, or of finding one."""
    what = shorten(str(error), MESSAGE_CHARS) or type(error).__name__
    common: dict[str, Value] = {"conversationId": claim.conversation_id, "errorMessage": what}
    failed = RunOutcome(RunStatus.FAILED, answer=last_message or None, error=_error_message(error, what))
    if isinstance(error, TimeLimitError):
        # An agent that has said nothing yet leaves the prompt as the conversation's last message.
        words = shorten(error.last_message or last_message or claim.prompt, MESSAGE_CHARS)
        return _AttemptEnd(
            RunOutcome(RunStatus.TIMED_OUT, answer=last_message or None, error=failed.error),
            "conversation.timeout",
            {**common, "duration": round(error.duration_seconds, 3), "lastMessage": words},
        )
    if isinstance(error, BudgetError):
        own: dict[str, Value] = {"quotaType": error.quota_type, "remaining": error.remaining}
        return _AttemptEnd(failed, "conversation.quota_exhausted", {**common, **own})
    if isinstance(error, PromptDeniedError):
        return _AttemptEnd(failed)  # a webhook's decision, not a failure of the conversation
    if isinstance(error, AgentError):
        stack, retries = error.stack, error.retry_count
    else:
        stack, retries = "".join(traceback.format_exception(error)), 0
        if not isinstance(error, HookyardError):
            logger.error("an agent failed in a way that it does not know", exc_info=error, extra={"run": claim.run_id})
    own = {"errorStack": shorten(stack, STACK_CHARS), "retryCount": retries}
    return _AttemptEnd(failed, "conversation.error", {**common, **own})


def _error_message(error: Exception, text: str) -> Message:
    """Return what is stored of an error: its code and parameters where it has them, else the text."""
    if not isinstance(error, HookyardError) or not error.code:
        return Message.literal(text)
    if error.where is None:
        return error.message
    return Message("error_at", {"where": error.where, "problem": error.message})


def _priced(total: Usage, model: str | None) -> Usage:
    return replace(total, cost_usd=cost_usd(total, model))


def _least_trust(conn: Connection, claim: AdmittedRun) -> AuthorTrust:
    """Return the trust of a run's words: that of the least trusted author who caused it."""
    started_by = select(events.c.author_trust).where(events.c.id == claim.event_id)
    if claim.batch_id is not None:
        members = select(batch_events.c.event_id).where(batch_events.c.batch_id == claim.batch_id)
        started_by = select(events.c.author_trust).where(events.c.id.in_(members))
    return AuthorTrust.least(AuthorTrust(trust) for trust in conn.execute(started_by).scalars())
