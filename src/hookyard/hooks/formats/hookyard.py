"""hookyard's own body, as the contract for lifecycle webhooks describes it: the default."""

from __future__ import annotations

from collections.abc import Mapping

from hookyard.hooks.formats.base import Body, Rate, ReplyJudgement, Request, Target, json_request, judge_status


class Hookyard:
    """Any receiver that reads hookyard's body."""

    name = "hookyard"
    chat = False
    rates: tuple[Rate, ...] = ()

    def matches(self, url: str) -> bool:
        """Return False: this format is used when no service matches."""
        return False

    def build(self, body: Body, target: Target) -> Request:
        """Return the body unchanged."""
        return json_request(target.url, body)

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ReplyJudgement:
        """Judge by status; `reply` reads the body of a 2xx."""
        return judge_status(status, headers, body, now)


FORMAT = Hookyard()
