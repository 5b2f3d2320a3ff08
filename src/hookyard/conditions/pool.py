"""Evaluator processes: started, spoken to, ended.

An `EvalRequest` is one request with what has been answered of it; a `EvaluatorProcess` is one process; the `WorkerPool`
starts them and keeps one warm. Used by `dispatcher`, which decides what is asked where and handles requests whose
evaluator is lost.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import mmap
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from hookyard.conditions.evaluator import (
    ANSWER,
    CHECK,
    DEFINE,
    FORGET,
    JUDGE,
    OVER_LIMIT,
    PROGRESS,
    READY,
    REQUEST,
    SPAN,
)
from hookyard.core.errors import TemporaryError

START_SECONDS = 10.0
"""An evaluator is ready in 30 ms; this is for a machine that is all but standing still."""

REQUEST_TIMEOUT_SECONDS = 10.0
"""After this an answer is given up: the event is refused, and may be sent again. Time in which an evaluator hung with
another's conditions, or in which there was none, does not count."""

SINGLE_MODE_SECONDS = 30.0
"""The same for conditions that are judged one at a time, and wait for other slow ones between."""

MAX_WORKSPACES = 10_000
"""Workspaces that one evaluator remembers."""

MAX_SETS = 256
"""Sets of conditions that it remembers of each; edited callbacks leave old sets behind."""

_BOOT = (
    "import sys; sys.path += sys.argv[1:3]; import evaluator; "
    "evaluator.main(int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])"
)


@dataclass(slots=True, eq=False)
class EvalRequest:
    """One request and what has been answered of it.

    Attributes:
        kind: `JUDGE` or `CHECK`.
        workspace: The workspace of the conditions.
        texts: The conditions, or the one text to check.
        digest: Names the conditions to an evaluator that has been given them before.
        event: The event as JSON in ASCII.
        letters: What has been answered so far, one letter for each condition; see `evaluator`.
        answer: Becomes the letters, one for each condition, or the complaint of a check.
        errors: `[message, stack]` for each condition that threw or broke a limit, in their order.
        hung: Indexes of conditions that hung twice, alone.
        suspect: Index of the condition that hung last; -1 for none.
        singly: Whether they are judged one at a time. If not, the answer may be `deferred`.
        deferred: Whether it ended without an answer, because its workspace takes too long for this lane.
        taken: CPU seconds that its conditions took so far.
        deadline: Time of the loop at which it is given up.
        moves: Evaluators that were lost while it waited, through no condition's fault.
    """

    kind: int
    workspace: str
    texts: tuple[str, ...]
    event: bytes = b""
    digest: bytes = b""
    singly: bool = False
    answer: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    letters: str = ""
    errors: list[list[str]] = field(default_factory=list)
    hung: set[int] = field(default_factory=set)
    suspect: int = -1
    deferred: bool = False
    taken: float = 0.0
    moves: int = 0
    deadline: float = 0.0

    def __post_init__(self) -> None:
        """Let its time count from now."""
        self.begin()

    def begin(self) -> None:
        """Start the clock of the request."""
        self.deadline = asyncio.get_running_loop().time() + (
            SINGLE_MODE_SECONDS if self.singly else REQUEST_TIMEOUT_SECONDS
        )

    @property
    def span(self) -> tuple[int, int]:
        """First condition that is still to be judged, and the first after it that is not to be touched."""
        first = len(self.letters)
        return first, min((index for index in self.hung if index >= first), default=len(self.texts))

    def take(self, answer: str) -> bool:
        """Add an answer; whether that was the last."""
        letters, bracket, errors = answer.partition("[")
        self.letters += letters
        if bracket:
            self.errors += json.loads(bracket + errors)
        while len(self.letters) in self.hung:
            self.letters += OVER_LIMIT
            self.errors.append(["took too long and had to be killed", ""])
        return len(self.letters) >= len(self.texts)

    def finish(self, answer: str) -> None:
        """Hand the answer over, unless the asker has gone."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def defer(self) -> None:
        """Tell the asker that it has to ask elsewhere."""
        self.deferred = True
        self.finish("")

    def give_up(self, why: str) -> None:
        """Tell the asker that there is no answer now."""
        self.refuse(TemporaryError(f"conditions cannot be judged now: {why}", hint="send it again", retry_after=5))

    def refuse(self, error: TemporaryError) -> None:
        """Tell the asker why there is no answer now."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(slots=True)
