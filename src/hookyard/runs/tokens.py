"""The token of a run: issued in the transaction that admits it, useless from the one that ends it.

Made by `wiring`, used by admission, execution and recovery. With it an agent that is a process reaches the task tools
of its own workspace, and nothing else; an agent of another kind gets none.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete

from hookyard.core.errors import InvalidError
from hookyard.core.ids import RunId
from hookyard.identity.tokens import Scope, Tokens
from hookyard.runs.claim import AdmittedRun
from hookyard.runs.profiles import stored_profile
from hookyard.store import schema

LIFETIME_SECONDS = 86_400.0
"""Of a token that is not revoked: the longest time that a run may have."""


class RunTokenIssuer:
    """Implements `admission.RunTokens`.

    Args:
        tokens: Draws and stores them.
    """

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    def issue(self, conn: Connection, claim: AdmittedRun) -> str:
        """Return a new token for this attempt; an earlier attempt's token becomes invalid."""
        if claim.attempt > 1:
            self.revoke(conn, [claim.run_id])
        if not _needs_token(conn, claim.agent):
            return ""
        expires_at = claim.started_at + LIFETIME_SECONDS
        token, secret = self._tokens.issue(
            "run", Scope.RUN, claim.workspace_id, None, run_id=claim.run_id, expires_at=expires_at
        )
        self._tokens.store(conn, token, secret)
        return secret

    def revoke(self, conn: Connection, run_ids: Sequence[RunId]) -> None:
        """Delete every token of the runs; the tokens of runs are not listed."""
        conn.execute(delete(schema.tokens).where(schema.tokens.c.run_id.in_(run_ids)))


def _needs_token(conn: Connection, agent: str) -> bool:
    """Return whether the agent that a run names uses a token; False when the agent does not exist."""
    try:
        profile = stored_profile(conn, agent)
    except InvalidError:
        return False
    return profile is not None and profile.needs_token
