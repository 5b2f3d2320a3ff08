"""The HTTP client: one request out, one answer in, nothing followed, nothing unbounded.

The only owner of aiohttp in this half; it is imported when the first request is made, since that takes a quarter of a
second. Called by `delivery`. Everything that can go wrong comes out as a `SendError` whose text may be shown.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from hookyard.core.errors import HookyardError
from hookyard.hooks.delivery.guard import Guard, RefusedAddressError, make_connector
from hookyard.hooks.delivery.proxies import Proxies
from hookyard.hooks.webhook import shown_url

if TYPE_CHECKING:
    import aiohttp

LARGEST_ANSWER = 1024 * 1024
"""Bytes of an answer that are read at most."""

KEEP_WARM_SECONDS = 60.0
"""How long an idle connection is kept: a tool call is often half a minute after the one before."""


_OPENED: ContextVar[list[bool]] = ContextVar("opened")
"""Filled while a request is made, once for every connection that is opened for it."""


class _NotingGuard(Guard):
    """A guard that tells the request under way that a connection was opened for it."""

    def open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        _OPENED.get().append(True)
        return super().open_socket(info)


class Reply(NamedTuple):
    """An answer.

    Attributes:
        status: HTTP status.
        reason: Reason phrase, `""` when none was sent.
        headers: By name in any case; of repeated ones the first.
        body: At most 1 MiB.
    """

    status: int
    reason: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def content_type(self) -> str:
        """Media type in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def charset(self) -> str | None:
        """What the content type declares, None when nothing."""
        return charset_of(self.headers.get("content-type", ""))

    def text(self, most: int | None = None) -> str:
        """Return the body, or its first `most` bytes, in the declared character set.

        UTF-8 when it declares none, an unknown one, or one that is not of texts, such as `hex`; what does not fit is
        replaced.
        """
        begin = self.body[:most]
        try:
            return begin.decode(self.charset or "utf-8", "replace")
        except (LookupError, ValueError):
            return begin.decode("utf-8", "replace")


def charset_of(content_type: str) -> str | None:
    """Return the character set that a content type declares, None when it declares none."""
    _, found, rest = content_type.lower().partition("charset=")
    return rest.partition(";")[0].strip(" \"'") or None if found else None


class SendError(HookyardError):
    """No answer that can be used.

    Args:
        text: Why, in the words of the warning; may be shown.
        retryable: The same request may succeed later.
    """

    def __init__(self, text: str, *, retryable: bool = True) -> None:
        super().__init__(text)
        self.retryable = retryable


class TimedOutError(SendError):
    """The attempt's time was up."""

    def __init__(self) -> None:
        super().__init__("timeout")


