"""Feishu and Lark custom bots: card message, sign in the body, an error code in a 200 reply.

https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot (message of at most 20 KB, sign, 100 a minute and 5 a
second, codes), https://open.feishu.cn/document/server-docs/api-call-guide/frequency-control (headers of rate limits).
The agent's text stands in `plain_text` elements only: Feishu reads no markup there, so `<at id=all>` is just text.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
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
    json_request,
    judge_code,
    judge_status,
)
from hookyard.hooks.formats.fitting import cut, utf8_bytes
from hookyard.hooks.formats.summary import Summary, Tone, summarise

_TEXT_BYTES = 5000  # of the 20 KB of a whole message, since there are several texts
_COLOURS = {Tone.PLAIN: "blue", Tone.GOOD: "green", Tone.WARN: "orange", Tone.BAD: "red"}
_TEMPORARY = frozenset({-1, 1500, 1663})
_THROTTLED = {11232: None, 99991400: None}
_RESET = "x-ogw-ratelimit-reset"


class Feishu:
    """A custom bot of a Feishu or Lark group."""

    name = "feishu"
    chat = True
    rates = (Rate(100, 60.0), Rate(5, 1.0))

    def matches(self, url: str) -> bool:
        """Match the second version of the bots' address, of Feishu and of Lark."""
        parts = address(url)
        return (
            parts is not None
            and host_of(parts) in ("open.feishu.cn", "open.larksuite.com", "open.larkoffice.com")
            and parts.path.startswith("/open-apis/bot/v2/hook/")
        )

    def build(self, body: Body, target: Target) -> Request:
        """Return a card with the title in the tone's colour; with a secret, the message carries its signature."""
        message: dict[str, Any] = {"msg_type": "interactive", "card": _card(summarise(body, target.language))}
        if target.secrets:
            timestamp = str(int(target.now))
            message = {"timestamp": timestamp, "sign": sign(target.secrets[0], timestamp), **message}
        return json_request(target.url, message)

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ReplyJudgement:
        """Judge by `code`, which older parts of Feishu send with a status of 400 too."""
        judged = judge_code(body, "code", "msg", _TEMPORARY, _THROTTLED)
        if judged.outcome is DeliveryVerdict.OK or (
            judged.outcome is DeliveryVerdict.REFUSED and not 200 <= status < 300
        ):
            return judged if 200 <= status < 300 else judge_status(status, headers, body, now)
        if judged.outcome is DeliveryVerdict.THROTTLED:
            reset = header(headers, _RESET) or ""
            return replace(judged, retry_after=float(reset) if reset.isdecimal() else 60.0)
        return judged


def sign(secret: str, timestamp: str) -> str:
    """Return Feishu's signature: the key is timestamp (seconds) and secret, the message is empty."""
    return base64.b64encode(hmac.new(f"{timestamp}\n{secret}".encode(), b"", hashlib.sha256).digest()).decode()


def _card(summary: Summary) -> dict[str, Any]:
    elements: list[dict[str, Any]] = []
    for block in summary.blocks:
        elements.append({"tag": "div", "text": {"tag": "lark_md", "content": f"**{block.label}**"}})
        elements.append({"tag": "div", "text": _plain(block.text, _TEXT_BYTES)})
    if summary.facts:
        fields = [
            {"is_short": len(fact.value) < 40, "text": _plain(f"{fact.label}{summary.colon}{fact.value}", 1000)}
            for fact in summary.facts
        ]
        elements.append({"tag": "div", "fields": fields})
    elements.append({"tag": "note", "elements": [_plain(summary.footer, 300)]})
    return {
        "config": {"wide_screen_mode": True},
        "header": {"template": _COLOURS[summary.tone], "title": _plain(summary.headline, 500)},
        "elements": elements,
    }


def _plain(text: str, limit: int) -> dict[str, str]:
    return {"tag": "plain_text", "content": cut(text, limit, measure=utf8_bytes)}


FORMAT = Feishu()
