"""One visit of a page: who asks, in which workspace, in which language; and the way back to them.

Every page is a function `async def page(visit: Visit) -> Response`, wrapped by `member_page` for the route table. The
wrapper is where strangers are turned away: nothing of a workspace is looked at before its membership is known.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from hookyard.core.errors import HookyardError, NotAllowedError, UnauthenticatedError
from hookyard.core.ids import WorkspaceId
from hookyard.identity.accounts import User
from hookyard.web import sessions
from hookyard.web.pages import render
from hookyard.web.pages.form import TOKEN_FIELD, Form, read_form
from hookyard.web.pages.language import CODES, Language, language, preferred
from hookyard.web.pages.queries.layout import PageLayout, layout_of
from hookyard.web.services import Services
from hookyard.web.sessions import PageSession
from hookyard.workspace.actor import Actor

LANGUAGE_COOKIE = "hookyard_language"
THEME_COOKIE = "hookyard_theme"
ZONE_COOKIE = "hookyard_zone"

Page = Callable[["PageContext"], Awaitable[Response]]


@lru_cache(maxsize=4096)  # a list names the same few hundred things again and again
def _quoted(part: str) -> str:
    return quote(part, safe="")


@dataclass
class PageContext:
    """What a page is given.

    Attributes:
        request: The request.
        session: Who is signed in; None on the few pages for everybody.
        workspace_id: The workspace of the address, `""` outside one.
        home: A workspace to lead back to when the address names none, `""` when there is none.
    """

    request: Request
    session: PageSession | None = None
    workspace_id: str = ""
    home: str = ""

    @property
    def services(self) -> Services:
        """The parts of the server."""
        services: Services = self.request.app.state.services
        return services

    @property
    def user(self) -> User | None:
        """The account of who is signed in."""
        return self.session.user if self.session else None

    @cached_property
    def now(self) -> float:
        """The time of the visit, seconds since the epoch."""
        return self.services.clock.now()

    @cached_property
    def language(self) -> Language:
        """The reader's language: their choice, else the browser's."""
        chosen = (self.user and self.user.language) or self.request.cookies.get(LANGUAGE_COOKIE, "")
        code = chosen if chosen in CODES else preferred(self.request.headers.get("accept-language", ""))
        return language(code, self.request.cookies.get(ZONE_COOKIE, "UTC")[:60], self.now)

    @property
    def theme(self) -> str:
        """`light`, `dark`, or `""` for the system's."""
        chosen = (self.user and self.user.theme) or self.request.cookies.get(THEME_COOKIE, "")
        return chosen if chosen in ("light", "dark") else ""

    @property
    def member(self) -> User:
        """Who is signed in, on a page that only they can see."""
        assert self.user is not None
        return self.user

    @property
    def workspace(self) -> WorkspaceId:
        """The workspace's id, checked by `member_page`."""
        return WorkspaceId(self.workspace_id)

    @property
    def token(self) -> str:
        """What every form of this session carries, `""` without a session."""
        return self.session.csrf if self.session else ""

    @property
    def actor(self) -> Actor:
        """The person as the author of an operation."""
        assert self.session is not None
        return self.session.principal.actor()

    # -- reading what was asked ----------------------------------------------------------------------------------------

    def path_param(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str, *allowed: str) -> str:
        """Return a parameter of the address, `""` when it is absent, too long, has a NUL or is not one of those
        allowed."""
        value = self.request.query_params.get(name, "")
        return "" if len(value) > 200 or "\x00" in value or (allowed and value not in allowed) else value.strip()

    async def form(self) -> Form:
        """Return the form that was sent.

        Raises:
            NotAllowedError: It is none of ours.
            TooLargeError: It is too long.
            InvalidError: It cannot be read.
        """
        form = await read_form(self.request)
        if self.session:
            self.session.check_csrf(form.raw(TOKEN_FIELD))
        return form

    @property
    def wants_part(self) -> str:
        """The part of the page that one of our modules asks for, `""` for the whole."""
        return self.request.headers.get("x-part", "")

    # -- answering -----------------------------------------------------------------------------------------------------

    def path(self, *parts: str, **query: str | int | None) -> str:
        """Return an address inside the workspace, without empty parameters."""
        whole = "/w/" + "/".join(map(_quoted, (self.workspace_id or self.home, *parts)))
        if not query:
            return whole
        given = {name.rstrip("_"): value for name, value in query.items() if value not in (None, "")}
        return f"{whole}?{urlencode(given)}" if given else whole

    def current_url(self, **query: str | int | None) -> str:
        """Return this address with some parameters changed; None or `""` removes one."""
        given: dict[str, Any] = dict(self.request.query_params)
        given.pop("done", None)
        given.update({name.rstrip("_"): value for name, value in query.items()})
        kept = {name: value for name, value in given.items() if value not in (None, "")}
        path = quote(self.request.url.path)
        return f"{path}?{urlencode(kept)}" if kept else path

    async def page(self, template: str, status: int = 200, **data: Any) -> HTMLResponse:
        """Return a whole page, or the requested part of it."""
        frame = PageLayout()
        if self.user and (self.workspace_id or self.home) and not self.wants_part:
            frame = await layout_of(self.services, self.user, self.workspace_id or self.home, self.now)
        done = self.query("done")
        context = {
            "visit": self,
            "l": self.language,
            "t": self.language.t,
            "frame": frame,
            "csrf": self.token,
            "notice": self.language.t(f"done.{done}") if self.language.has(f"done.{done}") else "",
            "whole": "bare.html" if self.wants_part else "base.html",
            **data,
        }
        response = render.page(template, context, status)
        response.headers["Vary"] = "X-Part"
        return response

    def redirect(self, address: str, done: str = "") -> RedirectResponse:
        """Go there after a form; `done` is the notice to show, a key of the texts' `done`."""
        if done:
            address += ("&" if "?" in address else "?") + f"done={done}"
        return RedirectResponse(address, 303, {"Cache-Control": "no-store"})


