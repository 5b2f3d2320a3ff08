"""Prefixed, sortable ids, one type each.

An id is its kind's prefix, an underscore and 26 characters of Crockford's base 32: 48 bits of milliseconds and 80
random bits (the layout of a ULID, https://github.com/ulid/spec). Ids of one process made within a millisecond still
sort in the order in which they were made.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from typing import NewType

from hookyard.core.clock import Clock, SystemClock

EventId = NewType("EventId", str)
CallbackId = NewType("CallbackId", str)
RunId = NewType("RunId", str)
BatchId = NewType("BatchId", str)
DeliveryId = NewType("DeliveryId", str)
ConversationId = NewType("ConversationId", str)
WorkspaceId = NewType("WorkspaceId", str)
UserId = NewType("UserId", str)
TokenId = NewType("TokenId", str)
CommentId = NewType("CommentId", str)
OperationId = NewType("OperationId", str)
WorkerId = NewType("WorkerId", str)
SessionId = NewType("SessionId", str)

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
_RANDOM_BITS = 80
_COUNTED_BITS = 40


def earliest(prefix: str, at: float) -> str:
    """Return the smallest id that can be made at a time (seconds since the epoch), for queries such as "older than"."""
    return f"{prefix}_{_text(max(0, int(at * 1000)) << _RANDOM_BITS, 13)}"


def _text(value: int, pairs: int) -> str:
    """Return the last pairs of digits of a value."""
    return "".join([_PAIRS[value >> 10 * index & 1023] for index in range(pairs - 1, -1, -1)])


class Ids:
    """Makes ids. Safe to use from several threads.

    Args:
        clock: Dates the ids.
        random_bits: Gives that many random bits as an integer.
    """

    def __init__(self, clock: Clock | None = None, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self._clock = clock or SystemClock()
        self._random_bits = random_bits
        self._lock = threading.Lock()
        self._millisecond = -1
        self._begin = ""
        self._counted = 0

    def event(self) -> EventId:
        """Return a new event id, `evt_…`."""
        return EventId(self._new("evt"))

    def callback(self) -> CallbackId:
        """Return a new callback id, `cb_…`."""
        return CallbackId(self._new("cb"))

    def run(self) -> RunId:
        """Return a new run id, `run_…`."""
        return RunId(self._new("run"))

    def batch(self) -> BatchId:
        """Return a new batch id, `bat_…`."""
        return BatchId(self._new("bat"))

    def delivery(self) -> DeliveryId:
        """Return a new delivery id, `dlv_…`."""
        return DeliveryId(self._new("dlv"))

    def conversation(self) -> ConversationId:
        """Return a new conversation id, `conv_…`."""
        return ConversationId(self._new("conv"))

    def workspace(self) -> WorkspaceId:
        """Return a new workspace id, `ws_…`."""
        return WorkspaceId(self._new("ws"))

    def user(self) -> UserId:
        """Return a new user id, `usr_…`."""
        return UserId(self._new("usr"))

    def token(self) -> TokenId:
        """Return a new id of a token (not the token itself), `tok_…`."""
        return TokenId(self._new("tok"))

    def comment(self) -> CommentId:
        """Return a new comment id, `cmt_…`."""
        return CommentId(self._new("cmt"))

    def operation(self) -> OperationId:
        """Return a new operation id, `op_…`."""
        return OperationId(self._new("op"))

    def worker(self) -> WorkerId:
        """Return a new worker id, `wrk_…`."""
        return WorkerId(self._new("wrk"))

    def session(self) -> SessionId:
        """Return a new id of an agent's session outside any run, `ses_…`."""
        return SessionId(self._new("ses"))

    def _new(self, prefix: str) -> str:
        millisecond = int(self._clock.now() * 1000)
        with self._lock:
            if millisecond > self._millisecond:
                self._millisecond = millisecond
                # One bit stays free so that counting up within a millisecond cannot overflow.
                random = self._random_bits(_RANDOM_BITS - 1)
                self._begin = _text(millisecond << _COUNTED_BITS | random >> _COUNTED_BITS - 1, 9)
                self._counted = random & (1 << _COUNTED_BITS - 1) - 1
            else:
                self._counted += 1
            begin, last = self._begin, self._counted
        # What follows is most of the work that each id makes: no loop.
        end = f"{_PAIRS[last >> 30]}{_PAIRS[last >> 20 & 1023]}{_PAIRS[last >> 10 & 1023]}{_PAIRS[last & 1023]}"
        return f"{prefix}_{begin}{end}"
