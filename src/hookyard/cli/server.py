"""The API of a running server, as commands ask it: `HOOKYARD_URL`, `HOOKYARD_TOKEN`.

Used by `events`, `runs` and `callbacks`. The standard library's client: a command asks once or twice, and another
client would cost more to import than the request takes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import click

from hookyard.core.errors import (
    HookyardError,
    InvalidError,
    NotAllowedError,
    NotFoundError,
    PermanentError,
    Problem,
    TemporaryError,
    UnauthenticatedError,
)

DEFAULT_URL = "http://127.0.0.1:8484"
_TIMEOUT_SECONDS = 30

PAGE_ITEMS = 100
"""Items that a command asks for at a time: the least that any list of the API allows as its most."""

_AWAY = (502, 503, 504)
"""What a proxy answers while the server behind it is away."""

workspace_option = click.option(
    "--workspace", "-w", metavar="ID", help="The workspace; HOOKYARD_WORKSPACE, or the only one that the token sees."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True)
class Server:
    """One server's API.

    Attributes:
        url: Where it is, no trailing slash.
        token: The bearer token.
    """

    url: str
    token: str

    @classmethod
    def from_environment(cls) -> Server:
        """Return the server that the environment names.

        Raises:
            UnauthenticatedError: No token.
        """
        token = os.environ.get("HOOKYARD_TOKEN") or os.environ.get("HOOKYARD_ADMIN_TOKEN")
        if not token:
            raise UnauthenticatedError(
                "no token", where="HOOKYARD_TOKEN", hint="set it to a token of the server, made on its Settings page"
            )
        if not token.isascii() or not token.isprintable():
            raise UnauthenticatedError("no token has such characters", where="HOOKYARD_TOKEN", hint="copy it once more")
        return cls((os.environ.get("HOOKYARD_URL") or DEFAULT_URL).rstrip("/"), token)

    def ask(
        self, method: str, path: str, body: object = None, *, query: Mapping[str, str | int | None] | None = None
    ) -> Any:
        """Send one request under /api/v1 and return the JSON of the response, None when it has no body.

        Raises:
            HookyardError: The server refused, cannot be reached, or is another program's.
        """
        import urllib.request

        given = {name: value for name, value in (query or {}).items() if value is not None}
        url = f"{self.url}/api/v1{path}" + (f"?{urlencode(given)}" if given else "")
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - checked below
        except ValueError:
            request = None
        if request is None or request.type not in ("http", "https") or not request.host:
            raise InvalidError("is no http:// or https:// URL", where="HOOKYARD_URL", hint=f"give one as {DEFAULT_URL}")
        if "@" in request.host:
            raise InvalidError(
                "a URL with a name or password in it is not used",
                where="HOOKYARD_URL",
                hint=f"give one as {DEFAULT_URL}",
            )
        text = _answer(request, self.url)
        try:
            answer = json.loads(text) if text else None
        except (ValueError, RecursionError):
            answer = text
        if answer is not None and not isinstance(answer, dict):
            raise _foreign("its answer is no JSON object", self.url)
        return answer

    def workspace(self, given: str | None) -> str:
        """Return the path of the workspace that a command names.

        Raises:
            InvalidError: None was given, and the token sees not just one.
        """
        if given == "":  # a script's empty variable is no workspace, and not the only one either
            raise InvalidError("is empty", where="-w", hint="name a workspace, or leave it out")
        named = given or os.environ.get("HOOKYARD_WORKSPACE")
        if not named:
            seen = self._list("/workspaces", {"limit": 2})["items"]
            if len(seen) != 1:
                raise InvalidError(
                    f"the token sees {'several workspaces' if seen else 'no workspace'}", hint="name one with -w"
                )
            named = seen[0]["id"]
        return f"/workspaces/{quote(named, safe='')}"

    def pages(
        self, path: str, *, limit: int | None = None, query: Mapping[str, str | None] | None = None
    ) -> Iterator[Any]:
        """Yield the items of a list, page after page, at most `limit`; all of them when it is None."""
        cursor: str | None = None
        while limit is None or limit > 0:
            size = PAGE_ITEMS if limit is None else min(limit, PAGE_ITEMS)
            page = self._list(path, {**(query or {}), "limit": size, "cursor": cursor})
            yield from page["items"]
            limit = None if limit is None else limit - len(page["items"])
            cursor = page["nextCursor"]
            if cursor is None:
                return

    def _list(self, path: str, query: Mapping[str, str | int | None]) -> dict[str, Any]:
        page = self.ask("GET", path, query=query)
        if page is None or not {"items", "nextCursor"} <= page.keys():
            raise _foreign("its answer is no list of hookyard's", self.url)
        return dict(page)


def _answer(request: Any, url: str) -> bytes:
    """Return the body of a successful response. Redirects are never followed: they would carry the token elsewhere."""
    import http.client
    import urllib.error
    import urllib.request

    class Unfollowed(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args: object) -> None:
            return None

    try:
        with urllib.request.build_opener(Unfollowed).open(request, timeout=_TIMEOUT_SECONDS) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        if 300 <= error.code < 400:
            target = error.headers.get("location", "elsewhere")[:200]
            raise PermanentError(
                f"it sends on to {target}", where=url, hint="set HOOKYARD_URL to where the server is"
            ) from None
        try:
            said = error.read()
        except (OSError, http.client.HTTPException):
            said = b""
        raise _refusal(error.code, said, url) from None
    except http.client.IncompleteRead:
        raise TemporaryError("its answer broke off", where=url, hint="try again") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise TemporaryError(
            f"cannot be reached: {reason}", where=url, hint="start `hookyard serve`, or set HOOKYARD_URL"
        ) from None
    except http.client.HTTPException:
        raise _foreign("it does not speak HTTP", url) from None


def _foreign(what: str, url: str) -> PermanentError:
    return PermanentError(what, where=url, hint="set HOOKYARD_URL to a server of hookyard")


def _refusal(status: int, body: bytes, url: str) -> HookyardError:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("detail"), str):
        if status in _AWAY:
            return TemporaryError(f"it answered {status}", where=url, hint="try again when the server is back")
        return _foreign(f"it answered {status}", url)
    what, where, hint = document["detail"], document.get("where"), document.get("hint")
    told = document.get("problems")
    problems = tuple(
        Problem(one.get("field", ""), one.get("message", ""), line=one.get("line"), column=one.get("column"))
        for one in (told if isinstance(told, list) else ())
        if isinstance(one, dict)
    )
    if problems:
        return InvalidError(what, where=where, hint=hint, problems=problems)
    kinds: dict[int, type[HookyardError]] = {401: UnauthenticatedError, 403: NotAllowedError, 404: NotFoundError}
    kind = kinds.get(status, TemporaryError if status == 429 or status >= 500 else PermanentError)
    return kind(what, where=where, hint=hint)
