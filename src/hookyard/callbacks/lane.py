"""Queues in front of evaluator processes.

A `Lane` is a queue with one evaluator behind it. It sends at once what fits into each workspace's window, takes the
answers as they come, kills an evaluator that hangs, and asks again what was lost with it. Used by
`condition.Conditions`, which knows what the letters mean and what becomes of a workspace that was turned out. Knows
nothing of callbacks, and never decides that something did not match: what cannot be judged ends as a `TemporaryError`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from hookyard.callbacks.children import Ask, Child, Nursery
from hookyard.callbacks.evaluator import CHECK
from hookyard.errors import LimitError, TemporaryError

MAX_MOVES = 5
"""Evaluators that one request may lose without anybody's conditions being at fault."""

MAX_OUTSTANDING = 20_000
"""Requests in one lane; more are refused at once."""

MAX_OF_ONE = 2000
"""Those of one workspace, so that it can neither use up the others' room nor the server's memory."""

MAX_BYTES_OF_ONE = 64 * 1024 * 1024
"""JSON of events that one workspace may have in a lane, the first excepted."""

WINDOW = 256
"""Requests of one workspace that the evaluator may have before it has answered any: nobody waits behind more."""


class _Line:
    """One workspace's requests in a lane: how many are with the evaluator, and those that still wait."""

    __slots__ = ("bytes", "sent", "waiting")

    def __init__(self) -> None:
        self.sent = 0
        self.bytes = 0
        self.waiting: deque[Ask] = deque()


class Lane:
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
        nursery: Nursery,
        patience_seconds: float,
        clock: Callable[[], float],
        turn_out: Callable[[str, bool], None] | None = None,
    ) -> None:
        self._nursery = nursery
        self._patience = patience_seconds
        self._clock = clock
        self._turn_out = turn_out
        self._child: Child | None = None
        self._lines: dict[str, _Line] = {}
        self._count = 0
        self._homeless: list[Ask] = []  # while there is no evaluator
        self._since = 0.0  # when the last evaluator was lost
        self._starting: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._idle_since: float | None = None
        self._closed = False

    async def start(self) -> None:
        """Have an evaluator ready.

        Raises:
            TemporaryError: None can be started.
        """
        if self._child is None:
            self._adopt(await self._nursery.take(warm=self._turn_out is not None))

    async def close(self) -> None:
        """End the evaluator and give up what is under way."""
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._child is not None:
            self._child.kill()
        for line in self._lines.values():
            self._homeless += line.waiting
            line.waiting.clear()
        self._give_up("the server is stopping")

    def submit(self, ask: Ask) -> None:
        """Queue a request."""
        if self._closed:
            ask.give_up("the server is stopping")
            return
        if self._count >= MAX_OUTSTANDING:
            ask.give_up("too many events at once")
            return
        line = self._lines.get(ask.workspace)
        if line is None:
            line = self._lines[ask.workspace] = _Line()
        elif line.sent + len(line.waiting) >= MAX_OF_ONE or line.bytes + len(ask.event) > MAX_BYTES_OF_ONE:
            ask.refuse(LimitError("too many events of this workspace at once", mend="send it again", retry_after=5))
            return
        self._count += 1
        line.bytes += len(ask.event)
        if line.sent < WINDOW:
            line.sent += 1
            self._send(ask)
        else:
            line.waiting.append(ask)

    def _send(self, ask: Ask) -> None:
        child = self._child
        if child is None or not child.alive:
            if not self._homeless:
                self._since = asyncio.get_running_loop().time()
            self._homeless.append(ask)
            self._renew()
            return
        child.send(ask)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(self._patience, self._look)

    def _leave(self, ask: Ask) -> None:
        """A request is done with: the next of its workspace moves up."""
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

    def _adopt(self, child: Child) -> None:
        child.answered = self._answered
        child.ended = self._ended
        self._child = child
        homeless, self._homeless = self._homeless, []
        lost = asyncio.get_running_loop().time() - self._since
        for ask in homeless:
            ask.deadline += lost  # it could not be judged meanwhile
            self._send(ask)

    def _renew(self) -> None:
        if self._starting is None and not self._closed:
            self._starting = asyncio.create_task(self._restart())

    async def _restart(self) -> None:
        try:
            for last in (False, False, True):
                try:
                    child = await self._nursery.take(warm=self._turn_out is not None)
                except TemporaryError as error:
                    if last:
                        self._give_up(error.what)
                else:
                    self._adopt(child)
                    return
        finally:
            self._starting = None
            if self._homeless:  # moved up behind those that were given up
                self._renew()

    def _give_up(self, why: str) -> None:
        homeless, self._homeless = self._homeless, []
        for ask in homeless:
            ask.give_up(why)
            if not self._closed:
                self._leave(ask)

    def _answered(self, ask: Ask, answer: str) -> None:
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
        self._leave(ask)

    def _defer(self, workspace: str, asks: list[Ask], *, killed: bool) -> None:
        """Turn a workspace out: what waits here for its turn must not hold up others."""
        assert self._turn_out is not None
        self._turn_out(workspace, killed)
        if self._child is not None:
            self._child.forget(workspace)  # after all of it that the evaluator still has
        waiting = self._lines[workspace].waiting
        for ask in waiting:
            ask.defer()
            self._count -= 1
            self._lines[workspace].bytes -= len(ask.event)
        waiting.clear()
        for ask in asks:
            ask.defer()
            self._leave(ask)

    def _look(self) -> None:
        """While there are requests: is the evaluator getting on?"""
        self._watch = None
        child = self._child
        if child is None or not child.asks:
            self._idle_since = None
            return
        loop = asyncio.get_running_loop()
        now = self._clock()
        began = child.progress[0]
        if began:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        # Idle with requests waiting: stopped from outside, or the machine stands still; it takes longer to be sure.
        rest = began + self._patience - now if began else (self._idle_since or now) + 8 * self._patience - now
        if rest <= 0:
            self._idle_since = None
            child.kill()
            return
        for ask in [ask for ask in child.asks.values() if ask.deadline < loop.time()]:
            ask.give_up("it takes too long")
        self._watch = loop.call_later(min(rest, self._patience), self._look)

    def _ended(self, child: Child) -> None:
        if self._child is child:
            self._child = None
            self._since = asyncio.get_running_loop().time()
        began, number, index = child.progress
        self._nursery.bury(child)
        suspect = child.asks.pop(number, None) if began else None
        lost = list(child.asks.values())
        child.asks.clear()
        if self._closed:
            self._homeless += [*lost, *([suspect] if suspect else [])]
            self._give_up("the server is stopping")
            return
        if suspect is not None:
            lost = self._accuse(suspect, index, lost)
        hung = max(0.0, self._clock() - began) if began else 0.0
        for ask in lost:
            ask.moves += suspect is None
            if ask.moves > MAX_MOVES:
                ask.give_up("evaluators keep ending")
            ask.deadline += hung
            if ask.answer.done():
                self._leave(ask)
            else:
                self._send(ask)
        if self._child is None:
            self._renew()

    def _accuse(self, ask: Ask, index: int, lost: list[Ask]) -> list[Ask]:
        """What becomes of the request that an evaluator was lost with; those that are to be judged again."""
        if ask.kind == CHECK:
            ask.finish("SyntaxError: cannot be read in time")
        elif self._turn_out is not None:
            mine = [each for each in (*lost, *self._homeless) if each.workspace == ask.workspace]
            self._homeless = [each for each in self._homeless if each.workspace != ask.workspace]
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
        self._leave(ask)
        return lost
