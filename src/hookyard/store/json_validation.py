"""What can be kept as JSON: `schema` keeps every object as the text that `json.dumps` makes of it.

Called at the boundary, by the types that check what a client sends (`callbacks.spec`, `web.api.bodies`). It knows
nothing of what the fields of an object mean.
"""

from __future__ import annotations

import json
from typing import Any


def ensure_json(given: dict[str, Any]) -> dict[str, Any]:
    """Let only pass what can be written as JSON and read again: Python's own parser takes more.

    Raises:
        ValueError: Half of a character, a number that is not finite, or a value of another kind, such as a date from
            YAML; in the words that a client is shown.
    """
    try:
        json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError("has half of a character (a lone surrogate); send whole characters") from None
    except ValueError:
        raise ValueError("has a number that JSON does not know; send a finite one") from None
    except TypeError:
        raise ValueError("has a value that JSON does not know") from None
    return given
