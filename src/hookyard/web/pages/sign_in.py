"""Signing in (password, one-time link), signing out, and the choice of language and theme."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.responses import Response

from hookyard.core.errors import LimitError, UnauthenticatedError
from hookyard.web import sessions
from hookyard.web.pages.language import CODES
from hookyard.web.pages.page_context import LANGUAGE_COOKIE, THEME_COOKIE, PageContext

_YEAR = 365 * 86_400


def inside(address: str) -> str:
    """Return an address of this server to go to, `/` for any other."""
    parts = urlsplit(address)
    ours = address.startswith("/") and not address.startswith(("//", "/\\")) and not parts.scheme and not parts.netloc
    return address if ours and address.isprintable() and len(address) <= 1000 else "/"


def _address(visit: PageContext) -> str:
    client = visit.request.client
    return client.host if client else "unknown"


def _signed_in(visit: PageContext, secret: str, onward: str) -> Response:
    response = visit.redirect(inside(onward))
    sessions.keep(visit.request, response, secret)
    return response


async def sign_in_page(visit: PageContext) -> Response:
    """Show the sign-in form and handle it."""
    onward = inside(visit.query("next") or "/")
    if visit.request.method == "GET":
        if visit.user:
            return visit.redirect(onward)
        return await visit.page("sign-in.html", onward=onward, login="", problem="", link="")
    form = await visit.form()
    onward, login = inside(form.text("next", "/")), form.text("login")
    try:
        secret = await visit.services.accounts.sign_in(login, form.raw("password"), _address(visit))
    except (UnauthenticatedError, LimitError) as error:
        limited = isinstance(error, LimitError)
        problem = visit.language.t("sign_in.limited" if limited else "sign_in.wrong")
        status = 429 if limited else 401
        return await visit.page("sign-in.html", status, onward=onward, login=login, problem=problem, link="")
    return _signed_in(visit, secret, onward)


async def login_link(visit: PageContext) -> Response:
    """Serve a one-time link: the button uses it up, not a request for the address."""
    link = visit.path_param("secret")
    if visit.request.method == "GET":
        return await visit.page("sign-in.html", onward="/", login="", problem="", link=link)
    await visit.form()
    try:
        secret = await visit.services.accounts.redeem_link(link, _address(visit))
    except (UnauthenticatedError, LimitError) as error:
        limited = isinstance(error, LimitError)
        problem = visit.language.t("sign_in.limited" if limited else "sign_in.used")
        return await visit.page("sign-in.html", 429 if limited else 401, onward="/", login="", problem=problem, link="")
    return _signed_in(visit, secret, "/")


async def sign_out(visit: PageContext) -> Response:
    """End the session."""
    await visit.form()
    response = visit.redirect("/sign-in")
    await sessions.end(visit.request, response)
    return response


async def preferences(visit: PageContext) -> Response:
    """Keep a language or a theme: for the account when a user is signed in, and in a cookie for the sign-in page."""
    form = await visit.form()
    response = visit.redirect(inside(form.text("back", "/")))
    language, theme = form.text("language"), form.text("theme")
    kept = {"max_age": _YEAR, "samesite": "lax", "secure": visit.request.url.scheme == "https", "httponly": True}
    if language in CODES:
        response.set_cookie(LANGUAGE_COOKIE, language, **kept)  # type: ignore[arg-type]
    if theme in ("light", "dark", "system"):
        response.set_cookie(THEME_COOKIE, theme, **kept)  # type: ignore[arg-type]
    if visit.user:
        await visit.services.accounts.set_preferences(
            visit.user.id,
            language=language if language in CODES else visit.user.language,
            theme={"light": "light", "dark": "dark", "system": None}.get(theme, visit.user.theme),
        )
    return response


async def first_page(visit: PageContext) -> Response:
    """Redirect `/` to the reader's workspace."""
    if visit.home:
        return visit.redirect(visit.path("tasks"))
    return await visit.page("no-workspace.html")
