"""Queues in front of evaluator processes.

A `Dispatcher` is a queue with one evaluator behind it. It sends at once what fits into each workspace's window, takes
the answers as they come, kills an evaluator that hangs, and asks again what was lost with it. Used by
`conditions.Conditions`, which reads the answers and decides about a workspace that was moved to the slow queue. Knows
nothing of callbacks, and never decides that something did not match: what cannot be judged ends as a `TemporaryError`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hookyard.conditions.evaluator import CHECK
from hookyard.conditions.pool import EvalRequest, EvaluatorProcess, WorkerPool
from hookyard.core.errors import LimitError, TemporaryError

MAX_MOVES = 5
"""Evaluators that one request may lose without anybody's conditions being at fault."""

MAX_OUTSTANDING = 20_000
"""Requests in one lane; more are refused at once."""

MAX_QUEUED_PER_WORKSPACE = 2000
"""Those of one workspace, so that it can neither use up the others' share nor the server's memory."""

MAX_QUEUED_BYTES_PER_WORKSPACE = 64 * 1024 * 1024
"""JSON of events that one workspace may have in a lane, the first excepted."""

WINDOW = 256
"""Requests of one workspace that the evaluator may have before it has answered any: no request waits behind more."""


@dataclass(slots=True)
class _WorkspaceQueue:
    """One workspace's requests in a lane.

    Attributes:
        sent: How many are with the evaluator.
        bytes: JSON of all their events.
        waiting: Those that are not sent yet.
    """

    sent: int = 0
    bytes: int = 0
    waiting: deque[EvalRequest] = field(default_factory=deque)


@dataclass(slots=True)
class _EvaluatorState:
    """What a lane knows of its evaluator.

    Attributes:
        child: The process that requests are sent to; None until one has started, and while a lost one is replaced.
        unassigned: Requests that wait for a process.
        lost_at: When the last process was lost, or the first request began to wait for one; time of the loop.
        starting: Replaces a lost process; at most one at a time.
        watch: The next look at the progress, while there are requests.
        idle_since: When it was first seen idle although it has requests (monotonic); None while it is getting on.
    """

    child: EvaluatorProcess | None = None
    unassigned: list[EvalRequest] = field(default_factory=list)
    lost_at: float = 0.0
    starting: asyncio.Task[None] | None = None
    watch: asyncio.TimerHandle | None = None
    idle_since: float | None = None

    def take_unassigned(self) -> list[EvalRequest]:
        """Return the requests that wait for a process, and forget them."""
        requests, self.unassigned = self.unassigned, []
        return requests


