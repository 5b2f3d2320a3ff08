"""The process that runs conditions: untrusted JavaScript, one thread, no environment, killed when it hangs.

Started by `pool.WorkerPool` as a bare interpreter that imports this file alone; it must import nothing of hookyard and
little of the standard library, so that it starts in some 30 ms and shares nothing with the server. It is the only file
that touches the JavaScript engine.

Speaks frames over a socket pair, answered in their order. A request is `REQUEST` and a payload, an answer `ANSWER` and
a payload, both little-endian and beginning with the length of what follows the length. Requests:

- `DEFINE`: a set of conditions of a workspace, a JSON list of texts. Not answered.
- `JUDGE`: `SPAN` and the event's JSON text. Answered with one letter for each condition (`1` matched, `0` not, `e`
  threw, `x` broke its limits) and, when there are any, the errors as a JSON list of `[message, stack]` in the order of
  their letters. One at a time, fewer letters than asked for mean that the time of one request ran out: the rest is to
  be asked again. All in one call, no letters mean that they took too long or broke a limit: no other request waits for
  this workspace, and until it is forgotten all its requests are answered so, at once. They are to be asked elsewhere.
- `CHECK`: a text. Answered with the engine's complaint, or nothing.
- `FORGET`: a workspace. Not answered.

What is being judged stands in a shared page (`PROGRESS`), so that after a kill the server knows the culprit.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import resource
import signal
import socket
import struct
import time
from collections.abc import Callable
from functools import partial
from typing import Any

_quickjs: Any = None  # loaded by `main` alone: the server reads the formats below and must not load an engine

REQUEST = struct.Struct("<IIBII")  # length, number of the request, kind, workspace, set
SPAN = struct.Struct("<IIB")  # first condition, first condition not wanted, one at a time or all in one call
ANSWER = struct.Struct("<III")  # length, number of the request, microseconds of CPU that its conditions took
PROGRESS = struct.Struct("<dII")  # when it began (monotonic; 0 = idle), number of the request, index of the condition
DEFINE, JUDGE, CHECK, FORGET = range(4)
HOLDS, FAILS, THREW, OVER_LIMIT = "10ex"  # what the answer says of each condition, in their order

MEMORY_BYTES = 512 * 1024 * 1024
"""Address space of the process."""

CONTEXT_BYTES = 8 * 1024 * 1024
"""What conditions may allocate beyond their compiled form."""

ALL_CONTEXTS_BYTES = 256 * 1024 * 1024
"""Above this the contexts that were unused longest are let go."""

STACK_BYTES = 256 * 1024
"""JavaScript's own stack."""

CPU_SECONDS = 0.05
"""One call into the engine."""

REQUEST_SECONDS = 0.15
"""One request that has to be judged one condition at a time."""

FREE_SECONDS = 0.001
"""What judging all conditions for one event may take without being counted: a thousand plain ones take 0.2 ms."""

BUDGET_SECONDS = 0.02
"""When a workspace has taken this beyond what is free, its further requests are not answered."""

REFILL_RATE = 0.02
"""Of the time that passes, this share is given back: so much of a core may one workspace take beyond what is free."""

COMPILE_SECONDS = 0.2
"""Compiling a set of conditions while others wait behind it; a thousand plain ones take about a quarter of it."""

ALARM_SECONDS = 10
"""After this the process ends itself: its server is gone, or it would have killed it long ago."""

READY = b"r"
"""Sent once, before the first answer."""

PASSED = "0\nundefined"
"""What the engine says of `throw 0`."""


class Checker:
    """Tells whether a text is exactly one expression, without running any of it.

    The text stands after a `throw 0` in two kinds of brackets: whatever closes the one early does not close the other.
    """

    def __init__(self) -> None:
        self._context = _new_context()

    def complaint(self, text: str) -> str:
        """Return the engine's message with its place (line 2 is the text's first), or `""` when the text is an
        expression."""
        for opening, closing in ("()", "[]"):
            try:
                self._context.eval(f'"use strict";throw 0;{opening}\n{text}\n{closing}')
            except _quickjs.StackOverflow:
                self._context = _new_context()
                return "SyntaxError: nested too deeply"
            except _quickjs.JSException as error:
                said = str(error)
                if said != PASSED:
                    self._context = _new_context()
                    return said
        return ""


