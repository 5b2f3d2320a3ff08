"""The JSON of a service's delivery, read so that nothing in it can do harm.

Missing values, null and other types read as nothing; what no database accepts is replaced. Called by the integrations
of this package. Knows none of them.
"""

from __future__ import annotations

import json
import math
import re
from urllib.parse import urlsplit

from hookyard.core.clock import from_iso
from hookyard.core.errors import InvalidError
from hookyard.core.validation import sanitize_text

_SPACED_OFFSET = re.compile(r" ([+-]\d\d:?\d\d)$")

LATEST = 253_402_300_800.0
"""The year 10000: no service's clock is right beyond it."""


def read(body: bytes) -> dict[str, object]:
    """Return the JSON object of a delivery.

    Raises:
        InvalidError: It is none.
    """
    try:
        payload = json.loads(body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidError("the delivery is no JSON", hint="set the webhook's content type to JSON") from error
    if not isinstance(payload, dict):
        raise InvalidError("the delivery is no JSON object", hint="let the service send its own webhook, unchanged")
    return payload


def _no_number(written: str) -> object:
    """Refuse NaN and the infinities, which Python reads and JSON does not have."""
    raise ValueError(f"{written} is no number of JSON")


def without(kind: str, what: str) -> InvalidError:
    """Return the error for a delivery that lacks what every delivery of its kind has."""
    return InvalidError(
        f"the delivery {what}", where=f"source {kind}", hint="let the service send its own webhook, unchanged"
    )


def dig(value: object, *path: str) -> object:
    """Return the value at a path of objects, or None."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def text(value: object, *path: str) -> str:
    """Return the text or number at a path as a text that every database accepts; `""` when there is none."""
    found = dig(value, *path)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return ""
    return sanitize_text(found if isinstance(found, str) else str(found))


def plain(value: object) -> object:
    """Return a value of a change as JSON shows it: texts and numbers as they are, compound values as nothing."""
    if isinstance(value, str):
        return sanitize_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float) else ""


def page(value: object, *path: str) -> str:
    """Return the http address at a path; `""` for anything else, since nothing else may become a link."""
    found = text(value, *path)
    try:
        parts = urlsplit(found)
    except ValueError:
        return ""
    return found if parts.scheme in ("http", "https") and parts.netloc else ""


def items(value: object, *path: str) -> list[object]:
    """Return the list at a path, or an empty one."""
    found = dig(value, *path)
    return found if isinstance(found, list) else []


def when(value: object, *path: str) -> float | None:
    """Return the time at a path in seconds since the epoch, or None when it makes no sense."""
    found = _SPACED_OFFSET.sub(r"\1", text(value, *path).replace(" UTC", "+00:00"))
    try:
        at = from_iso(found)
    except (ValueError, OverflowError):
        return None
    return at if 0 <= at < LATEST else None
