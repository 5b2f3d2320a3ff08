"""Start-up, memory and `--help`: what a user waits for before anything happens.

The floor of `/readyz` is the import of the libraries that the server has loaded when it answers, in one bare
interpreter; that of `--help` is a bare interpreter. Best of several, each in a process of its own, the two taking
turns. Both have their bytecode, as every installation has: a checkout under `PYTHONDONTWRITEBYTECODE` would compile
hookyard's own modules at every start.
"""

from __future__ import annotations

import compileall
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import hookyard
from benchmarks.figure import Figure

TURNS = 7

# Third-party packages that are looked for among the modules of a ready server; each loaded one is part of the floor.
LIBRARIES = (
    "aiohttp", "alembic", "argon2", "click", "cryptography.fernet", "dbos", "fastapi", "google", "httptools", "jinja2",
    "opentelemetry.metrics", "opentelemetry.sdk.metrics", "opentelemetry.trace", "psycopg", "pydantic",
    "pydantic_ai", "quickjs", "re2", "sqlalchemy", "starlette.applications", "structlog", "uvicorn",
    "uvicorn.protocols.http.httptools_impl", "uvloop", "yaml",
)  # fmt: skip

_PROBE = """
import sys
from hookyard.cli import serve
print_ready = serve.announce
def announce(settings, link):
    print_ready(settings, link)
    names = [name for name in {libraries!r} if name in sys.modules]
    print("LOADED", *names, flush=True)
serve.announce = announce
sys.argv = ["hookyard", "serve", "--port", "0", "--data", sys.argv[1]]
from hookyard.cli.main import main
main()
"""


async def measure() -> list[Figure]:
    """All figures."""
    compileall.compile_dir(Path(hookyard.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory)
        until_ready(data)  # makes the database; nobody waits for that twice
        libraries = loaded(data)
        floor_code = "\n".join(f"import {name}" for name in libraries)
        ready, imports = in_turns(lambda: until_ready(data), lambda: timed([sys.executable, "-c", floor_code]))
        memory = resident_megabytes(data)
    help_, bare = in_turns(
        lambda: timed([sys.executable, "-m", "hookyard.cli", "--help"]), lambda: timed([sys.executable, "-c", "pass"])
    )
    note = f"floor: the imports of {len(libraries)} libraries that it has loaded by then"
    return [
        Figure("`/readyz` after the start", ready * 1000, imports * 1000, "ms", 1.5, note=note),
        Figure("memory of a ready server", memory, None, "MB", 150, note="resident; its evaluators apart"),
        Figure("`hookyard --help` above a bare interpreter", (help_ - bare) * 1000, None, "ms", 150),
    ]


def in_turns(ours: Callable[[], float], floor: Callable[[], float]) -> tuple[float, float]:
    """The best of each, in seconds."""
    pairs = [(ours(), floor()) for _ in range(TURNS)]
    return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def timed(command: list[str]) -> float:
    """Seconds that a command takes."""
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True, env=environment())
    return time.perf_counter() - begun


def environment() -> dict[str, str]:
    """Ours, without what would configure the server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HOOKYARD_")}


def started(data: Path) -> tuple[subprocess.Popen[bytes], str]:
    """A server, and its address as soon as it has printed it."""
    command = [sys.executable, "-m", "hookyard.cli", "serve", "--port", "0", "--data", str(data)]
    process = subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    return process, process.stdout.readline().split()[-1].decode()


def ended(process: subprocess.Popen[bytes]) -> None:
    """Stop a server."""
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)


def until_ready(data: Path) -> float:
    """Seconds from the start of the process to the first good answer of `/readyz`, on a database that is there."""
    begun = time.perf_counter()
    process, address = started(data)
    try:
        with urllib.request.urlopen(f"{address}/readyz") as answer:
            answer.read()
        return time.perf_counter() - begun
    finally:
        ended(process)


def loaded(data: Path) -> list[str]:
    """Which libraries a server has imported when it is ready."""
    command = [sys.executable, "-c", _PROBE.format(libraries=LIBRARIES), str(data)]
    process = subprocess.Popen(command, bufsize=0, stdout=subprocess.PIPE, env=environment())
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith(b"LOADED"):
                return line.decode().split()[1:]
        raise RuntimeError("the server did not start")
    finally:
        ended(process)


def resident_megabytes(data: Path) -> float:
    """Memory of a server that has been ready for two seconds, its children apart."""
    process, address = started(data)
    try:
        time.sleep(2)
        with urllib.request.urlopen(f"{address}/readyz") as answer:
            answer.read()
        command = ["ps", "-o", "rss=", "-p", str(process.pid)]
        return int(subprocess.run(command, capture_output=True, check=True).stdout) / 1024
    finally:
        ended(process)