class Egress:
    """Sends requests over warm connections.

    Args:
        guard: Judges every address that is connected to; that of a user when None.
        proxies: Which requests go through a proxy, which then is the peer and resolves the names; the guard judges
            hosts that are addresses, and nothing else is known of where such a request ends.
        ca_bundle: Certificates to trust besides the machine's own.
    """

    def __init__(
        self, guard: Guard | None = None, *, proxies: Proxies | None = None, ca_bundle: Path | None = None
    ) -> None:
        self._guard = guard or Guard.for_user()
        self._proxies = proxies or Proxies()
        self._ca_bundle = ca_bundle
        self._session: aiohttp.ClientSession | None = None
        self._proxied: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, timeout_seconds: float
    ) -> Reply:
        """Make one request.

        Args:
            method: HTTP method.
            url: Where to; never shown in an error.
            headers: All headers; nothing is added but what HTTP needs.
            body: What to send.
            timeout_seconds: For connecting, sending and reading together.

        Raises:
            SendError: No usable answer came.
        """
        proxy = self._proxies.of(url)
        opened: list[bool] = []
        token = _OPENED.set(opened)
        try:
            session = self._ready_session(proxied=proxy is not None)
            if proxy is not None:
                _check_proxy(proxy)
                self._guard.check_host(urlsplit(url).hostname or "")
                return await _request(session, method, url, headers, body, timeout_seconds, proxy)
            try:
                return await _request(session, method, url, headers, body, timeout_seconds)
            except Exception as error:
                if opened or not _hung_up(error):
                    raise
                # The receiver closed an idle connection while we were about to use it: not its failure, and safe to
                # repeat, since the request carries its idempotency key.
                return await _request(session, method, url, headers, body, timeout_seconds)
        except Exception as error:
            translated = _translated(error)
            if translated is None:
                raise
            raise translated from None
        finally:
            _OPENED.reset(token)

    def _ready_session(self, *, proxied: bool) -> aiohttp.ClientSession:
        """Return a session of the running event loop, made when first needed."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._session, self._proxied, self._loop = None, None, loop
        if proxied:
            self._proxied = self._proxied or self._new_session(guarded=False)
            return self._proxied
        self._session = self._session or self._new_session(guarded=True)
        return self._session

    def _new_session(self, *, guarded: bool) -> aiohttp.ClientSession:
        import aiohttp

        options: dict[str, Any] = {"limit": 0, "keepalive_timeout": KEEP_WARM_SECONDS, "ssl": self._tls()}
        connector = (
            make_connector(_NotingGuard(self._guard.mode, self._guard.allowed), **options)
            if guarded
            else aiohttp.TCPConnector(**options)
        )
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    def _tls(self) -> ssl.SSLContext | bool:
        """Return a TLS context with the machine's certificates and the user's own bundle."""
        if self._ca_bundle is None:
            return True
        context = ssl.create_default_context()
        try:
            context.load_verify_locations(cafile=self._ca_bundle)
        except (OSError, ssl.SSLError):
            raise SendError(f"HOOKYARD_CA_BUNDLE: {self._ca_bundle} holds no certificates", retryable=False) from None
        return context

    async def aclose(self) -> None:
        """Close all connections."""
        sessions = (self._session, self._proxied)
        self._session = self._proxied = None
        if self._loop is asyncio.get_running_loop():
            for session in sessions:
                if session is not None:
                    await session.close()


async def _request(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    seconds: float,
    proxy: str | None = None,
) -> Reply:
    async with session.request(
        method, url, data=body, headers=headers, allow_redirects=False, timeout=_limit(seconds), proxy=proxy
    ) as response:
        answered = response.headers
        size = response.content_length
        if size is not None and size <= LARGEST_ANSWER and "Content-Encoding" not in answered:
            return Reply(response.status, response.reason or "", answered, await response.read())
        return Reply(response.status, response.reason or "", answered, await _read(response, size or 0))


@lru_cache(maxsize=64)  # a webhook's limit is the same each time
def _limit(seconds: float) -> aiohttp.ClientTimeout:
    import aiohttp

    return aiohttp.ClientTimeout(total=seconds)


async def _read(response: aiohttp.ClientResponse, size: int) -> bytes:
    """Read a body of unknown size, and fail as soon as it is known to be too large; `size` is the announced one."""
    chunks: list[bytes] = []
    if size <= LARGEST_ANSWER:
        size = 0
        while chunk := await response.content.readany():
            size += len(chunk)
            if size > LARGEST_ANSWER:
                break
            chunks.append(chunk)
    if size > LARGEST_ANSWER:
        response.close()
        raise SendError("the answer is larger than 1 MiB", retryable=False)
    return b"".join(chunks)


def _check_proxy(proxy: str) -> None:
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number
        usable = False
    if not usable:
        raise SendError(f"the proxy {shown_url(proxy)} cannot be used: give http://host:port", retryable=False)


def _hung_up(error: Exception) -> bool:
    """Return whether the receiver closed the connection before it replied."""
    import aiohttp

    return isinstance(error, aiohttp.ServerDisconnectedError | ConnectionResetError)


def _translated(error: Exception) -> SendError | None:
    """Return a library's or the system's error in our words, None when it is neither's; of the URL only the host is
    shown."""
    import aiohttp

    if isinstance(error, TimeoutError):
        return TimedOutError()
    if isinstance(error, RefusedAddressError):
        return SendError(str(error), retryable=False)
    if not isinstance(error, aiohttp.ClientError | OSError | ValueError):
        return None
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        cause = error.certificate_error
        reason = getattr(cause, "verify_message", "") or "cannot be verified"
        return SendError(f"certificate of {error.host}: {reason}", retryable=False)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return SendError(f"cannot resolve {error.host}")
    if isinstance(error, aiohttp.ClientSSLError):
        return SendError(f"TLS handshake failed with {error.host}")
    if isinstance(error, aiohttp.InvalidURL | ValueError):
        return SendError("the request cannot be made: invalid URL or header", retryable=False)
    if isinstance(error, aiohttp.ClientResponseError):
        return SendError("the answer is not valid HTTP")
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | ConnectionResetError):
        return SendError("the receiver hung up")
    if isinstance(error, OSError):
        return SendError(_system_text(error))
    return SendError("the request failed")


def _system_text(error: OSError) -> str:
    inner = getattr(error, "os_error", error)
    number = getattr(inner, "errno", None)
    if number == errno.ECONNREFUSED or "Connect call failed" in str(inner):
        return "connection refused"
    return os.strerror(number).lower() if number and number > 0 else "connection failed"
