"""Standard Webhooks: signs what hookyard sends, and verifies it for `hookyard hooks listen`.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. Called by `delivery` for
each attempt, since the signature covers the time of sending. Secrets appear in no error and no repr.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
"""How old or how far ahead a signed request may be, as the reference libraries have it."""

_MOST_SIGNATURES = 32


def check_secret(secret: str) -> None:
    """Refuse a secret that cannot sign.

    Raises:
        ValueError: Why, without the secret.
    """
    if not secret.strip():
        raise ValueError("the secret is empty")
    if secret.startswith(("whsk_", "whpk_")):
        raise ValueError("this is a key of an asymmetric scheme; give a shared secret, whsec_… or any text")
    if secret.startswith(PREFIX) and not _decoded(secret[len(PREFIX) :]):
        raise ValueError("what follows whsec_ is not base64")


def headers(secrets: Sequence[str], delivery_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the headers of one attempt.

    Args:
        secrets: Newest first; one signature for each, so that a receiver may know any of them. None: no signature.
        delivery_id: The same on every attempt of a delivery.
        timestamp: Seconds since the epoch, of this attempt.
        body: The bytes that are sent.

    Raises:
        ValueError: A secret that `check_secret` refuses.
    """
    made = {ID: delivery_id, TIMESTAMP: str(timestamp)}
    keys = [key for secret in secrets for key in _keys(secret)]
    if keys:
        made[SIGNATURE] = " ".join(_sign(key, delivery_id, str(timestamp), body) for key in keys)
    return made


def verify(secrets: Sequence[str], received: Mapping[str, str], body: bytes, now: float) -> str | None:
    """Return why a received request must not be trusted, None when its signature is valid.

    Args:
        secrets: Any of them may have signed.
        received: Headers, by any case.
        body: The bytes that arrived.
        now: Seconds since the epoch.
    """
    found = {name.lower(): value for name, value in received.items()}
    missing = [name for name in (ID, TIMESTAMP, SIGNATURE) if not found.get(name)]
    if missing:
        return f"no {', '.join(missing)}"
    timestamp = found[TIMESTAMP]
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return f"{TIMESTAMP} is not a number of seconds"
    if abs(now - int(timestamp)) > TOLERANCE_SECONDS:
        return f"{TIMESTAMP} is {abs(now - int(timestamp)):.0f} s off"
    expected = [_sign(key, found[ID], timestamp, body) for secret in secrets for key in _keys(secret)]
    for given in found[SIGNATURE].split(" ")[:_MOST_SIGNATURES]:
        for one in expected:
            if hmac.compare_digest(one.encode(), given.encode("utf-8", "replace")):
                return None
    return "the signature is of another secret or another body"


def _sign(key: bytes, delivery_id: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((delivery_id.encode("utf-8", "replace"), timestamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _keys(secret: str) -> list[bytes]:
    """Return the keys that a secret means.

    A text without `whsec_` may be meant as it stands, or as base64, which is how the reference libraries read it. Where
    it can be both, both sign: a receiver believes a request when any one signature holds.
    """
    check_secret(secret)
    if secret.startswith(PREFIX):
        return [_decoded(secret[len(PREFIX) :])]
    return [key for key in (_decoded(secret), secret.encode()) if key]


def _decoded(text: str) -> bytes:
    """Return the bytes of a base64 text, padded or not; empty when it is not base64."""
    try:
        return base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
