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
        """Never: it is what is left when no service matches."""
        return False

    def build(self, body: Body, target: Target) -> Request:
        """The body as it is."""
        return json_request(target.url, body)

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ReplyJudgement:
        """By status; what a 2xx answer says is read by `answer`."""
        return judge_status(status, headers, body, now)


FORMAT = Hookyard()