class Dispatcher:
    """A queue with one evaluator behind it.

    Args:
        nursery: Where evaluators come from.
        patience_seconds: How long one call into an evaluator may last before it is killed.
        clock: The monotonic clock that evaluators stamp their progress with.
        turn_out: Called with a workspace whose conditions broke a limit, and whether the evaluator had to be killed
            for it, before its requests come back `deferred`. Without it such a request is asked again in this lane.
    """

    def __init__(
        self,
        nursery: WorkerPool,
        patience_seconds: float,
        clock: Callable[[], float],
        turn_out: Callable[[str, bool], None] | None = None,
    ) -> None:
        self._nursery = nursery
        self._patience = patience_seconds
        self._clock = clock
        self._turn_out = turn_out
        self._state = _EvaluatorState()
        self._lines: dict[str, _WorkspaceQueue] = {}
        self._count = 0
        self._closed = False

    async def start(self) -> None:
        """Start an evaluator.

        Raises:
            TemporaryError: None can be started.
        """
        if self._state.child is None:
            self._attach(await self._nursery.take(warm=self._turn_out is not None))

    async def close(self) -> None:
        """End the evaluator and give up what is under way."""
        self._closed = True
        if self._state.watch is not None:
            self._state.watch.cancel()
        if self._state.starting is not None:
            self._state.starting.cancel()
            await asyncio.gather(self._state.starting, return_exceptions=True)
        if self._state.child is not None:
            self._state.child.kill()
        for line in self._lines.values():
            self._state.unassigned += line.waiting
            line.waiting.clear()
        self._give_up("the server is stopping")

    def submit(self, ask: EvalRequest) -> None:
        """Queue a request."""
        if self._closed:
            ask.give_up("the server is stopping")
            return
        if self._count >= MAX_OUTSTANDING:
            ask.give_up("too many events at once")
            return
        line = self._lines.get(ask.workspace)
        if line is None:
            line = self._lines[ask.workspace] = _WorkspaceQueue()
        elif (
            line.sent + len(line.waiting) >= MAX_QUEUED_PER_WORKSPACE
            or line.bytes + len(ask.event) > MAX_QUEUED_BYTES_PER_WORKSPACE
        ):
            ask.refuse(LimitError("too many events of this workspace at once", hint="send it again", retry_after=5))
            return
        self._count += 1
        line.bytes += len(ask.event)
        if line.sent < WINDOW:
            line.sent += 1
            self._send(ask)
        else:
            line.waiting.append(ask)

    def _send(self, ask: EvalRequest) -> None:
        child = self._state.child
        if child is None or not child.alive:
            if not self._state.unassigned:
                self._state.lost_at = asyncio.get_running_loop().time()
            self._state.unassigned.append(ask)
            self._renew()
            return
        child.send(ask)
        if self._state.watch is None:
            self._state.watch = asyncio.get_running_loop().call_later(self._patience, self._check_progress)

    def _unassign(self, ask: EvalRequest) -> None:
        """Finish a request: the next one of its workspace moves up."""
        line = self._lines[ask.workspace]
        self._count -= 1
        line.bytes -= len(ask.event)
        if line.waiting:
            following = line.waiting.popleft()
            following.begin()
            self._send(following)
            return
        line.sent -= 1
        if not line.sent:
            del self._lines[ask.workspace]

    def _attach(self, child: EvaluatorProcess) -> None:
        child.answered = self._answered
        child.ended = self._ended
        self._state.child = child
        unassigned = self._state.take_unassigned()
        lost = asyncio.get_running_loop().time() - self._state.lost_at
        for ask in unassigned:
            ask.deadline += lost  # it could not be judged meanwhile
            self._send(ask)

    def _renew(self) -> None:
        if self._state.starting is None and not self._closed:
            self._state.starting = asyncio.create_task(self._restart())

    async def _restart(self) -> None:
        try:
            for last in (False, False, True):
                try:
                    child = await self._nursery.take(warm=self._turn_out is not None)
                except TemporaryError as error:
                    if last:
                        self._give_up(error.what)
                else:
                    self._attach(child)
                    return
        finally:
            self._state.starting = None
            if self._state.unassigned:  # moved up behind those that were given up
                self._renew()

    def _give_up(self, why: str) -> None:
        unassigned = self._state.take_unassigned()
        for ask in unassigned:
            ask.give_up(why)
            if not self._closed:
                self._unassign(ask)

    def _answered(self, ask: EvalRequest, answer: str) -> None:
        if ask.kind == CHECK:
            ask.finish(answer)
        elif not ask.singly and not answer:
            self._defer(ask.workspace, [ask], killed=False)
            return
        elif ask.take(answer):
            ask.finish(ask.letters)
        elif asyncio.get_running_loop().time() > ask.deadline:
            ask.give_up("it takes too long")
        elif not ask.answer.done():  # its time ran out before all were judged: now it is the others' turn
            self._send(ask)
            return
        self._unassign(ask)

    def _defer(self, workspace: str, asks: list[EvalRequest], *, killed: bool) -> None:
        """Turn a workspace out: what waits here for its turn must not hold up others."""
        assert self._turn_out is not None
        self._turn_out(workspace, killed)
        if self._state.child is not None:
            self._state.child.forget(workspace)  # after all of it that the evaluator still has
        waiting = self._lines[workspace].waiting
        for ask in waiting:
            ask.defer()
            self._count -= 1
            self._lines[workspace].bytes -= len(ask.event)
        waiting.clear()
        for ask in asks:
            ask.defer()
            self._unassign(ask)

    def _check_progress(self) -> None:
        """Check that the evaluator makes progress while there are requests."""
        self._state.watch = None
        child = self._state.child
        if child is None or not child.asks:
            self._state.idle_since = None
            return
        loop = asyncio.get_running_loop()
        now = self._clock()
        began = child.progress[0]
        if began:
            self._state.idle_since = None
        elif self._state.idle_since is None:
            self._state.idle_since = now
        # Idle with requests waiting: stopped from outside, or the machine stands still; it takes longer to be sure.
        rest = began + self._patience - now if began else (self._state.idle_since or now) + 8 * self._patience - now
        if rest <= 0:
            self._state.idle_since = None
            child.kill()
            return
        for ask in [ask for ask in child.asks.values() if ask.deadline < loop.time()]:
            ask.give_up("it takes too long")
        self._state.watch = loop.call_later(min(rest, self._patience), self._check_progress)

    def _ended(self, child: EvaluatorProcess) -> None:
        if self._state.child is child:
            self._state.child = None
            self._state.lost_at = asyncio.get_running_loop().time()
        began, number, index = child.progress
        self._nursery.reap(child)
        suspect = child.asks.pop(number, None) if began else None
        lost = list(child.asks.values())
        child.asks.clear()
        if self._closed:
            self._state.unassigned += [*lost, *([suspect] if suspect else [])]
            self._give_up("the server is stopping")
            return
        if suspect is not None:
            lost = self._handle_suspect(suspect, index, lost)
        hung = max(0.0, self._clock() - began) if began else 0.0
        for ask in lost:
            ask.moves += suspect is None
            if ask.moves > MAX_MOVES:
                ask.give_up("evaluators keep ending")
            ask.deadline += hung
            if ask.answer.done():
                self._unassign(ask)
            else:
                self._send(ask)
        if self._state.child is None:
            self._renew()

    def _handle_suspect(self, ask: EvalRequest, index: int, lost: list[EvalRequest]) -> list[EvalRequest]:
        """Decide the request that an evaluator was lost with; return the requests to evaluate again."""
        if ask.kind == CHECK:
            ask.finish("SyntaxError: cannot be read in time")
        elif self._turn_out is not None:
            mine = [each for each in (*lost, *self._state.unassigned) if each.workspace == ask.workspace]
            self._state.unassigned = [each for each in self._state.unassigned if each.workspace != ask.workspace]
            self._defer(ask.workspace, [ask, *mine], killed=True)
            return [each for each in lost if each.workspace != ask.workspace]
        elif asyncio.get_running_loop().time() > ask.deadline:
            ask.give_up("it takes too long")
        elif ask.suspect != index:  # once more: the machine may have been busy
            ask.suspect = index
            return [*lost, ask]
        else:
            ask.hung.add(index)
            if not ask.take(""):
                return [*lost, ask]
            ask.finish(ask.letters)
        self._unassign(ask)
        return lost
