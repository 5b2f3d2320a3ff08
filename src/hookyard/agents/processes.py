"""Child processes of agents: kept, bounded, and ended as a whole tree.

Used by the shell tool and by every agent that is a process. A child gets exactly the environment that it is given, runs
under a supervisor process (`supervisor`) that ends it with everything that it started when it is cancelled, when its
time is up or when this process dies, and may say only so much: what goes beyond a limit is read and dropped, never
kept.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hookyard.agents.base import AgentError
from hookyard.core.clock import SystemClock

GRACE_SECONDS = 2.0
"""Between SIGTERM and SIGKILL."""

OWN_PREFIX = "HOOKYARD_"
"""Variables of ours, which no child inherits."""

ALWAYS_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "SHELL", "SSL_CERT_FILE")
"""What hardly any program does without, and what names no secret."""

_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Finished:
    """A child that has ended.

    Attributes:
        code: Its exit code; 128 plus the signal when one ended it.
        stdout: What it said, bounded.
        stderr: What it complained of, bounded.
        timed_out: It was ended because its time was up.
        duration_ms: From start to end, milliseconds.
    """

    code: int
    stdout: str
    stderr: str
    timed_out: bool
    duration_ms: float


class Bounded:
    """Keeps the first and the last of a stream, at most `limit` bytes together, and counts the rest."""

    def __init__(self, limit: int) -> None:
        self._half = limit // 2
        self._head = bytearray()
        self._tail = bytearray()
        self.dropped = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        free = self._half - len(self._head)
        self._head += chunk[:free]
        self._tail += chunk[free:]
        excess = len(self._tail) - self._half
        if excess > 0:
            del self._tail[:excess]
            self.dropped += excess

    def text(self) -> str:
        """Return the collected output, with a mark where something was left out."""
        head, tail = bytes(self._head), bytes(self._tail)
        if not self.dropped:
            return (head + tail).decode(errors="replace")
        gap = f"\n[… {self.dropped} bytes left out …]\n"
        return head.decode(errors="replace") + gap + tail.decode(errors="replace")


def child_environment(allowed: Sequence[str], source: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: a few variables that every program needs, the allowed ones, and none of
    hookyard's own."""
    names = (*ALWAYS_PASSED, *allowed)
    return {name: source[name] for name in names if name in source and not name.upper().startswith(OWN_PREFIX)}


@asynccontextmanager
async def started(
    argv: Sequence[str],
    *,
    working_dir: Path,
    environment: Mapping[str, str],
    stdin: int = DEVNULL,
    grace_seconds: float = GRACE_SECONDS,
    line_bytes: int = _CHUNK,
) -> AsyncIterator[Process]:
    """Yield a running child with pipes for its output. Its whole process tree has ended when the block ends.

    Args:
        argv: Program and arguments; no shell reads them.
        working_dir: Where it runs.
        environment: All of its variables.
        stdin: Its input: none, `PIPE`, or an open file.
        grace_seconds: Between asking it to end and ending it by force.
        line_bytes: The longest line that can be read from its output as one.

    Raises:
        AgentError: There is no such program or folder, or it could not be started.
    """
    if not os.path.isdir(working_dir):  # noqa: PTH112, ASYNC240 - one stat
        raise AgentError(f"the working folder {working_dir} does not exist", hint="make it, or fix the agent profile")
    program = _program(argv[0], working_dir, environment)
    read_end, write_end = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-S", "-E", "-I", str(_SUPERVISOR), str(read_end), str(grace_seconds), program, *argv[1:]),
            stdin=stdin,
            stdout=PIPE,
            stderr=PIPE,
            cwd=working_dir,
            env=dict(environment),
            pass_fds=(read_end,),
            start_new_session=True,
            limit=line_bytes,
        )
    except OSError as error:
        os.close(write_end)
        raise AgentError(f"{argv[0]} could not be started: {error.strerror}") from error
    except ValueError as error:  # no argument can hold a NUL
        os.close(write_end)
        raise AgentError(f"{argv[0]} could not be started: {error}", hint="take that character out") from error
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    try:
        yield process
    finally:
        os.close(write_end)  # the supervisor ends the tree, whether or not this process waits for it
        await _gone(process, grace_seconds)


