"""What is handed to the outbox, and what the outbox hands to the sender.

Made by `dispatch`, read by `outbox` and by the sender that `hooks.delivery.delivery` gives it. Nothing here holds a
header, a secret or an address with its key: the sender looks those up, by origin and name, when it sends.
"""

from __future__ import annotations

from dataclasses import dataclass

from hookyard.core.errors import TemporaryError
from hookyard.hooks.delivery.delivery_log import Delivery
from hookyard.hooks.formats.base import Rate


@dataclass(frozen=True, slots=True)
class Batching:
    """How events of one webhook are gathered.

    Attributes:
        size: Events in one request at most.
        flush_seconds: How long the first of them may wait for the others.
    """

    size: int
    flush_seconds: float


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """What is handed to the outbox.

    Attributes:
        delivery: The delivery as it is to be shown, its `request` the body after redaction; with `batching` the JSON
            text of one event, and the id is not used.
        origin: Where the webhook is configured: the path of a hooks file, or `workspace:…`.
        fingerprint: Of the configuration that it was made under, without its secrets.
        batching: Gather events; None: one request each.
        rates: Limits of the service.
        endpoint: What the limits are counted by: a digest of the address, never the address.
    """

    delivery: Delivery
    origin: str
    fingerprint: str = ""
    batching: Batching | None = None
    rates: tuple[Rate, ...] = ()
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class QueuedDelivery:
    """One delivery to send now.

    Attributes:
        delivery: As stored; `attempts` holds what was tried before.
        origin: Where the webhook is configured.
        fingerprint: Of the configuration that it was made under.
    """

    delivery: Delivery
    origin: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class SendResult:
    """What the sender did with a parcel.

    Attributes:
        delivery: Its newer state, with every attempt so far: delivered, dead, or still pending.
        again_in: Seconds to wait when it is still pending; its lane waits with it, so that the order is kept.
    """

    delivery: Delivery
    again_in: float = 0.0


class UnknownOriginError(TemporaryError):
    """This process cannot send for the webhook (another project's, or a variable is missing); another one may."""
