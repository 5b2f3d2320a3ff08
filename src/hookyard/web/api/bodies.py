"""What every request body of the API has in common.

Base of the models in this package: camelCase on the wire, nothing unknown, nothing converted.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Body(BaseModel):
    """A JSON object in a request: an unknown field or a wrong type is refused, never guessed at."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, frozen=True)
