"""An HTTP endpoint as an agent: it is sent the prompt, and the body it answers is the result.

The request is `POST {prompt, run, event}` with the run's id as `Idempotency-Key`, so that a run started again after a
crash is not done twice by an endpoint that looks at it. It goes through the address guard of the webhooks.
"""

from __future__ import annotations

import json

from hookyard.agents.base import (
    AgentError,
    AgentResult,
    Assignment,
    HookFirer,
    Parts,
    Recorder,
    WorkspaceTools,
)
from hookyard.agents.profiles import Profile
from hookyard.agents.session import AgentSession
from hookyard.hooks.delivery.delivery import USER_AGENT
from hookyard.hooks.delivery.egress import Egress, SendError

TRIES = 3
"""Requests at most; all bear the same key."""

WAIT_SECONDS = 0.5
"""Before the second try; twice that before the third."""

_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})
_SHOWN_CHARS = 200


class Http:
    """Asks an endpoint once for each assignment.

    Args:
        url: Where.
        egress: Sends the requests.
        parts: What agents are made with.
    """

    kind = "http"
    can_be_gated = True

    def __init__(self, url: str, egress: Egress, parts: Parts) -> None:
        self._url = url
        self._egress = egress
        self._parts = parts

    async def run(
        self, assignment: Assignment, hooks: HookFirer, recorder: Recorder, tools: WorkspaceTools | None
    ) -> AgentResult:
        """Send the prompt and wait for the answer.

        Raises:
            AgentError: No good answer came.
        """

        async def work(prompt: str) -> str:
            answer = (await self._ask(assignment, prompt)).strip()
            recorder.message("assistant", answer)
            return answer

        return await AgentSession(assignment, hooks, recorder, agent="http", clock=self._parts.clock).run(work)

    async def _ask(self, assignment: Assignment, prompt: str) -> str:
        key = assignment.run_id or assignment.session_id
        body = json.dumps(
            {"prompt": prompt, "run": key, "event": dict(assignment.event)}, ensure_ascii=False, default=str
        ).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": key,
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "identity",  # nothing that has to be unpacked
        }
        for tried in range(1, TRIES + 1):
            try:
                reply = await self._egress.send("POST", self._url, headers, body, assignment.timeout_seconds)
            except SendError as error:
                failure, temporary = str(error), error.retryable
            else:
                if 200 <= reply.status < 300:
                    return reply.text()
                temporary = reply.status in _MAY_PASS
                words = reply.text().strip()[:_SHOWN_CHARS]
                failure = f"HTTP {reply.status}: {words or reply.reason}"
            if not temporary or tried == TRIES:
                raise AgentError(
                    f"the agent's endpoint gave no answer: {failure}",
                    retry_count=tried - 1,
                    hint="see that the URL of the agent profile is right and its service runs",
                )
            await self._parts.sleep(WAIT_SECONDS * 2 ** (tried - 1))
        raise AssertionError("the last try returns or raises")


def unavailable() -> str | None:
    """Return None: the kind is always available."""
    return None


def make(profile: Profile, parts: Parts) -> Http:
    """Return the agent of a profile.

    Raises:
        AgentError: This process sends no requests for agents.
    """
    assert profile.url is not None  # the profile's own check
    if parts.egress is None:
        raise AgentError("agents of kind http run on a server", hint="start one with `hookyard serve`")
    return Http(profile.url, parts.egress, parts)
