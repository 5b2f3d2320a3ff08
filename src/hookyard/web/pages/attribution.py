"""Who began it, in a sentence: `Wang Wu set task-12 to blocked`. The first link of a chain of causes.

Used by the pages of a run and of an event, where no run of ours caused the event.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from hookyard.web.pages.page_context import PageContext

_WHO = ("updatedBy", "createdBy", "deletedBy", "commenterName", "userName")


def attribution(visit: PageContext, event: str, variables: Mapping[str, Any]) -> Markup | None:
    """Return the sentence that names who caused an event, None for events without an author and for unknown types."""
    words, key = visit.language, f"origin.{event.replace('.', '_')}"
    who = next((variables[name] for name in _WHO if variables.get(name)), None)
    if who is None or not words.has(key):
        return None
    number = str(variables.get("taskId", ""))
    task = Markup('<a href="{}">{}</a>').format(visit.path("tasks", number), number)
    status = words.word("task_status", str(variables.get("taskStatus", "")))
    return words.t(key, who=who, task=task, status=status, assignee=variables.get("assigneeName", ""))
