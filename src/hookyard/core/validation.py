"""What people may write into the fields of tasks, callbacks, accounts and the rest: bounds, and refusals that say so.

Called by every operation of the workspace and by the callbacks' form before anything is stored. The bounds keep one row
small enough to be shown, and one event small enough to be judged; PostgreSQL's texts cannot hold NUL, so nobody's can.
Texts of those who cannot be asked again, such as services and templates, are mended instead: `sanitize_text`.
"""

from __future__ import annotations

from collections.abc import Sequence

from hookyard.core.errors import InvalidError, Problem

MAX_NAME = 200
"""Characters of names, statuses, types, labels and ids that people choose."""

MAX_TITLE = 500
"""Characters of a task's title."""

MAX_TEXT = 65_536
"""Characters of a description or a comment."""

MAX_LABELS = 50
"""Labels of one task."""


def validate_name(text: str, field: str, longest: int = MAX_NAME) -> str:
    """Return one line of text that must not be empty, without the white space around it.

    Raises:
        InvalidError: Empty, too long, or more than one plain line.
    """
    trimmed = text.strip()
    if not trimmed:
        raise _refused(field, "is empty; write something")
    if any(ord(character) < 32 or ord(character) == 127 for character in trimmed):
        raise _refused(field, "has control characters; write one plain line")
    return validate_text(trimmed, field, longest)


def sanitize_text(text: str) -> str:
    """Return the text without what databases reject: NUL, and lone surrogates such as half an emoji, become U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def validate_text(text: str, field: str, longest: int = MAX_TEXT, *, required: bool = False) -> str:
    """Return text of any number of lines after checking it.

    Raises:
        InvalidError: Too long, with NUL or half a character, or nothing though something is required.
    """
    if len(text) > longest:
        raise _refused(field, f"has {len(text):,} characters; at most {longest:,} are kept")
    if required and not text.strip():
        raise _refused(field, "is empty; write something")
    if "\x00" in text:
        raise _refused(field, "has a NUL character; leave it out")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _refused(field, "has half of a character (a lone surrogate); send whole characters")
    return text


def validate_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels in their order, each once.

    Raises:
        InvalidError: Too many, or one that is no name.
    """
    if len(labels) > MAX_LABELS:
        raise _refused("labels", f"are {len(labels)}; a task has at most {MAX_LABELS}")
    return tuple(dict.fromkeys(validate_name(label, "labels") for label in labels))


def _refused(field: str, message: str) -> InvalidError:
    return InvalidError(f"{field} {message}", problems=(Problem(field, message),))
