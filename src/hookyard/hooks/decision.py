"""What firing a point gives back: the decision, and what each webhook had to do with it.

Made by `dispatch`, read by agents, adapters, the bridge, and stored with the run that it belongs to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hookyard.hooks.values import value


class Result(StrEnum):
    """What one webhook, or all of them together, said."""

    OK = "ok"
    WARNING = "warning"
    DENY = "deny"
    MODIFY = "modify"


@value
class Verdict:
    """What one webhook did at one point.

    Attributes:
        webhook: The webhook's name.
        result: What counts, after the rules of the point (a deny where none is possible is a warning).
        message: Its message or the reason of its failure, `""` when it gave none.
        delivery_id: The delivery, for the record and for replay.
        attempts: Requests made, 0 when it was not waited for.
        duration_ms: From the first request to the verdict, milliseconds.
        failed: No valid answer came; with a fail-closed gate the result is then `deny`.
        before: What the webhook saw of the thing that it modified, as text; None when it modified nothing.
        after: The same thing as it left it; None when it modified nothing.
    """

    webhook: str
    result: Result
    message: str = ""
    delivery_id: str = ""
    attempts: int = 0
    duration_ms: float = 0.0
    failed: bool = False
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What all webhooks of a point together decided.

    Attributes:
        result: `ok`, `warning`, `deny` or `modify`.
        message: The reason of a deny for the model to read; otherwise the warnings joined, or `""`.
        content: The thing that the point is about, as the last webhook left it: at the tool points the arguments as a
            JSON text, elsewhere plain text (at `system_prompt` what is to be appended). None when nothing was modified.
        verdicts: One for each webhook that was called and waited for, in order.
    """

    result: Result
    message: str = ""
    content: str | None = None
    verdicts: tuple[Verdict, ...] = ()

    @property
    def denied(self) -> bool:
        """The step must not happen."""
        return self.result is Result.DENY

    @property
    def warnings(self) -> tuple[str, ...]:
        """Messages of the webhooks that warned, in order."""
        return tuple(v.message for v in self.verdicts if v.result is Result.WARNING and v.message)


GO_ON = Decision(Result.OK)
"""Nothing listens, or no webhook objects."""
