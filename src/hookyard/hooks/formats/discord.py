"""Discord webhooks: one embed, rate limits in the reply.

https://docs.discord.com/developers/resources/webhook#execute-webhook (message), …/resources/message#embed-limits
(256 title, 4,096 description, 25 fields of 256 and 1,024, 6,000 in all), …/topics/rate-limits (429 with `retry_after`;
five in two seconds for one webhook). `allowed_mentions` is empty, so no user is notified whatever a text says; the
agent's texts stand in code blocks and their Markdown is escaped elsewhere.
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
    header,
    host_of,
    json_object,
    json_request,
    judge_status,
    one_line,
)
from hookyard.hooks.formats.fitting import cut, utf16_units
from hookyard.hooks.formats.summary import Block, Summary, Tone, summarise

_TITLE = 256
_DESCRIPTION = 4096
_FIELDS = 25
_FIELD_NAME = 256
_FIELD_VALUE = 1024
_TOTAL = 6000
_COLOURS = {Tone.PLAIN: 0x3B82F6, Tone.GOOD: 0x22C55E, Tone.WARN: 0xF59E0B, Tone.BAD: 0xEF4444}
_HOSTS = frozenset({"discord.com", "discordapp.com", "ptb.discord.com", "canary.discord.com"})
_PATH = re.compile(r"/api(/v\d+)?/webhooks/\d+/[^/]+/?")
_MARKUP = re.compile(r"([\\*_~`|>#\[\]()<:@-])")


class Discord:
    """A webhook of a Discord channel."""

    name = "discord"
    chat = True
    rates = (Rate(5, 2.0),)

    def matches(self, url: str) -> bool:
        """Match a webhook's own address; the `/slack` and `/github` variants use other formats."""
        parts = address(url)
        return parts is not None and host_of(parts) in _HOSTS and _PATH.fullmatch(parts.path) is not None

    def build(self, body: Body, target: Target) -> Request:
        """Return one embed in the tone's colour."""
        summary = summarise(body, target.language)
        message = {"embeds": [_embed(summary)], "allowed_mentions": {"parse": []}}
        return json_request(target.url, message)

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ReplyJudgement:
        """Judge by status; a 429 carries `retry_after` with fractions of a second."""
        judged = judge_status(status, headers, body, now)
        if judged.outcome is DeliveryVerdict.OK:
            return judged
        reply = json_object(body) or {}
        reason = one_line(f"HTTP {status}: {reply.get('message') or judged.reason}")
        if judged.outcome is DeliveryVerdict.THROTTLED:
            return ReplyJudgement(DeliveryVerdict.THROTTLED, reason, _wait(reply, headers, judged.retry_after))
        return ReplyJudgement(judged.outcome, reason if reply else judged.reason, judged.retry_after)


def escape(text: str) -> str:
    """Return text in which Discord sees no Markdown, mention, link or emoji code."""
    return _MARKUP.sub(r"\\\1", text)


def _wait(reply: Mapping[str, object], headers: Mapping[str, str], stated: float | None) -> float | None:
    wait = reply.get("retry_after", header(headers, "X-RateLimit-Reset-After"))
    try:
        return max(0.0, float(wait)) if isinstance(wait, str | int | float) else stated
    except ValueError:
        return stated


def _embed(summary: Summary) -> dict[str, Any]:
    title = cut(summary.headline, _TITLE, measure=utf16_units, escape=escape)
    fields = [
        {
            "name": cut(fact.label, _FIELD_NAME, measure=utf16_units, escape=escape),
            "value": cut(fact.value, min(_FIELD_VALUE, 300), measure=utf16_units, escape=escape) or "-",
            "inline": len(fact.value) < 40,
        }
        for fact in summary.facts[:_FIELDS]
    ]
    used = utf16_units(title) + utf16_units(summary.footer)
    used += sum(utf16_units(str(field["name"])) + utf16_units(str(field["value"])) for field in fields)
    room = min(_DESCRIPTION, _TOTAL - used)
    share = room // max(1, len(summary.blocks))
    return {
        "title": title,
        "color": _COLOURS[summary.tone],
        "description": "\n".join(_block(block, share - 1) for block in summary.blocks),
        "fields": fields,
        "footer": {"text": summary.footer},
    }


def _block(block: Block, limit: int) -> str:
    def escape_block(text: str) -> str:
        return re.sub("`{3,}", lambda found: "ˋ" * len(found[0]), text)

    label = f"**{escape(block.label)}**\n"
    text = cut(block.text, limit - utf16_units(label) - 8, measure=utf16_units, escape=escape_block)
    # A text ending in an accent would run into the fence.
    return f"{label}```\n{text}\n```"


FORMAT = Discord()