class EvaluatorWorkspace:
    """The conditions of one workspace and the context that they run in.

    Args:
        prelude: The text of `prelude.js`.
        checker: Checks every text before it is compiled.
    """

    def __init__(self, prelude: str, checker: Checker) -> None:
        self._prelude = prelude
        self._checker = checker
        self._sets: dict[int, list[str]] = {}
        self._compiled: set[int] = set()
        self._context: Any = None
        self._keep: Any = None
        self._judge: Any = None
        self._excess = 0.0
        self._counted = 0.0
        self.bytes = 0
        self.over_budget = False

    def define(self, number: int, texts: list[str]) -> None:
        """Keep a set of conditions; they are compiled when they are first needed."""
        self._sets[number] = texts

    def close(self) -> None:
        """Let the context go; the texts stay, and the next event makes a new one."""
        self._context = self._keep = self._judge = None
        self._compiled.clear()
        self.bytes = 0

    def ready(self, number: int, progress: Callable[[], None], seconds: float) -> bool:
        """Compile a set and return whether the CPU time for it sufficed.

        Args:
            number: The set.
            progress: Called before each condition is compiled.
            seconds: That time.

        Raises:
            JSException: There is no memory for it.
        """
        if number in self._compiled:
            return True
        if self._context is None:
            self._open()
        until = time.process_time() + seconds
        for text in self._sets[number]:
            progress()
            self._compile(number, text)
            if time.process_time() > until:
                return False
        self._compiled.add(number)
        self._measure()
        return True

    def judge(self, number: int, event: str, first: int, last: int) -> str:
        """Return verdicts and errors of several conditions of a compiled set in one call.

        Raises:
            JSException: One of them broke its limits; the context is not fit for use any more.
        """
        return str(self._judge(number, event, first, last))

    def count(self, taken: float, now: float) -> None:
        """Note the CPU time that an event took beyond what is free, and whether it is too much by now."""
        self._excess = max(0.0, self._excess - (now - self._counted) * REFILL_RATE) + taken - FREE_SECONDS
        self._counted = now
        self.over_budget = self._excess > BUDGET_SECONDS

    def _open(self) -> None:
        context = _new_context()
        door = context.eval(self._prelude)
        self._keep, self._judge = door("keep"), door("judge")
        self._context = context

    def _compile(self, number: int, text: str) -> None:
        complaint = self._checker.complaint(text)
        try:
            # A text that is no expression must never be compiled: compiling could run it.
            compiled = self._function(_thrower(complaint) if complaint else text)
        except _quickjs.JSException as error:
            compiled = self._function(_thrower(str(error)))
        self._keep(number, compiled)

    def _function(self, expression: str) -> Any:
        return self._context.eval(f'"use strict";(ctx)=>(\n{expression}\n)')

    def _measure(self) -> None:
        self.bytes = int(self._context.memory()["memory_used_size"])
        self._context.set_memory_limit(self.bytes + CONTEXT_BYTES)


