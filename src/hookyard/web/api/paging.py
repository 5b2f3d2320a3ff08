"""Lists in pages: `limit` and `cursor` in, `{items, nextCursor}` out.

Used by every list of the API. A cursor is opaque to clients: the sort key of the last item shown, so that a page stays
where it is while new things come in front of it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Query
from pydantic_core import from_json

from hookyard.core.errors import InvalidError, Problem

T = TypeVar("T")

Limit = Annotated[int, Query(ge=1, le=500, description="Items of one page")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`nextCursor` of the page before")]
DEFAULT_LIMIT = 50


def pack(*key: str | float) -> str:
    """Return the cursor of a sort key."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def unpack(cursor: str | None, *kinds: type) -> tuple[Any, ...] | None:
    """Return the sort key of a cursor, None without one.

    Args:
        cursor: As the client gave it.
        kinds: Types of the key's parts.

    Raises:
        InvalidError: It is none that we made.
    """
    if cursor is None:
        return None
    try:
        # Stricter than `json`: no lone surrogates and no infinities, which a database would choke on.
        key = from_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), allow_inf_nan=False)
    except (binascii.Error, ValueError):
        key = None
    if (
        not isinstance(key, list)
        or len(key) != len(kinds)
        or not all(isinstance(part, kind) for part, kind in zip(key, kinds, strict=True))
    ):
        message = "is no cursor of this list; take nextCursor of the page before"
        raise InvalidError(f"cursor {message}", problems=(Problem("cursor", message),))
    return tuple(key)


def page(
    items: Sequence[T], limit: int, show: Callable[[T], dict[str, Any]], key: Callable[[T], tuple[str | float, ...]]
) -> dict[str, Any]:
    """Return one page.

    Args:
        items: Up to one more than `limit`, in order: the one more says that there is another page.
        limit: Items of a page.
        show: An item as the API shows it.
        key: The sort key of an item.
    """
    shown = items[:limit]
    following = pack(*key(shown[-1])) if len(items) > limit else None
    return {"items": [show(item) for item in shown], "nextCursor": following}