async def run(
    argv: Sequence[str],
    *,
    working_dir: Path,
    environment: Mapping[str, str],
    stdin: bytes | None = None,
    stdout_limit: int = 262_144,
    stderr_limit: int = 16_384,
    timeout_seconds: float | None = None,
    grace_seconds: float = GRACE_SECONDS,
    on_line: Callable[[bytes], Awaitable[None]] | None = None,
) -> Finished:
    """Run a program to its end.

    Args:
        argv: Program and arguments; no shell reads them.
        working_dir: Where it runs.
        environment: All of its variables.
        stdin: Its input, None for none.
        stdout_limit: Bytes of its output that are kept.
        stderr_limit: Bytes of its complaints that are kept.
        timeout_seconds: When it is ended; None = only when cancelled.
        grace_seconds: Between asking it to end and ending it by force.
        on_line: Awaited with each line of output as it comes, lines over 1 MiB left out; what it raises ends the child.

    Raises:
        AgentError: It could not be started.
    """
    clock = SystemClock()
    began = clock.monotonic()
    out, err = Bounded(stdout_limit), Bounded(stderr_limit)
    lines = Lines(on_line) if on_line is not None else None
    timed_out = False
    code = None
    with _input(stdin) as given:
        async with started(
            argv, working_dir=working_dir, environment=environment, stdin=given, grace_seconds=grace_seconds
        ) as process:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await _all(_drain(process.stdout, out, lines), _drain(process.stderr, err, None))
                    code = await process.wait()
            except TimeoutError:
                timed_out = True
    if code is None:
        code = process.returncode if process.returncode is not None else -1
    return Finished(code, out.text(), err.text(), timed_out, (clock.monotonic() - began) * 1000)


class Lines:
    """Cuts a stream into lines; one that is too long is left out whole."""

    LIMIT = 1_048_576

    def __init__(self, take: Callable[[bytes], Awaitable[None]]) -> None:
        self._take = take
        self._rest = bytearray()
        self._skipping = False

    async def add(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            line = bytes(self._rest) + part
            self._rest.clear()
            if not self._skipping and line.strip() and len(line) <= self.LIMIT:
                await self._take(line)
            self._skipping = False
        self._rest += rest
        if len(self._rest) > self.LIMIT:
            self._rest.clear()
            self._skipping = True

    async def end(self) -> None:
        """Pass on the rest as a last line: the stream has ended."""
        if self._rest.strip() and not self._skipping:
            await self._take(bytes(self._rest))


async def _all(*works: Coroutine[Any, Any, None]) -> None:
    """Do several things at once; when one fails or this is cancelled, none goes on."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _program(name: str, working_dir: Path, environment: Mapping[str, str]) -> str:
    """Return the program's path, found as a shell would find it in the child's environment."""
    path = str(working_dir / name) if "/" in name and not name.startswith("/") else name
    found = shutil.which(path, path=environment.get("PATH", os.defpath))
    if found is None:
        raise AgentError(
            f"there is no program {name!r}", hint="install it, give its whole path, or allow PATH in the agent profile"
        )
    return found


@contextmanager
def _input(content: bytes | None) -> Iterator[int]:
    """Return a file with a child's whole input.

    Not a pipe: when the worker is killed before it has written all, a child would take what is there for everything,
    and begin to work on half a prompt, or none, before its supervisor has ended it.
    """
    if content is None:
        yield DEVNULL
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(tempfile.TemporaryFile(buffering=0))
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
            file.seek(0)
        except OSError as error:
            raise AgentError(f"its input could not be written: {error.strerror}", hint="make room in TMPDIR") from error
        yield file.fileno()


async def _drain(stream: asyncio.StreamReader | None, kept: Bounded, lines: Lines | None) -> None:
    assert stream is not None  # PIPE was asked for
    while chunk := await stream.read(_CHUNK):
        kept.add(chunk)
        if lines is not None:
            await lines.add(chunk)
    if lines is not None:
        await lines.end()


async def _gone(process: Process, grace_seconds: float) -> None:
    """Wait for the supervisor, which was signalled to end; kill it if it hangs."""
    streams = [stream for stream in (process.stdout, process.stderr) if stream is not None]
    drains = [asyncio.ensure_future(_discard(stream)) for stream in streams]  # a full pipe would hold the child back
    try:
        async with asyncio.timeout(grace_seconds + 10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
    finally:
        for drain in drains:
            drain.cancel()
        await asyncio.gather(*drains, return_exceptions=True)


async def _discard(stream: asyncio.StreamReader) -> None:
    while await stream.read(_CHUNK):
        pass
