"""What every request body of the API has in common.

Base of the models in this package: camelCase on the wire, nothing unknown, nothing converted. And the one body that is
no model, because its fields are named elsewhere.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from hookyard.events.envelope import MAX_BODY_BYTES
from hookyard.store.json_validation import ensure_json

JsonObject = Annotated[dict[str, Any], AfterValidator(ensure_json)]
"""A whole body whose fields others check: settings, a profile, a webhook."""


class Body(BaseModel):
    """A JSON object in a request: an unknown field or a wrong type is refused, never guessed at."""

    # The bound is the body's own; that there is one makes pydantic look whether a text is whole (no lone surrogate).
    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        str_max_length=MAX_BODY_BYTES,
    )
