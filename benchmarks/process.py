"""What a process under measurement uses, and how many runs it is given."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

LIMIT = 100
RUNS = 1500
IDLE_SECONDS = 8.0


def cpu_seconds() -> float:
    """Processor time of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def idle_percent() -> float:
    """Processor time while nothing happens, percent of a core."""
    await asyncio.sleep(2)
    before = cpu_seconds()
    await asyncio.sleep(IDLE_SECONDS)
    return (cpu_seconds() - before) / IDLE_SECONDS * 100


def resident_mb() -> float:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
