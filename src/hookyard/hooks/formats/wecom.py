"""WeCom (企业微信) group robots: Markdown message, an error code in a 200 reply.

https://developer.work.weixin.qq.com/document/path/91770 (message: Markdown of at most 4,096 bytes; 20 a minute),
https://developer.work.weixin.qq.com/document/path/90313 (codes). The older `markdown` kind is used since clients before
4.1.36 show `markdown_v2` as source text.
"""

from __future__ import annotations

from collections.abc import Mapping

from hookyard.hooks.formats.base import (
    Body,
    Rate,
    ReplyJudgement,
    Request,
    Target,
    address,
    host_of,
    json_request,
    judge_code,
    judge_status,
)
from hookyard.hooks.formats.markdown import escape, render
from hookyard.hooks.formats.summary import Tone, summarise

_TEXT_BYTES = 4096
_COLOURS = {Tone.PLAIN: "info", Tone.GOOD: "info", Tone.WARN: "comment", Tone.BAD: "warning"}
_TEMPORARY = frozenset({-1})
_THROTTLED = {45009: 60.0, 45033: None}


class WeCom:
    """A robot of a WeCom group."""

    name = "wecom"
    chat = True
    rates = (Rate(20, 60.0),)

    def matches(self, url: str) -> bool:
        """Match the robots' one address."""
        parts = address(url)
        return (
            parts is not None
            and host_of(parts) == "qyapi.weixin.qq.com"
            and parts.path.rstrip("/") == "/cgi-bin/webhook/send"
        )

    def build(self, body: Body, target: Target) -> Request:
        """Return a Markdown message with the title in the tone's colour."""
        summary = summarise(body, target.language)
        heading = f'### {summary.icon} <font color="{_COLOURS[summary.tone]}">{escape(summary.title)}</font>'
        content = render(summary, _TEXT_BYTES, heading)
        return json_request(target.url, {"msgtype": "markdown", "markdown": {"content": content}})

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ReplyJudgement:
        """Judge by `errcode`: 0 is success, -1 (busy) and the rate limits may pass, all others are final."""
        if not 200 <= status < 300:
            return judge_status(status, headers, body, now)
        return judge_code(body, "errcode", "errmsg", _TEMPORARY, _THROTTLED)


FORMAT = WeCom()
