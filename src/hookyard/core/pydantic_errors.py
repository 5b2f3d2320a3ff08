"""Translation of pydantic's validation errors into our own coded problems.

Used wherever a client's input is validated by a model: agent profiles, callbacks, the API. Nothing of pydantic is
imported here, since some callers start without it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hookyard.core.errors import CodedValueError, Problem
from hookyard.core.message_catalog import Message

# pydantic's error type -> our code. The codes' placeholders are the keys of pydantic's `ctx`.
_CODES = {
    "missing": "field_missing",
    "extra_forbidden": "field_unknown",
    "string_type": "string_required",
    "string_unicode": "lone_surrogate",
    "string_too_long": "string_too_long",
    "tuple_type": "array_required",
    "list_type": "array_required",
    "dict_type": "object_required",
    "model_type": "object_required",
    "model_attributes_type": "object_required",
    "bool_type": "boolean_required",
    "bool_parsing": "boolean_required",
    "int_type": "integer_required",
    "int_parsing": "integer_required",
    "int_parsing_size": "integer_too_large",
    "int_from_float": "integer_required",
    "float_type": "number_required",
    "float_parsing": "number_required",
    "finite_number": "number_not_finite",
    "greater_than": "number_not_greater",
    "greater_than_equal": "number_too_small",
    "less_than": "number_not_less",
    "less_than_equal": "number_too_large",
    "literal_error": "choice_invalid",
    "enum": "choice_invalid",
}
# Of lengths, pydantic's type alone does not say which text fits: "at least one" is worded as "not empty".
_LENGTH_CODES = {
    "string_too_short": ("value_empty", "string_too_short"),
    "too_short": ("list_empty", "list_too_short"),
    "too_long": ("list_too_long", "list_too_long"),
}
_BRANCH = re.compile(r".*\[.*|constrained-\w+|str|int|float|bool")  # pydantic's name of one branch of a union


def problem_of(fault: Mapping[str, Any], location: Sequence[str | int]) -> Problem:
    """Return the problem that describes one of pydantic's errors.

    Args:
        fault: One entry of `ValidationError.errors()`.
        location: Where the value is, from the entry's `loc`.
    """
    kind = str(fault["type"])
    return Problem(_field(kind, location), _message(kind, fault))


def _field(kind: str, location: Sequence[str | int]) -> str:
    parts = [str(part) for part in location]
    # The last part of an unknown field is the client's own word, which may look like a branch.
    if kind != "extra_forbidden":
        parts = [*parts[:1], *(part for part in parts[1:] if not _BRANCH.fullmatch(part))]
    return ".".join(parts)


def _message(kind: str, fault: Mapping[str, Any]) -> Message:
    context: Mapping[str, Any] = fault.get("ctx", {})
    error = context.get("error")
    if isinstance(error, CodedValueError):
        return error.detail
    if kind == "value_error":
        return Message.literal(str(error))
    # 1.0 as a bound is shown as 1.
    params = {n: int(v) if isinstance(v, float) and v.is_integer() else v for n, v in context.items()}
    if kind in _LENGTH_CODES:
        empty, other = _LENGTH_CODES[kind]
        return Message(empty) if params.get("min_length") == 1 else Message(other, _bounds(params))
    code = _CODES.get(kind)
    return Message.literal(str(fault["msg"])) if code is None else Message(code, _bounds(params))


def _bounds(params: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Return the parameters that can be stored and shown; pydantic adds whole objects to some."""
    return {name: value for name, value in params.items() if isinstance(value, str | int | float)}
