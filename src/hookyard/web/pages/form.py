"""What a form sent: urlencoded only, bounded, and only from our own pages.

Used by `page_context`. A body over the bound, one of another kind and one from another site are refused before
anything is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qs

from starlette.requests import Request

from hookyard.core.errors import InvalidError, NotAllowedError, Problem, TooLargeError

MAX_BYTES = 512 * 1024
_MAX_FIELDS = 500
TOKEN_FIELD = "csrf"  # noqa: S105 (a field's name)


class Form:
    """The fields of a form by name."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self._fields = fields

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def text(self, name: str, default: str = "") -> str:
        r"""Return a field's text without the space around it; line ends are `\n`."""
        return self.raw(name, default).strip()

    def raw(self, name: str, default: str = "") -> str:
        r"""Return a field's text as written, except that line ends are `\n`."""
        values = self._fields.get(name)
        return values[-1].replace("\r\n", "\n") if values else default

    def all(self, name: str) -> list[str]:
        """Return every value of a field that may occur several times, in order, without repetitions."""
        return list(dict.fromkeys(self._fields.get(name, [])))

    def on(self, name: str) -> bool:
        """Return whether a box is ticked."""
        return self.raw(name) in ("on", "true", "1")

    def names(self) -> list[str]:
        """Return the names of the received fields."""
        return list(self._fields)

    def seconds(self, name: str) -> float | None:
        """Return a positive number with or without a fraction, None when the field is empty.

        Raises:
            InvalidError: It holds something else.
        """
        text = self.text(name).replace(",", "")
        if not text:
            return None
        if not text.isascii() or len(text) > 15 or not text.replace(".", "", 1).isdigit():
            problem = Problem(name, "give digits, such as 900")
            raise InvalidError(f"{text[:40]!r} is not a number", where=name, problems=(problem,))
        return float(text)

    def number(self, name: str) -> int | None:
        """Return a whole number, None when the field is empty.

        Raises:
            InvalidError: It holds something else.
        """
        text = self.text(name).replace(",", "")
        if not text:
            return None
        if not text.lstrip("-").isascii() or not text.lstrip("-").isdigit() or len(text) > 15:
            problem = Problem(name, "give a whole number, digits only")
            raise InvalidError(f"{text[:40]!r} is not a whole number", where=name, problems=(problem,))
        return int(text)


def same_site(request: Request) -> bool:
    """Return whether the request comes from one of our pages; browsers that do not say so pass."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


async def read_form(request: Request) -> Form:
    """Read the form of a POST; `page_context` checks whether it carries the session's token.

    Raises:
        NotAllowedError: It comes from elsewhere.
        TooLargeError: It is longer than `MAX_BYTES`.
        InvalidError: It is no form.
    """
    if not same_site(request):
        raise NotAllowedError("the form was sent from another site", hint="open the page here and send it again")
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise InvalidError(f"a form of type {kind!r} is not taken", hint="send application/x-www-form-urlencoded")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise TooLargeError(f"the form is longer than {MAX_BYTES // 1024} kB", hint="shorten it")
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise InvalidError("the form cannot be read", hint="send it from the page") from None
    if any("\x00" in value for values in fields.values() for value in values):
        raise InvalidError("the form has a NUL character", hint="leave it out")  # PostgreSQL's texts cannot hold it
    return Form(fields)
