"""DingTalk custom robots: Markdown message, sign in the address, an error code in a 200 reply.

https://open.dingtalk.com/document/robots/custom-robot-access (message, 20 a minute, then silence for ten minutes),
https://open.dingtalk.com/document/robots/customize-robot-security-settings (sign),
https://open.dingtalk.com/document/orgapp/custom-robots-send-group-messages (codes, 20,000 bytes).
People are only called by the `at` part of a message, which stays empty.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

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
from hookyard.hooks.formats.fitting import cut
from hookyard.hooks.formats.markdown import escape, render
from hookyard.hooks.formats.summary import summarise

_TEXT_BYTES = 16_000  # of the 20,000 of a whole message, since JSON escapes some of it
_TITLE = 64
_SILENCE_SECONDS = 600.0
_TEMPORARY = frozenset({-1})
_THROTTLED = {130101: _SILENCE_SECONDS, 410100: _SILENCE_SECONDS, 660026: _SILENCE_SECONDS, 90018: 60.0, 90030: 60.0}


class DingTalk:
    """A robot of a DingTalk group."""

    name = "dingtalk"
    chat = True
    rates = (Rate(20, 60.0),)

    def matches(self, url: str) -> bool:
        """Match the robots' one address."""
        parts = address(url)
        return (
            parts is not None
            and host_of(parts) in ("oapi.dingtalk.com", "oapi.dingtalk.io")
            and parts.path.rstrip("/") == "/robot/send"
        )

    def build(self, body: Body, target: Target) -> Request:
        """Return a Markdown message; with a secret, the address is signed."""
        summary = summarise(body, target.language)
        text = render(summary, _TEXT_BYTES, f"### {escape(summary.headline)}")
        message = {
            "msgtype": "markdown",
            "markdown": {"title": cut(summary.headline, _TITLE), "text": text},
            "at": {"atMobiles": [], "atUserIds": [], "isAtAll": False},
        }
        url = signed(target.url, target.secrets[0], target.now) if target.secrets else target.url
        return json_request(url, message)

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ReplyJudgement:
        """Judge by `errcode`: 0 is success, -1 (busy) and the rate limits may pass, all others are final."""
        if not 200 <= status < 300:
            return judge_status(status, headers, body, now)
        return judge_code(body, "errcode", "errmsg", _TEMPORARY, _THROTTLED)


def signed(url: str, secret: str, now: float) -> str:
    """Return the address with `timestamp` (milliseconds) and `sign`, which DingTalk accepts for an hour."""
    timestamp = str(round(now * 1000))
    digest = hmac.new(secret.encode(), f"{timestamp}\n{secret}".encode(), hashlib.sha256).digest()
    parts = urlsplit(url)
    kept = [(k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k not in ("timestamp", "sign")]
    query = urlencode([*kept, ("timestamp", timestamp), ("sign", base64.b64encode(digest).decode())])
    return urlunsplit(parts._replace(query=query))


FORMAT = DingTalk()
