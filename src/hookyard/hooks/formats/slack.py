"""Slack incoming webhooks: Block Kit message, plain-text or JSON reply.

https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks (message, errors),
https://docs.slack.dev/reference/block-kit/blocks (limits), https://docs.slack.dev/apis/web-api/rate-limits (one a
second), https://docs.slack.dev/messaging/formatting-message-text (escaping: `&`, `<` and `>` are all of Slack's markup
for mentions and links; `verbatim` switches off what Slack would recognise by itself).
"""

from __future__ import annotations

import re
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
    json_object,
    json_request,
    judge_status,
    one_line,
    refuse_page,
)
from hookyard.hooks.formats.fitting import cut
from hookyard.hooks.formats.summary import Block, Summary, summarise

_HEADER = 150
_SECTION = 3000
_FIELD = 2000
_FIELDS = 10


class Slack:
    """Slack, and what takes Slack's messages (Mattermost, Rocket.Chat) when `format = "slack"` says so."""

    name = "slack"
    chat = True
    rates = (Rate(1, 1.0),)

    def matches(self, url: str) -> bool:
        """Match incoming webhooks of Slack and GovSlack."""
        parts = address(url)
        return (
            parts is not None
            and host_of(parts) in ("hooks.slack.com", "hooks.slack-gov.com")
            and parts.path.startswith("/services/")
        )

    def build(self, body: Body, target: Target) -> Request:
        """Return a header, a code block for each text of the agent, and fields."""
        summary = summarise(body, target.language)
        blocks: list[dict[str, Any]] = [
            {"type": "header", "text": {"type": "plain_text", "text": cut(summary.headline, _HEADER), "emoji": False}}
        ]
        blocks += [{"type": "section", "text": _mrkdwn(_block(block))} for block in summary.blocks]
        if summary.facts:
            fields = [_mrkdwn(f"*{escape(fact.label)}*\n{_code(fact.value, _FIELD - 100)}") for fact in summary.facts]
            blocks.append({"type": "section", "fields": fields[:_FIELDS]})
        blocks.append({"type": "context", "elements": [{"type": "plain_text", "text": summary.footer, "emoji": False}]})
        message = {"text": _fallback(summary), "blocks": blocks, "unfurl_links": False, "unfurl_media": False}
        return json_request(target.url, message)

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ReplyJudgement:
        """Judge the reply: `ok` is success; 404 no_service, 410 channel_is_archived and the like are final; 429 says
        when to retry."""
        if not 200 <= status < 300:
            return judge_status(status, headers, body, now)
        reply = json_object(body)
        if reply is None:
            return refuse_page(body)
        if reply.get("ok") is False or reply.get("success") is False:
            return ReplyJudgement(
                DeliveryVerdict.REFUSED, one_line(f"refused: {reply.get('error') or 'no reason given'}")
            )
        return ReplyJudgement(DeliveryVerdict.OK)


def escape(text: str) -> str:
    """Return text in which Slack sees no mention, link or channel."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escape_code(text: str) -> str:
    # A grave accent inside code would end it; the look-alike does not.
    return escape(text).replace("`", "ˋ")


def _code(text: str, limit: int) -> str:
    return f"`{cut(text, limit, escape=_escape_code)}`"


def _block(block: Block) -> str:
    # Three accents end a block; one or two inside it are shown as they are.
    def escape_block(text: str) -> str:
        return re.sub("`{3,}", lambda found: "ˋ" * len(found[0]), escape(text))

    label = f"*{escape(block.label)}*\n"
    return f"{label}```\n{cut(block.text, _SECTION - len(label) - 8, escape=escape_block)}\n```"


def _fallback(summary: Summary) -> str:
    """Return the text of notifications and of clients without blocks."""
    first = summary.blocks[0].text.partition("\n")[0] if summary.blocks else ""
    return cut(f"{summary.headline}{summary.colon}{first}" if first else summary.headline, 300, escape=escape)


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text, "verbatim": True}


FORMAT = Slack()