def member_page(page: Page, *, admin: bool = False) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a page for members of the workspace in its address.

    Args:
        page: The page.
        admin: Only administrators may see it.
    """

    async def endpoint(request: Request) -> Response:
        visit = PageContext(request)
        try:
            await enter(visit, admin=admin)
            return await page(visit)
        except HookyardError as error:
            return await error_response(visit, error)

    endpoint.__name__ = page.__name__
    endpoint.__doc__ = page.__doc__
    return endpoint


def public_page(page: Page) -> Callable[[Request], Awaitable[Response]]:
    """Return the endpoint of a page that needs no session: sign-in, language and theme."""

    async def endpoint(request: Request) -> Response:
        visit = PageContext(request)
        try:
            visit.session = await sessions.find(request)
            return await page(visit)
        except HookyardError as error:
            return await error_response(visit, error)

    endpoint.__name__ = page.__name__
    endpoint.__doc__ = page.__doc__
    return endpoint


async def enter(visit: PageContext, *, admin: bool) -> None:
    """Find out who asks and whether they may.

    Raises:
        UnauthenticatedError: No user is signed in.
        NotFoundError: The workspace is not theirs, or there is none.
        NotAllowedError: It is for administrators.
    """
    visit.session = await sessions.find(visit.request)
    if visit.session is None:
        raise UnauthenticatedError("sign in to see this page")
    principal = visit.session.principal
    if "workspace" not in visit.request.path_params:
        await find_home(visit)
    asked = visit.request.path_params.get("workspace")
    if asked is not None:
        visit.workspace_id = await visit.services.auth.workspace(principal, asked)
    if admin and not principal.is_admin:
        raise NotAllowedError("only administrators may see this page")


async def find_home(visit: PageContext) -> None:
    """Find a workspace to lead the reader back to."""
    if visit.session is None:
        return
    mine = visit.session.principal.workspaces
    found = await visit.services.workspaces.list(mine, limit=1)
    visit.home = found[0].id if found else ""


async def error_response(visit: PageContext, error: HookyardError) -> Response:
    """Return the response to a request that cannot be served."""
    from hookyard.web.pages.errors import error_page

    if isinstance(error, UnauthenticatedError) and visit.user is None and visit.request.method == "GET":
        asked = visit.request.url.path + (f"?{visit.request.url.query}" if visit.request.url.query else "")
        return visit.redirect("/sign-in" + ("" if asked == "/" else f"?{urlencode({'next': asked})}"))
    return await error_page(visit, error)