class _KnownWorkspace:
    """What an evaluator knows of one workspace.

    Attributes:
        number: Names the workspace to the evaluator.
        sets: By digest, the number of each set of conditions that it has.
    """

    number: int
    sets: dict[bytes, int] = field(default_factory=dict)


class EvaluatorProcess(asyncio.Protocol):
    """One evaluator process.

    Args:
        process: The process.
        page: Its shared page.

    Attributes:
        asks: Requests that it has not answered, by number, oldest first.
        ready: Set when it can take requests; fails when it ends before.
    """

    def __init__(self, process: subprocess.Popen[bytes], page: mmap.mmap) -> None:
        self.process = process
        self.asks: dict[int, EvalRequest] = {}
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answered: Callable[[EvalRequest, str], None] | None = None
        self.ended: Callable[[EvaluatorProcess], None] | None = None
        self._page = page
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self._number = 0
        self._known: dict[str, _KnownWorkspace] = {}
        self._workspaces = 0
        self._started = False

    @property
    def alive(self) -> bool:
        """Whether requests can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def progress(self) -> tuple[float, int, int]:
        """When what is being judged began (monotonic, 0 = idle), its request's number, and the condition's index."""
        began, number, index = PROGRESS.unpack_from(self._page)
        return float(began), int(number), int(index)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport of the connected socket."""
        # uvloop's transports are no subclasses of asyncio's, though they do the same.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report that the process has ended or was killed."""
        self._transport = None
        self.kill()
        if not self.ready.done():
            self.ready.set_exception(TemporaryError("an evaluator ended while starting", retry_after=1))
            self.ready.exception()
        if self.ended is not None:
            self.ended(self)

    def data_received(self, data: bytes) -> None:
        """Take answers, or parts of them."""
        buffer = self._buffer
        buffer += data
        done = 0
        if not self._started:
            self._started = True
            done = len(READY)
            if not self.ready.done():
                self.ready.set_result(None)
        while len(buffer) - done >= ANSWER.size:
            length, number, taken = ANSWER.unpack_from(buffer, done)
            end = done + 4 + length
            if len(buffer) < end:
                break
            ask = self.asks.pop(number, None)
            if ask is not None and self.answered is not None:
                ask.taken += taken / 1e6
                self.answered(ask, buffer[done + ANSWER.size : end].decode())
            done = end
        del buffer[:done]

    def send(self, ask: EvalRequest) -> None:
        """Send a request; everything that is sent within one turn of the loop goes out in one piece."""
        self._number = number = self._number % 0xFFFFFFFF + 1
        self.asks[number] = ask
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        if ask.kind == CHECK:
            text = ask.texts[0].encode()
            self._out.append(REQUEST.pack(len(text) + REQUEST.size - 4, number, CHECK, 0, 0) + text)
            return
        known = self._known.get(ask.workspace) or self._introduce(ask.workspace)
        chosen = known.sets.get(ask.digest)
        if chosen is None:
            known, chosen = self._define(known, ask, number)
        first, last = ask.span
        length = REQUEST.size - 4 + SPAN.size + len(ask.event)
        self._out.append(REQUEST.pack(length, number, JUDGE, known.number, chosen) + SPAN.pack(first, last, ask.singly))
        self._out.append(ask.event)

    def forget(self, workspace: str) -> None:
        """Make the process forget a workspace, once it has answered the workspace's requests."""
        if workspace in self._known:
            if not self._out:
                asyncio.get_running_loop().call_soon(self._flush)
            self._forget(workspace)

    def kill(self) -> None:
        """End the process now."""
        self.process.kill()
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        if self._transport is not None:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _introduce(self, workspace: str) -> _KnownWorkspace:
        if len(self._known) >= MAX_WORKSPACES:
            self._forget(next(iter(self._known)))
        self._workspaces += 1
        known = self._known[workspace] = _KnownWorkspace(self._workspaces)
        return known

    def _define(self, known: _KnownWorkspace, ask: EvalRequest, number: int) -> tuple[_KnownWorkspace, int]:
        if len(known.sets) >= MAX_SETS:
            self._forget(ask.workspace)
            known = self._introduce(ask.workspace)
        chosen = len(known.sets)
        known.sets[ask.digest] = chosen
        texts = json.dumps(ask.texts).encode()
        # It carries the request's number: should the evaluator die of it, this request is the suspect.
        self._out.append(REQUEST.pack(len(texts) + REQUEST.size - 4, number, DEFINE, known.number, chosen) + texts)
        return known, chosen

    def _forget(self, workspace: str) -> None:
        known = self._known.pop(workspace)
        self._out.append(REQUEST.pack(REQUEST.size - 4, 0, FORGET, known.number, 0))


