"""Passwords: their Argon2id hashes, made and checked outside the event loop, two at a time.

Called by `accounts` only. Parameters: 19 MiB, 2 passes, 1 lane (OWASP Password Storage Cheat Sheet), so that
two checks at once cost 38 MiB and a try to sign in costs an attacker about 30 ms.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from hookyard.core.errors import InvalidError, Problem

T = TypeVar("T")

SHORTEST = 10
"""Characters of a password (NIST SP 800-63B asks for 8 at least)."""

LONGEST = 200
"""Characters of a password; more is no safer and costs time."""

# Hash of no password that anybody knows, with our parameters: checking an unknown login takes as long as a known one.
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$8jOGOPmC0MQsaPGJSW4y4A$88WIgCdfyfgl4RZ9YWAykYIUCMUVRY36QIrCZNezpIw"


class Passwords:
    """Makes and checks hashes of passwords."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def hash(self, password: str) -> str:
        """Return the hash to store.

        Raises:
            InvalidError: Too short or too long.
        """
        if not SHORTEST <= len(password) <= LONGEST:
            message = f"give it {SHORTEST} to {LONGEST} characters"
            raise InvalidError(f"password: {message}", problems=(Problem("password", message),))
        return await self._apart(_hash, password)

    async def matches(self, hashed: str | None, password: str) -> bool:
        """Return whether this is the password of a hash; takes equally long when there is none."""
        if len(password) > LONGEST:
            return False
        good = await self._apart(_matches, hashed or _NOBODY, password)
        return good and hashed is not None

    async def _apart(self, function: Callable[..., T], *arguments: str) -> T:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(2, thread_name_prefix="passwords")
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)


def _hash(password: str) -> str:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1).hash(password)


def _matches(hashed: str, password: str) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return PasswordHasher().verify(hashed, password)
    except (InvalidHashError, VerificationError):
        return False
