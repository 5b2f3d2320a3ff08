"""What a callback is, as people write it: the form in the API, in YAML and in the database.

Pydantic is used at that boundary only; `intake.match` builds what matching works with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from hookyard.callbacks.template import MAX_TEMPLATE, Fence
from hookyard.core.errors import InvalidError
from hookyard.core.pydantic_errors import problem_of
from hookyard.core.validation import MAX_NAME, validate_name
from hookyard.store.json_validation import ensure_json

MAX_CONDITION = 16 * 1024
"""Characters of a condition."""

_DAY_MS = 86_400_000


def _one_answer(given: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Say in one sentence what is wrong with an agent; the library says it for each form that one can have."""
    try:
        return read(given)
    except ValidationError as error:
        said = "is the name of an agent profile, or an object that describes an agent"
        if isinstance(given, dict):
            said = error.errors()[-1]["msg"].removeprefix("Value error, ")
        raise PydanticCustomError("agent", "{said}", {"said": said}) from None


AgentChoice = Annotated[str | Annotated[dict[str, Any], AfterValidator(ensure_json)], WrapValidator(_one_answer)]
"""An agent profile's name, or an agent described inline."""


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, str_max_length=MAX_TEMPLATE
    )


class WindowOverride(_Part):
    """A callback's own dedupe or merge window; None = the setting's value.

    Attributes:
        enabled: On or off for this callback.
        window_ms: Its length in milliseconds.
    """

    enabled: bool | None = None
    window_ms: Annotated[int | None, Field(ge=1, le=_DAY_MS)] = None


class LoopOverride(_Part):
    """What the loop guard allows this callback; None = the setting's value.

    Attributes:
        allow_self: It may be started by events that its own runs caused.
        max_chain: Longest chain of runs that may start it.
        runs_per_hour: Runs an hour for one subject.
    """

    allow_self: bool = False
    max_chain: Annotated[int | None, Field(ge=0, le=100)] = None
    runs_per_hour: Annotated[int | None, Field(ge=1, le=100_000)] = None


class CallbackSpec(_Part):
    """A callback.

    Attributes:
        name: Shown to people.
        enabled: Whether it listens.
        events: The event types that it listens to.
        prompt: Template of the prompt.
        condition: JavaScript over `ctx`; empty = always.
        agent: A profile's name, or an agent described inline; empty = the installation's default.
        timeout_seconds: Limit of a run; None = the setting `runs.timeoutSeconds`.
        dedupe: Its own event dedupe.
        merge: Its own merging.
        concurrency_key: A variable; runs with the same value wait for each other (`workspaceId`: all runs of it).
        loop: What the loop guard allows.
        fence: When values written by people are marked as data in the prompt.
        after_crash: What happens to a run that its worker's end interrupted.
        authors: Whose events it takes; only ever narrower than its agent profile.
    """

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    enabled: bool = True
    events: Annotated[tuple[str, ...], Field(min_length=1, max_length=100)]
    prompt: str
    condition: Annotated[str, Field(max_length=MAX_CONDITION)] = ""
    agent: AgentChoice = ""
    timeout_seconds: Annotated[float | None, Field(gt=0, le=86_400, allow_inf_nan=False)] = None
    dedupe: WindowOverride = WindowOverride()
    merge: WindowOverride = WindowOverride()
    concurrency_key: Annotated[str | None, Field(max_length=100)] = None
    loop: LoopOverride = LoopOverride()
    fence: Fence = Fence.AUTO
    after_crash: Literal["restart", "fail"] = "restart"
    authors: Literal["members", "anyone"] | None = None

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> CallbackSpec:
        """Validate what a client sent.

        Raises:
            InvalidError: Unknown, missing or wrong fields, each named.
        """
        try:
            spec = cls.model_validate(given)
        except ValidationError as error:
            found = error.errors(include_url=False, include_input=False)
            raise InvalidError("this is no callback", problems=tuple(problem_of(f, f["loc"]) for f in found)) from None
        try:
            name = validate_name(spec.name, "name")
        except InvalidError as error:
            raise InvalidError("this is no callback", problems=error.problems) from None
        return spec.model_copy(
            update={"name": name, "events": tuple(dict.fromkeys(spec.events)), "condition": spec.condition.strip()}
        )

    @classmethod
    def load(cls, text: str) -> CallbackSpec:
        """Read a stored callback."""
        return cls.model_validate_json(text)

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the API and YAML: every field, camelCase, overrides without their empty fields."""
        shown = self.model_dump(mode="json", by_alias=True)
        for part in ("dedupe", "merge", "loop"):
            shown[part] = {key: value for key, value in shown[part].items() if value is not None}
        return shown

    def dump(self) -> str:
        """Return the stored form: equal callbacks give equal texts."""
        return json.dumps(self.as_dict(), sort_keys=True)
