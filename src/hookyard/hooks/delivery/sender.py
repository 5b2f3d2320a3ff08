"""Everything that sending takes, once for a process: the HTTP client, the outbox, time, ids.

Made by `Hooks.load` for one user's agent, or by `wiring` for a server whose many `Hooks` share it: connections stay
warm, and one outbox sends for all. It holds no configuration.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from hookyard.core.clock import Clock, SystemClock
from hookyard.core.ids import Ids
from hookyard.hooks.delivery import breaker
from hookyard.hooks.delivery.breaker import Breaker
from hookyard.hooks.delivery.delivery import Deliverer, Traceparent
from hookyard.hooks.delivery.delivery_log import DeliveryLog
from hookyard.hooks.delivery.egress import Egress
from hookyard.hooks.outbox import outbox
from hookyard.hooks.outbox.background import BackgroundSender
from hookyard.hooks.warning import to_stderr

CLOSING_SECONDS = 5.0
"""How long a process that ends goes on sending background deliveries; the rest stays on disk."""


class Sender:
    """Sends for any number of `Hooks`.

    Args:
        directory: Where the outbox is kept: the user's home or the server's data folder.
        egress: The HTTP client, with its guard and proxies.
        clock: Dates and measures.
        ids: Makes delivery ids.
        warn: Takes each line about background deliveries for the user.
        language: Of the texts of chat formats, `en` or `zh`.
        log: Keeps background deliveries too, besides the outbox.
        traceparent: Names the traces that deliveries of runs belong to.
    """

    def __init__(
        self,
        directory: Path,
        egress: Egress,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        warn: Callable[[str], None] = to_stderr,
        language: str = "en",
        log: DeliveryLog | None = None,
        traceparent: Traceparent | None = None,
    ) -> None:
        self.clock = clock or SystemClock()
        # A delivery's id only has to be unique; asking the system for randomness would cost more than making the id.
        self.ids = ids or Ids(self.clock, random.Random().getrandbits)  # noqa: S311
        self.egress = egress
        self.deliverer = Deliverer(egress, self.clock, warn, language=language, traceparent=traceparent)
        self.breaker = Breaker(directory / breaker.FILE_NAME, self.clock)
        self.background = BackgroundSender(
            directory / outbox.FILE_NAME, self.deliverer, self.breaker, self.ids, warn, log
        )

    async def aclose(self, seconds: float = CLOSING_SECONDS) -> int:
        """Send what can be sent within a time, and close the connections.

        Returns:
            How many background deliveries are left on disk.
        """
        left = await self.background.aclose(seconds)
        await self.egress.aclose()
        return left