class Evaluator:
    """Answers the requests of one server.

    Args:
        connection: The socket to it.
        progress: The shared page.
        prelude: The text of `prelude.js`.
    """

    def __init__(self, connection: socket.socket, progress: mmap.mmap, prelude: str) -> None:
        self._connection = connection
        self._progress = progress
        self._prelude = prelude
        self._checker = Checker()
        self._workspaces: dict[int, EvaluatorWorkspace] = {}  # the least recently used first
        self._bytes = 0  # of all contexts
        self._cpu = 0.0  # that the conditions of the request in hand took
        self._pending = b""

    def serve(self) -> None:
        """Answer until the server goes away."""
        buffer = bytearray()
        while chunk := self._connection.recv(1 << 18):
            buffer += chunk
            signal.setitimer(signal.ITIMER_REAL, ALARM_SECONDS)
            done = 0
            while len(buffer) - done >= REQUEST.size:
                length, request, kind, workspace, number = REQUEST.unpack_from(buffer, done)
                end = done + 4 + length
                if len(buffer) < end:
                    break
                payload = bytes(memoryview(buffer)[done + REQUEST.size : end])
                done = end
                began = time.monotonic()
                PROGRESS.pack_into(self._progress, 0, began, request, 0)
                answer = self._answer(request, kind, workspace, number, payload)
                if answer is not None:
                    head = ANSWER.pack(len(answer) + ANSWER.size - 4, request, int(self._cpu * 1e6))
                    self._send(head + answer, int((time.monotonic() - began) * 1e6))
            del buffer[:done]
            self._flush()
            PROGRESS.pack_into(self._progress, 0, 0.0, 0, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _send(self, answer: bytes, taken: int) -> None:
        """Send answers together, but without waiting for a slow neighbour."""
        self._pending += answer
        if taken > 1000:
            signal.setitimer(signal.ITIMER_REAL, ALARM_SECONDS)
        if taken > 1000 or len(self._pending) > 1 << 16:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._connection.sendall(self._pending)
            self._pending = b""

    def _answer(self, request: int, kind: int, workspace: int, number: int, payload: bytes) -> bytes | None:
        if kind == CHECK:
            return self._checker.complaint(payload.decode()).encode()
        if kind == FORGET:
            forgotten = self._workspaces.pop(workspace, None)
            self._bytes -= forgotten.bytes if forgotten else 0
            return None
        used = self._workspaces.pop(workspace, None) or EvaluatorWorkspace(self._prelude, self._checker)
        self._workspaces[workspace] = used
        before = used.bytes
        answer = None
        if kind == DEFINE:
            used.define(number, json.loads(payload))
        else:
            answer = self._verdicts(request, used, number, payload).encode()
        self._bytes += used.bytes - before
        if self._bytes > ALL_CONTEXTS_BYTES:
            self._evict(used)
        return answer

    def _evict(self, used: EvaluatorWorkspace) -> None:
        for other in self._workspaces.values():
            if other is not used and other.bytes:
                self._bytes -= other.bytes
                other.close()
                if self._bytes <= ALL_CONTEXTS_BYTES:
                    break

    def _verdicts(self, request: int, workspace: EvaluatorWorkspace, number: int, payload: bytes) -> str:
        first, last, singly = SPAN.unpack_from(payload)
        event = payload[SPAN.size :].decode("ascii")
        self._cpu = 0.0
        if singly:
            return self._one_at_a_time(request, workspace, number, event, range(first, last))
        if workspace.over_budget:
            return ""
        try:
            in_time = workspace.ready(number, partial(self._stamp, request, first), COMPILE_SECONDS)
            if in_time:
                began = time.process_time()
                verdicts = workspace.judge(number, event, first, last)
                self._cpu = time.process_time() - began
                if self._cpu > FREE_SECONDS:
                    workspace.count(self._cpu, time.monotonic())
                return verdicts
        except _quickjs.JSException:
            pass  # somewhere among them is one that breaks its limits
        workspace.close()
        workspace.over_budget = True
        return ""

    def _one_at_a_time(
        self, request: int, workspace: EvaluatorWorkspace, number: int, event: str, indexes: range
    ) -> str:
        letters: list[str] = []
        errors: list[object] = []
        began = time.process_time()
        for index in indexes:
            if letters and self._cpu > REQUEST_SECONDS:
                break
            try:
                workspace.ready(number, partial(self._stamp, request, index), ALARM_SECONDS)
                self._stamp(request, index)
                verdict = workspace.judge(number, event, index, index + 1)
                letters.append(verdict[0])
                if len(verdict) > 1:
                    errors += json.loads(verdict[1:])
            except _quickjs.JSException as error:
                workspace.close()
                letters.append(OVER_LIMIT)
                errors.append([_limit(str(error)), ""])
            self._cpu = time.process_time() - began
        return "".join(letters) + (json.dumps(errors) if errors else "")

    def _stamp(self, request: int, index: int) -> None:
        PROGRESS.pack_into(self._progress, 0, time.monotonic(), request, index)


def _thrower(complaint: str) -> str:
    """Return an expression that throws an engine error unchanged."""
    return f"(()=>{{throw new SyntaxError({json.dumps(complaint)})}})()"


def _limit(said: str) -> str:
    """Return which limit was exceeded, by the engine's message."""
    if "interrupted" in said:
        return f"took more than {int(CPU_SECONDS * 1000)} ms"
    if "memory" in said:
        return f"used more than {CONTEXT_BYTES >> 20} MiB"
    return "broke its limits"


def _new_context() -> Any:
    context = _quickjs.Context()
    context.set_max_stack_size(STACK_BYTES)
    context.set_memory_limit(CONTEXT_BYTES)
    context.set_time_limit(CPU_SECONDS)
    return context


def main(connection: int, progress: int, prelude: str) -> None:
    """Serve on an inherited socket until it closes.

    Args:
        connection: File descriptor of the socket.
        progress: File descriptor of the shared page.
        prelude: Path of `prelude.js`.
    """
    global _quickjs
    import _quickjs  # type: ignore[import-not-found,no-redef,unused-ignore]

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # macOS has no such limit; the engine's own holds there too
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with open(prelude, encoding="utf-8") as file:  # noqa: PTH123 - pathlib would double the time to start
        text = file.read()
    with socket.socket(fileno=connection) as server, mmap.mmap(progress, mmap.PAGESIZE) as page:
        server.setblocking(True)
        evaluator = Evaluator(server, page, text)
        # Everything is open that it will ever need: code that breaks out of the engine finds no file to open or to
        # write.
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        server.sendall(READY)
        evaluator.serve()
