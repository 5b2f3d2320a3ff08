"""A callback that is being written, tried on a stored event: would it hold, and what would the prompt be?

Called by the API's `callbacks/check` and by the editor's live preview. Nothing is stored and nothing starts; what a
condition does here counts against no callback.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hookyard.callbacks.template import Fence, parse
from hookyard.conditions.condition_set import single_condition
from hookyard.conditions.conditions import Conditions
from hookyard.core.errors import InvalidError
from hookyard.events.catalog import Catalog
from hookyard.events.model import Event


@dataclass(frozen=True, slots=True)
class PromptPreview:
    """What came of it.

    Attributes:
        matched: The condition holds; one that throws or breaks its limits does not.
        error: What it threw, or which limit it broke.
        prompt: The rendered prompt; None when the template cannot be read.
    """

    matched: bool
    error: str | None
    prompt: str | None


class PreviewService:
    """Tries callbacks on events.

    Args:
        conditions: Judges.
        catalog: The event types known now.
    """

    def __init__(self, conditions: Conditions, catalog: Callable[[], Catalog]) -> None:
        self._conditions = conditions
        self._catalog = catalog

    async def __call__(self, event: Event, prompt: str, condition: str, fence: Fence = Fence.AUTO) -> PromptPreview:
        """Try one.

        Raises:
            TemporaryError: Conditions cannot be judged now.
        """
        matched, error = True, None
        if condition.strip():
            judged = await self._conditions.evaluate(event.workspace_id, event.ctx, single_condition(condition))
            error = judged.errors.get(0)
            matched = judged.matched
        event_type = self._catalog().get(event.name)
        by_people = frozenset(event.ctx) if event_type is None else event_type.by_people
        try:
            rendered = parse(prompt).render(
                event.ctx, fence=fence, author_trust=event.author_trust, by_people=by_people
            )
        except InvalidError:
            rendered = None
        return PromptPreview(matched, error, rendered)
