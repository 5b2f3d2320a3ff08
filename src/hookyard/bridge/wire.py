"""What `shim` sends and what it gets back, seen from the other end of the socket.

Used by `relay` and `governor`. The form is the shim's, which may import nothing: five texts that each end in a NUL
(agent, native event, mode letters with those of `Noise`, seconds, working folder), then the event as the agent gave it;
back go exit code and the lengths of two outputs on one line, then both.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hookyard.bridge.dialects.base import HookExit, Noise, UnreadableError
from hookyard.bridge.shim import CHUNK, LARGEST_EVENT, TOO_LARGE

FIELDS = 5
LARGEST_HEAD = 65_536
LONGEST_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class HookRequest:
    """One event on its way in.

    Attributes:
        agent: Whose installation sent it.
        event: Its native name.
        closed: Whatever goes wrong refuses the step.
        allow_modify: The user allowed modifications that no person is asked about.
        seconds: How long the shim waits from when it started.
        folder: Where the shim ran.
        text: What the agent gave its hook.
        noise: What can make the hook's shell print.
        too_large: The agent sent more, which was not read.
    """

    agent: str
    event: str
    closed: bool
    allow_modify: bool
    seconds: float
    folder: str
    text: bytes
    noise: frozenset[Noise] = frozenset()
    too_large: bool = False

    def native(self) -> Mapping[str, Any]:
        """Return the event as an object.

        Raises:
            UnreadableError: It is none.
        """
        if self.too_large:
            raise UnreadableError(f"the event has more than {LARGEST_EVENT} bytes")
        try:
            value = json.loads(self.text)
        except (ValueError, RecursionError):
            raise UnreadableError("the event is not JSON") from None
        if not isinstance(value, dict):
            raise UnreadableError("the event is no object")
        return value


def noise_in(letters: str) -> frozenset[Noise]:
    """Return what the shim's letters name."""
    return frozenset(cause for cause in Noise if cause in letters)


async def read(reader: asyncio.StreamReader) -> HookRequest | None:
    """Read an event to its end; None when it is not of the form or too large."""
    parts: list[bytes] = []
    size = 0
    while chunk := await reader.read(CHUNK):
        parts.append(chunk)
        size += len(chunk)
        if size > LARGEST_EVENT + LARGEST_HEAD:
            return None
    fields = b"".join(parts).split(b"\0", FIELDS)
    if len(fields) != FIELDS + 1:
        return None
    agent, event, mode, seconds, directory = (field.decode("utf-8", "surrogateescape") for field in fields[:FIELDS])
    try:
        limit = float(seconds)
    except ValueError:
        return None
    if not math.isfinite(limit):
        return None
    limit = min(limit, LONGEST_SECONDS)
    too_large = TOO_LARGE in mode
    return HookRequest(
        agent, event, "c" in mode, "m" in mode, limit, directory, fields[FIELDS], noise_in(mode), too_large
    )


def encode(answer: HookExit) -> bytes:
    """Return an answer in the form that the shim reads."""
    out, err = (text.encode("utf-8", "replace") for text in (answer.out, f"{answer.err}\n" if answer.err else ""))
    return b"%d %d %d\n%b%b" % (answer.code, len(out), len(err), out, err)
