"""Faults that pydantic finds in what a client sent, in our words.

Read by every door whose form is a model: profiles, callbacks, the API. Nothing of pydantic is imported here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hookyard.core.errors import CodedValueError, Problem

# What pydantic calls a fault: how we say it. In braces stands what pydantic tells beside.
_FAULTS = {
    "missing": "is missing",
    "extra_forbidden": "there is no such field",
    "string_type": "must be a text",
    "string_unicode": "has half of a character (a lone surrogate); send whole characters",
    "string_too_long": "must have at most {max_length} characters",
    "tuple_type": "must be an array",
    "list_type": "must be an array",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number that is not so large",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "value_error": "{error}",
}
_BRANCH = re.compile(r".*\[.*|constrained-\w+|str|int|float|bool")  # pydantic's name of one branch of a union


def problem_of(fault: Mapping[str, Any], place: Sequence[str | int]) -> Problem:
    """Return a fault that pydantic found in a client's input as a problem in our words.

    Args:
        fault: One of `ValidationError.errors()`.
        place: Where it is, from `loc`.
    """
    kind = str(fault["type"])
    told = {n: int(v) if isinstance(v, float) and v.is_integer() else v for n, v in fault.get("ctx", {}).items()}
    parts = [str(part) for part in place]
    if kind != "extra_forbidden":  # then the last one is the client's own word
        parts = [*parts[:1], *(part for part in parts[1:] if not _BRANCH.fullmatch(part))]
    field = ".".join(parts)
    if kind in ("too_short", "string_too_short") and told["min_length"] == 1:
        return Problem(
            field, "is empty; write something" if kind == "string_too_short" else "is empty; give at least one"
        )
    if kind in ("too_short", "too_long"):
        bound = f"at least {told['min_length']}" if kind == "too_short" else f"at most {told['max_length']}"
        return Problem(field, f"must have {bound} items")
    error = fault.get("ctx", {}).get("error")
    if isinstance(error, CodedValueError):
        return Problem(field, error.detail)
    said = _FAULTS.get(kind)
    return Problem(field, str(fault["msg"]) if said is None else said.format_map(told))
