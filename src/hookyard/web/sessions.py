"""Page sessions: the cookie, whose it is, and the token that forms carry.

Called by the pages on every request. The cookie is unreadable for scripts and stays with this site; the token is
derived from it, so that nothing has to be stored, and proves that a form was ours.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from hookyard.core.errors import NotAllowedError
from hookyard.identity.accounts import SESSION_SECONDS, User
from hookyard.web.auth import Principal, of_session
from hookyard.web.services import Services

COOKIE = "hookyard_session"


@dataclass(frozen=True, slots=True)
class PageSession:
    """A signed-in browser.

    Attributes:
        user: Whose.
        principal: What they may do.
        csrf: What their forms must carry.
    """

    user: User
    principal: Principal
    csrf: str

    def check_csrf(self, given: str | None) -> None:
        """Go on only with a form of ours.

        Raises:
            NotAllowedError: The token is missing or another's.
        """
        if not hmac.compare_digest(self.csrf.encode(), (given or "").encode()):
            raise NotAllowedError("this form is too old or not ours", hint="reload the page and send it again")


async def find(request: Request) -> PageSession | None:
    """Return the session of a request, None when no user is signed in."""
    secret = request.cookies.get(COOKIE)
    services: Services = request.app.state.services
    signed_in = await services.accounts.signed_in(secret) if secret else None
    if signed_in is None or secret is None:
        return None
    return PageSession(signed_in.user, of_session(signed_in), csrf_token(secret))


def csrf_token(secret: str) -> str:
    """Return the token of a session's forms."""
    return hmac.new(secret.encode(), b"hookyard forms", hashlib.sha256).hexdigest()


def keep(request: Request, response: Response, secret: str) -> None:
    """Give the browser its session."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(SESSION_SECONDS),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
        path="/",
    )


async def end(request: Request, response: Response) -> None:
    """Sign out: the session is no longer good, and the browser forgets it."""
    services: Services = request.app.state.services
    if secret := request.cookies.get(COOKIE):
        await services.accounts.close_session(secret)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
