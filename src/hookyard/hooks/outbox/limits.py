"""How much the outbox holds, and how patiently it works. Every default is explained where it is set."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """How much the outbox holds and how it works. Every default here is meant for a developer's machine.

    Attributes:
        most_bytes: The file never grows beyond this; then `put` fails with `FileFullError`.
        kept_days: Finished deliveries are kept so long.
        kept_rows: So many of each state are kept.
        kept_bytes: Their bodies and answers hold at most this, for each state.
        lease_seconds: A process that stops without a word loses its lanes after this.
        poll_seconds: How often to look for what other processes put in.
        lanes_at_once: Webhooks sent to at the same time.
        chunk: Parcels taken from the file at once.
        chunk_bytes: The same in bytes of bodies.
        longest_nap: A wait shorter than this is slept out; for a longer one the lane is let go.
        most_unwritten: Records of deliveries (`hooks.delivery.delivery_log`) that may wait for the disk; more are
            dropped.
        aside_seconds: A lane that this process cannot send for is left alone so long.
    """

    most_bytes: int = 512 * 1024 * 1024
    kept_days: float = 30.0
    kept_rows: int = 10_000
    kept_bytes: int = 64 * 1024 * 1024
    lease_seconds: float = 15.0
    poll_seconds: float = 0.5
    lanes_at_once: int = 64
    chunk: int = 100
    chunk_bytes: int = 4 * 1024 * 1024
    longest_nap: float = 2.0
    most_unwritten: int = 2000
    aside_seconds: float = 30.0
