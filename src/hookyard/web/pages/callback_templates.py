"""Callbacks to start from: ready but for the agent. Their words stand in the texts, under `starter`."""

from __future__ import annotations

from dataclasses import dataclass

from hookyard.web.pages.language import Language


@dataclass(frozen=True, slots=True)
class CallbackTemplate:
    """One of them.

    Attributes:
        key: Its name in addresses and texts.
        events: What it listens to.
        condition: When it runs.
    """

    key: str
    events: tuple[str, ...]
    condition: str = ""

    def given(self, words: Language) -> dict[str, object]:
        """Return the fields of the callback in the reader's language."""
        return {
            "name": str(words.t(f"starter.{self.key}_name")),
            "events": list(self.events),
            "condition": self.condition,
            "prompt": words.texts[f"starter.{self.key}_prompt"],
        }


STARTERS = (
    CallbackTemplate("blocked", ("task.status_changed",), "ctx.taskStatus === 'blocked'"),
    CallbackTemplate("triage", ("task.created",)),
    CallbackTemplate("urgent", ("task.created", "task.updated"), "/urgent|紧急/i.test(ctx.taskTitle)"),
    CallbackTemplate("answer", ("task.commented",), "ctx.commentContent.includes('@agent')"),
    CallbackTemplate("handover", ("task.reassigned",)),
    CallbackTemplate("review", ("task.updated",), "JSON.parse(ctx.changes).status === 'review'"),
    CallbackTemplate("failure", ("conversation.error",), "ctx.retryCount >= 2"),
    CallbackTemplate("welcome", ("workspace.member_joined",)),
)
