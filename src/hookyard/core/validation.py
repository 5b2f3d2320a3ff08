"""Validation of the texts that people and programs put into tasks, callbacks, accounts and the like.

Called before anything is stored. The bounds keep one row small enough to display and one event small enough to
evaluate. PostgreSQL cannot store NUL in a text, so hookyard rejects it everywhere. Texts whose author cannot correct
them, such as those of services and templates, are cleaned instead: `sanitize_text`.
"""

from __future__ import annotations

from collections.abc import Sequence

from hookyard.core.errors import InvalidError, Problem
from hookyard.core.message_catalog import Message

MAX_NAME = 200
"""Characters of names, statuses, types, labels and ids that people choose."""

MAX_TITLE = 500
"""Characters of a task's title."""

MAX_TEXT = 65_536
"""Characters of a description or a comment."""

MAX_LABELS = 50
"""Labels of one task."""


def validate_name(text: str, field: str, longest: int = MAX_NAME) -> str:
    """Return a single line of text with the blanks around it removed.

    Raises:
        InvalidError: It is empty, too long, or more than one plain line.
    """
    trimmed = text.strip()
    if not trimmed:
        raise _invalid(field, Message("value_empty"))
    if any(ord(character) < 32 or ord(character) == 127 for character in trimmed):
        raise _invalid(field, Message("control_characters"))
    return validate_text(trimmed, field, longest)


def sanitize_text(text: str) -> str:
    """Return the text with U+FFFD for what databases reject: NUL, and lone surrogates such as half an emoji."""
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def validate_text(text: str, field: str, longest: int = MAX_TEXT, *, required: bool = False) -> str:
    """Return a text of any number of lines, unchanged.

    Raises:
        InvalidError: It is too long, has NUL or half a character, or is blank although required.
    """
    if len(text) > longest:
        raise _invalid(field, Message("text_too_long", {"length": len(text), "max_length": longest}))
    if required and not text.strip():
        raise _invalid(field, Message("value_empty"))
    if "\x00" in text:
        raise _invalid(field, Message("nul_character"))
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise _invalid(field, Message("lone_surrogate"))
    return text


def validate_labels(labels: Sequence[str]) -> tuple[str, ...]:
    """Return the labels in their order without repetitions.

    Raises:
        InvalidError: There are too many, or one is not a valid name.
    """
    if len(labels) > MAX_LABELS:
        raise _invalid("labels", Message("too_many_labels", {"count": len(labels), "max_count": MAX_LABELS}))
    return tuple(dict.fromkeys(validate_name(label, "labels") for label in labels))


def _invalid(field: str, detail: Message) -> InvalidError:
    return InvalidError("field_invalid", field=field, problem=detail, problems=(Problem(field, detail),))
