"""What a format is: it turns hookyard's body into a request that one service understands, and judges the reply.

Implemented by one file per service in this folder, each of which ends in `FORMAT = …`; called by `delivery`. A format
is pure: it opens no connection, reads no clock and keeps nothing between two calls.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from hookyard.hooks.values import value

Body = Mapping[str, object]
"""The body of the contract: hook_name, trigger, event, context, hook_context, …"""

JSON_TYPE = "application/json"
LONGEST_REASON = 200

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=str)


class ReadyBody(dict[str, object]):
    """A body that is JSON already, with no keys to be read: for the format that sends it as it is.

    Attributes:
        json: The whole of it.
    """

    __slots__ = ("json",)
    json: bytes


class DeliveryVerdict(StrEnum):
    """What a reply means for the delivery."""

    OK = "ok"
    RETRY = "retry"  # the same request may succeed later
    THROTTLED = "throttled"  # as retry; the service asks for fewer messages, nothing is broken
    REFUSED = "refused"  # the same request cannot succeed


@dataclass(frozen=True, slots=True)
class ReplyJudgement:
    """What one reply means.

    Attributes:
        outcome: What to do.
        reason: Why, at most 200 characters and one line; `""` when all is well.
        retry_after: Seconds that the service asks to wait, None when it does not say.
    """

    outcome: DeliveryVerdict
    reason: str = ""
    retry_after: float | None = None


GOOD = ReplyJudgement(DeliveryVerdict.OK)


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit of a service: so many requests in so many seconds, to one address."""

    requests: int
    seconds: float


@value
class Target:
    """Where a message goes.

    Attributes:
        url: The configured address.
        secrets: The configured secrets, newest first.
        language: `en` or `zh`; any tag that begins with `zh` is Chinese.
        now: Seconds since the epoch; some services sign it.
        delivery_id: The delivery, the same on its retries.
    """

    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    language: str = "en"
    now: float = 0.0
    delivery_id: str = ""


@value
class Request:
    """What is to be sent. The address may carry a key or a sign: it is never shown or logged.

    Attributes:
        url: The address, signed where the service wants that.
        headers: What the format needs; configured headers go over these.
        body: The bytes to send.
    """

    url: str = field(repr=False)
    headers: dict[str, str]
    body: bytes


class Format(Protocol):
    """One service.

    Attributes:
        name: The value of `format` in hooks.toml.
        chat: A chat service: it can show, but neither modify nor be batched.
        rates: The service's limits for one address; the outbox keeps to all of them.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - described above

    @property
    def chat(self) -> bool: ...  # noqa: D102

    @property
    def rates(self) -> tuple[Rate, ...]: ...  # noqa: D102

    def matches(self, url: str) -> bool:
        """Return whether the address is known to be this service's."""
        ...

    def build(self, body: Body, target: Target) -> Request:
        """Return the service's message for a body of the contract. Any value may be missing or hostile."""
        ...

    def judge(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> ReplyJudgement:
        """Return what a reply means; `headers` in any case, `now` in seconds since the epoch."""
        ...


def json_request(url: str, message: object, content_type: str = JSON_TYPE) -> Request:
    """Return a request with a JSON body in UTF-8."""
    return Request(url, {"Content-Type": content_type}, json_bytes(message))


def json_bytes(value: object) -> bytes:
    """Return a value as JSON in UTF-8; what JSON has no form for becomes text, and lone surrogates become `?`."""
    if isinstance(value, ReadyBody):
        return value.json
    return _COMPACT.encode(value).encode("utf-8", "replace")


def address(url: str) -> SplitResult | None:
    """Return the parts of an http(s) address with the host in lower case; None for any other text.

    Texts that parsers read differently (backslashes, blanks, control characters) are not plain.
    """
    if any(c in "\\\x7f" or c <= " " for c in url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").rstrip(".")
    if parts.scheme not in ("http", "https") or not host:
        return None
    return parts._replace(netloc=host if port is None else f"{host}:{port}")


def host_of(parts: SplitResult) -> str:
    """Return the host of `address(…)`, without the port."""
    return parts.hostname or ""


def header(headers: Mapping[str, str], name: str) -> str | None:
    """Return a header by its name in any case."""
    found = headers.get(name)
    if found is not None:
        return found
    return next((value for key, value in headers.items() if key.lower() == name.lower()), None)


def retry_after_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that `Retry-After` asks to wait (RFC 9110, 10.2.3: seconds or a date), None without one."""
    text = (header(headers, "Retry-After") or "").strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            date = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    return max(0.0, seconds) if seconds == seconds and seconds != float("inf") else None


def judge_status(status: int, headers: Mapping[str, str], body: bytes, now: float) -> ReplyJudgement:
    """Return what a status alone means: 2xx is success; 408, 425, 429 and 5xx may pass; anything else is final."""
    if 200 <= status < 300:
        return GOOD
    reason = one_line(f"HTTP {status}: {text_of(body)}".rstrip(": "))
    wait = retry_after_seconds(headers, now)
    if status == 429:
        return ReplyJudgement(DeliveryVerdict.THROTTLED, reason, wait)
    if status in (408, 425) or status >= 500:
        return ReplyJudgement(DeliveryVerdict.RETRY, reason, wait)
    return ReplyJudgement(DeliveryVerdict.REFUSED, reason)


def judge_code(
    body: bytes, key: str, message: str, temporary: frozenset[int], throttled: Mapping[int, float | None]
) -> ReplyJudgement:
    """Return what a 2xx reply means whose JSON carries an error code, as from DingTalk, WeCom and Feishu.

    Args:
        body: The reply.
        key: Name of the code; 0 is good, and so is a reply without it, unless it is a web page.
        message: Name of the text that explains the code.
        temporary: Codes that may pass later.
        throttled: Codes of rate limits, each with the seconds that the service makes one wait.
    """
    reply = json_object(body)
    if reply is None:
        return refuse_page(body)
    code = reply.get(key, 0)
    if code in (0, "0"):
        return GOOD
    reason = one_line(f"{key} {code}: {reply.get(message, '')}".rstrip(": "))
    if isinstance(code, int) and code in throttled:
        return ReplyJudgement(DeliveryVerdict.THROTTLED, reason, throttled[code])
    if isinstance(code, int) and code in temporary:
        return ReplyJudgement(DeliveryVerdict.RETRY, reason)
    return ReplyJudgement(DeliveryVerdict.REFUSED, reason)


def refuse_page(body: bytes) -> ReplyJudgement:
    """Return success for a 2xx reply without JSON, unless it is a web page, which no chat service answers."""
    if body.lstrip()[:1] == b"<":
        return ReplyJudgement(DeliveryVerdict.REFUSED, "answered with a web page, so this is not the service's webhook")
    return GOOD


def json_object(body: bytes) -> dict[str, object] | None:
    """Return the JSON object in a reply, or None."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def text_of(body: bytes) -> str:
    """Return the first line of a plain-text reply, for a reason; `""` for a web page or an empty one."""
    text = body[:1000].decode("utf-8", "replace").strip()
    return "" if text.startswith("<") else text.partition("\n")[0]


def one_line(text: str) -> str:
    """Return text fit for a warning: without control characters, at most 200 characters."""
    return "".join(c if c.isprintable() else " " for c in text)[:LONGEST_REASON].strip()
