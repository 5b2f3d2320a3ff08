"""Codex silently skips hooks that were not reviewed: whether ours are trusted, and trusting them.

Called by `install`, and trusting only on an explicit flag, for it stands in for a person's review. Codex itself is
asked, through its app server, so that its own rules decide what the hash of a hook is.
Only hooks of ours are ever trusted.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from hookyard.core.errors import TemporaryError

TRUSTED = {"trusted", "managed"}
ANSWER_SECONDS = 30.0
LARGEST_LINE = 4 * 1024 * 1024


def untrusted(program: str, cwd: Path, ours: Callable[[str], bool], environ: Mapping[str, str]) -> int:
    """Return how many of our hooks Codex would skip in a directory."""
    with _AppServer(program, cwd, environ) as codex:
        return sum(hook.get("trustStatus") not in TRUSTED for hook in codex.hooks(ours))


def trust(program: str, cwd: Path, ours: Callable[[str], bool], environ: Mapping[str, str]) -> int:
    """Trust our hooks as they are now; how many of them are still not trusted.

    Raises:
        TemporaryError: Codex does not answer as expected.
    """
    with _AppServer(program, cwd, environ) as codex:
        state = {hook["key"]: {"trusted_hash": hook["currentHash"]} for hook in codex.hooks(ours)}
        edits = [{"keyPath": "hooks.state", "mergeStrategy": "upsert", "value": state}]
        codex.call("config/batchWrite", {"edits": edits, "reloadUserConfig": True})
        return sum(hook.get("trustStatus") not in TRUSTED for hook in codex.hooks(ours))


class _AppServer:
    """One `codex app-server`, spoken to line by line."""

    def __init__(self, program: str, cwd: Path, environ: Mapping[str, str]) -> None:
        self._cwd = cwd
        self._number = 0
        self._buffer = b""
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own Codex
                [program, "app-server"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=cwd,
                env=dict(environ),
            )
        except OSError as error:
            raise TemporaryError(f"Codex cannot be started: {error.strerror}", where=program) from None

    def __enter__(self) -> Self:
        client = {"name": "hookyard", "title": "hookyard", "version": "1"}
        try:
            self.call("initialize", {"clientInfo": client})
            self._send({"method": "initialized"})
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def hooks(self, ours: Callable[[str], bool]) -> list[dict[str, Any]]:
        """Return our hooks as Codex sees them in the directory."""
        found = self.call("hooks/list", {"cwds": [str(self._cwd)]}).get("data")
        entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
        return [hook for entry in entries for hook in entry.get("hooks", []) if ours(str(hook.get("command", "")))]

    def call(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Send one request and return its result.

        Raises:
            TemporaryError: Codex refused it, or did not answer within `ANSWER_SECONDS`.
        """
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            message = json.loads(self._line(deadline))
            if isinstance(message, dict) and message.get("id") == self._number:
                result = message.get("result")
                if not isinstance(result, dict):
                    raise TemporaryError(f"Codex refused {method}", hint="is it the version that the matrix names?")
                return result

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise TemporaryError("Codex ended before it answered") from None

    def _line(self, deadline: float) -> bytes:
        assert self._process.stdout is not None
        source = self._process.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                if not selector.select(max(deadline - time.monotonic(), 0.0)):
                    raise TemporaryError(f"Codex did not answer within {ANSWER_SECONDS:g} s")
                chunk = os.read(source, 65_536)
                if not chunk or len(self._buffer) > LARGEST_LINE:
                    raise TemporaryError("Codex ended before it answered")
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line
