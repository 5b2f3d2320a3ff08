"""Microsoft Teams: an Adaptive Card to a Workflows webhook.

https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook (28 KB, four a
second), https://learn.microsoft.com/connectors/teams/ (the workflow's trigger),
https://adaptivecards.io/explorer/RichTextBlock.html (a `TextRun` reads no Markdown, and mentions need entities that
this card has not, so the agent's text is only text).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hookyard.hooks.formats.base import (
    Body,
    DeliveryVerdict,
    Rate,
    ReplyJudgement,
    Request,
    Target,
    address,
    host_of,
    json_request,
    judge_status,
    one_line,
    refuse_page,
    text_of,
)
from hookyard.hooks.formats.fitting import cut, utf8_bytes
from hookyard.hooks.formats.summary import Summary, Tone, summarise

_TEXT_BYTES = 6000  # of the 28 KB of a whole message, since there are several texts
_STYLES = {Tone.PLAIN: "accent", Tone.GOOD: "good", Tone.WARN: "warning", Tone.BAD: "attention"}
_FAILED = b"Microsoft Teams endpoint returned HTTP error "


class Teams:
    """A workflow that posts to a Teams channel or chat, or one of the older Office 365 connectors."""

    name = "teams"
    chat = True
    rates = (Rate(4, 1.0),)

    def matches(self, url: str) -> bool:
        """Match workflows by their two kinds of host, and connectors."""
        parts = address(url)
        if parts is None:
            return False
        host = host_of(parts)
        if host.endswith((".logic.azure.com", ".environment.api.powerplatform.com")):
            return "/workflows/" in parts.path and "/triggers/" in parts.path
        return host.endswith(".webhook.office.com") and parts.path.startswith("/webhookb2/")

    def build(self, body: Body, target: Target) -> Request:
        """Return a message with one Adaptive Card."""
        card = _card(summarise(body, target.language))
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        return json_request(target.url, {"type": "message", "attachments": [attachment]})

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ReplyJudgement:
        """Judge by status; a connector hides Teams' own status in the text of a 200."""
        judged = judge_status(status, headers, body, now)
        if judged.outcome is not DeliveryVerdict.OK:
            return judged
        before, found, after = body.partition(_FAILED)
        if not found:
            return refuse_page(before)
        inner = after[:3].decode("ascii", "replace")
        hidden = judge_status(int(inner) if inner.isdecimal() else 500, headers, b"", now)
        return ReplyJudgement(hidden.outcome, one_line(text_of(body)), hidden.retry_after)


def _card(summary: Summary) -> dict[str, Any]:
    header = {
        "type": "Container",
        "style": _STYLES[summary.tone],
        "bleed": True,
        "items": [_text([_run(summary.headline, 500, weight="Bolder", size="Medium")])],
    }
    items: list[dict[str, Any]] = [header]
    for block in summary.blocks:
        items.append(_text([_run(block.label, 200, weight="Bolder")]))
        items.append(_text([_run(block.text, _TEXT_BYTES, fontType="Monospace")], spacing="Small"))
    for fact in summary.facts:
        label = _run(f"{fact.label}{summary.colon}", 200, isSubtle=True)
        items.append(_text([label, _run(fact.value, 1000)], spacing="Small"))
    items.append(_text([_run(summary.footer, 300, size="Small", isSubtle=True)], separator=True))
    return {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": items,
    }


def _text(runs: list[dict[str, Any]], **look: object) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": runs, **look}


def _run(text: str, limit: int, **look: object) -> dict[str, Any]:
    return {"type": "TextRun", "text": cut(text, limit, measure=utf8_bytes), **look}


FORMAT = Teams()
