"""A worker in a process of its own: `python -m tests.runs.worker_process URL FOLDER SECONDS`.

An attempt takes SECONDS, and longer for as long as there is a file `hold` in FOLDER.
Its agent notes in a file that an attempt began and that it ended, so that a test can count both whatever becomes of the
process. It runs until it is killed or its standard input ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from hookyard.agents.base import AgentResult, Assignment, Recorder
from hookyard.store.database import Database
from tests.runs.environment import RunsEnvironment


def note(directory: Path, line: str) -> None:
    """Append a line, whole even when several processes write."""
    with (directory / "notes").open("a") as notes:
        notes.write(line + "\n")


async def main(url: str, directory: Path, seconds: float) -> None:
    """Work until told to stop."""

    async def work(assignment: Assignment, recorder: Recorder) -> AgentResult:
        note(directory, f"began {assignment.run_id} {assignment.attempt} {os.getpid()}")
        recorder.message("assistant", f"attempt {assignment.attempt}")
        await asyncio.sleep(seconds)
        while (directory / "hold").exists():  # noqa: ASYNC110 - a test removes it
            await asyncio.sleep(0.02)
        note(directory, f"ended {assignment.run_id} {assignment.attempt} {os.getpid()}")
        return AgentResult(f"attempt {assignment.attempt}")

    with Database(url) as database:
        database.listen()
        env = RunsEnvironment(
            database, settings={"worker.maxRuns": 8, "runs.maxAttempts": 20, "worker.leaseSeconds": 6}
        )
        async with env.working(work):
            print("ready", flush=True)
            await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
