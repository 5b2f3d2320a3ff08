"""A process with an outbox, for tests that kill it: `python outbox_process.py FILE URL MODE COUNT`.

Modes: `put` stores COUNT deliveries and stops; `die-after-send` sends and is killed before the COUNTth outcome is
written; `send` drains for at most COUNT seconds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import aiohttp

from hookyard.core.clock import SystemClock
from hookyard.core.ids import Ids
from hookyard.hooks.delivery.delivery_log import Attempt, Delivery, DeliveryState
from hookyard.hooks.outbox.limits import OutboxLimits
from hookyard.hooks.outbox.models import NewDelivery, QueuedDelivery, SendResult
from hookyard.hooks.outbox.outbox import Outbox


def delivery(delivery_id: str, webhook: str = "audit", body: str = "{}") -> Delivery:
    return Delivery(delivery_id, webhook, "pre_tool_execution", "hookyard", "https://x.example/…", body, time.time())


def owed(delivery_id: str, webhook: str = "audit", body: str = "{}") -> NewDelivery:
    return NewDelivery(delivery(delivery_id, webhook, body), "hooks.toml")


async def post(session: aiohttp.ClientSession, url: str, parcel: QueuedDelivery) -> SendResult:
    """One attempt, as a sender makes it: 2xx is delivered, 503 is tried again soon, anything else is dead."""
    made = parcel.delivery
    headers = {"webhook-id": made.id, "x-webhook": made.webhook}
    async with session.post(url, data=made.request.encode(), headers=headers) as response:
        await response.read()
        status = response.status
    attempts = (*made.attempts, Attempt(len(made.attempts) + 1, time.time(), 1.0, status))
    if status == 503:
        return SendResult(replace(made, attempts=attempts), again_in=0.02)
    state = DeliveryState.DELIVERED if status < 300 else DeliveryState.DEAD
    return SendResult(replace(made, attempts=attempts, state=state))


async def main(path: Path, url: str, mode: str, count: int) -> None:
    ids = Ids()
    async with aiohttp.ClientSession() as session:
        sent = 0

        async def send(parcel: QueuedDelivery) -> SendResult:
            nonlocal sent
            outcome = await post(session, url, parcel)
            sent += 1
            if mode == "die-after-send" and sent == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return outcome

        outbox = Outbox(
            path, clock=SystemClock(), ids=ids, send=send, warn=print, bounds=OutboxLimits(lease_seconds=1.0)
        )
        if mode == "put":
            for number in range(count):
                await outbox.put(owed(ids.delivery(), body=str(number)))
                print("accepted", number, flush=True)
        else:
            await outbox.drain(float(count) if mode == "send" else 30.0)
        outbox.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
