"""Plain requests to the pages, without a browser."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPRedirectHandler, Request, build_opener

from tests.pages.environment import PagesEnvironment


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    text: str
    headers: dict[str, str]


def ask(
    server: PagesEnvironment,
    path: str,
    secret: str = "",
    form: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    *,
    raw: bool = False,
) -> Answer:
    """One request; redirects are not followed, and of a raw one only the headers are kept."""
    given = {"Accept-Language": "en", **(headers or {})}
    if secret:
        given["Cookie"] = f"hookyard_session={secret}"
    data = None if form is None else urlencode(form).encode()
    request = Request(server.url + path, data, given)
    try:
        with build_opener(_Stay).open(request, timeout=20) as answer:
            return Answer(
                answer.status,
                answer.read().decode(errors="replace" if raw else "strict"),
                {k.lower(): v for k, v in answer.headers.items()},
            )
    except HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode(), {k.lower(): v for k, v in error.headers.items()})


def token(server: PagesEnvironment, secret: str) -> str:
    """The form token of a session, as a page carries it."""
    page = ask(server, f"/w/{next(iter(server.samples))}/tasks", secret)
    found = re.search(r'name="csrf" value="(\w+)"', page.text)
    assert found
    return found.group(1)