class WorkerPool:
    """Starts evaluators, keeps one warm, and knows every one that lives.

    Args:
        python: The interpreter to start.
    """

    def __init__(self, python: str = sys.executable) -> None:
        self._python = python
        self._spare: asyncio.Task[EvaluatorProcess] | None = None
        self._living: set[EvaluatorProcess] = set()
        self._tasks: set[asyncio.Task[object]] = set()

    async def take(self, *, warm: bool) -> EvaluatorProcess:
        """Return an evaluator that is ready.

        Args:
            warm: The one that is kept ready, another being started in its place; otherwise one that is started now.

        Raises:
            TemporaryError: None can be started.
        """
        if not warm:
            return await asyncio.shield(self._begin())
        spare, self._spare = self._spare, None
        child = await asyncio.shield(spare or self._begin())
        if not child.alive:
            child = await asyncio.shield(self._begin())
        if self._spare is None:
            self._spare = self._begin()
        return child

    def reap(self, child: EvaluatorProcess) -> None:
        """Wait for the end of a killed evaluator, once."""
        if child in self._living:
            self._living.remove(child)
            self._keep(asyncio.create_task(asyncio.to_thread(child.process.wait)))

    async def close(self) -> None:
        """End every evaluator and wait until it is gone."""
        while self._tasks or self._living:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for child in list(self._living):
                child.kill()
                self.reap(child)

    def _begin(self) -> asyncio.Task[EvaluatorProcess]:
        # A task of its own, never cancelled: what has been started must be known to be ended.
        task = asyncio.create_task(self._start())
        self._keep(task)
        return task

    def _keep(self, task: asyncio.Task[EvaluatorProcess] | asyncio.Task[int]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the caller that waits for it sees it; a spare's is seen when it is needed

    async def _start(self) -> EvaluatorProcess:
        try:
            process, connection, page = await asyncio.to_thread(_spawn, self._python)
        except OSError as error:
            raise TemporaryError(f"an evaluator cannot be started: {error}", retry_after=1) from error
        child = EvaluatorProcess(process, page)
        self._living.add(child)
        await asyncio.get_running_loop().create_unix_connection(lambda: child, sock=connection)
        try:
            async with asyncio.timeout(START_SECONDS):
                await child.ready
        except (TimeoutError, TemporaryError) as error:
            child.kill()
            self.reap(child)
            raise TemporaryError("an evaluator did not start", retry_after=1) from error
        return child


def _spawn(python: str) -> tuple[subprocess.Popen[bytes], socket.socket, mmap.mmap]:
    engine = importlib.util.find_spec("_quickjs")
    if engine is None or engine.origin is None:
        raise OSError("the JavaScript engine quickjs-ng is not installed")
    here = Path(__file__).parent
    ours, theirs = socket.socketpair()
    with theirs, tempfile.TemporaryFile() as shared:
        shared.truncate(mmap.PAGESIZE)
        page = mmap.mmap(shared.fileno(), mmap.PAGESIZE)
        descriptors = (theirs.fileno(), shared.fileno())
        words = (here, Path(engine.origin).parent, *descriptors, here / "prelude.js")
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and file
                [python, "-I", "-S", "-X", "utf8", "-c", _BOOT, *map(str, words)],
                env={"TZ": "UTC"},
                cwd="/",
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # an interrupt at the terminal is not for it
            )
        except BaseException:
            ours.close()
            page.close()
            raise
    ours.setblocking(False)
    return process, ours, page
