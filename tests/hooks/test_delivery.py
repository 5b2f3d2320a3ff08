"""One delivery: what is sent, when it is sent again, and what is printed of it. Real sockets, a clock of the test."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook as Reference

from hookyard.hooks.delivery import retry
from hookyard.hooks.delivery.delivery import Deliverer, DeliveryOutcome
from hookyard.hooks.delivery.egress import Egress
from hookyard.hooks.points import Point
from hookyard.hooks.webhook import Webhook
from tests.hooks.receiver import Answer, FakeClock, Home, Received, Receiver

BODY = {"hook_name": "slack-notify", "event": "post_tool_execution"}


class Sender:
    """A deliverer on a test's clock, and what it printed."""

    def __init__(self, clock: FakeClock) -> None:
        self.lines: list[str] = []
        self.egress = Egress()
        self.deliverer = Deliverer(self.egress, clock, self.lines.append, jitter=lambda: 1.0, sleep=clock.sleep)

    async def send(self, url: str, **keys: object) -> DeliveryOutcome:
        webhook = Webhook("slack-notify", "post_tool", frozenset(Point), url, **keys)  # type: ignore[arg-type]
        return await self.deliverer.deliver(webhook, "dlv_1", BODY)


@pytest.fixture
async def sender(clock: FakeClock) -> AsyncIterator[Sender]:
    sender = Sender(clock)
    yield sender
    await sender.egress.aclose()


def responses(*statuses: int, **keys: object) -> Callable[[Received], web.Response]:
    """Answers one status after the other, the last one for ever."""
    left = list(statuses)
    return lambda _: web.Response(status=left.pop(0) if len(left) > 1 else left[0], **keys)  # type: ignore[arg-type]


async def test_the_request_of_the_contract(sender: Sender, receiver: Receiver, clock: FakeClock) -> None:
    secrets = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "the old one")
    headers = (("Authorization", "Bearer t"), ("user-agent", "mine"), ("webhook-id", "forged"))
    clock.at = 1_800_000_000.9
    delivered = await sender.send(receiver.url(), headers=headers, secrets=secrets)
    (received,) = receiver.at()
    assert received.headers["Content-Type"] == "application/json"
    assert received.headers["Authorization"] == "Bearer t"
    assert received.headers["User-Agent"] == "mine"
    assert (received.headers["webhook-id"], received.headers["webhook-timestamp"]) == ("dlv_1", "1800000000")
    assert received.body == BODY
    assert received.raw == delivered.request
    assert len(received.headers["webhook-signature"].split()) >= 2


async def test_a_delivery_of_a_run_names_its_trace(sender: Sender, receiver: Receiver) -> None:
    async def named(run_id: str, delivery_id: str) -> str | None:
        return None if run_id == "run_unknown" else f"trace of {run_id} {delivery_id}"

    deliverer = replace(sender.deliverer, traceparent=named)
    plain = Webhook("plain", "post_tool", frozenset(Point), receiver.url())
    own = replace(plain, headers=(("TraceParent", "mine"),))
    await deliverer.deliver(plain, "dlv_1", BODY, "run_1")
    await deliverer.deliver(own, "dlv_2", BODY, "run_1")
    await deliverer.deliver(plain, "dlv_3", BODY, "run_unknown")
    await deliverer.deliver(plain, "dlv_4", BODY)  # of no run
    await sender.deliverer.deliver(plain, "dlv_5", BODY, "run_1")  # nobody follows
    sent = [{name.lower(): value for name, value in received.headers.items()} for received in receiver.at()]
    assert [one.get("traceparent") for one in sent] == ["trace of run_1 dlv_1", "mine", None, None, None]


async def test_the_reference_library_believes_the_signature(home: Home, receiver: Receiver) -> None:
    old, new = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    await home.one(receiver.url(), secret=[new, old]).fire("pre_tool", tool_name="bash")
    received = receiver.at()[0]
    for secret in (new, old):
        Reference(secret).verify(received.raw, {name.lower(): value for name, value in received.headers.items()})
    with pytest.raises(Exception, match="No matching signature"):
        Reference("whsec_AAAA").verify(received.raw, {n.lower(): v for n, v in received.headers.items()})


class TestRetries:
    @pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 599])
    async def test_what_may_pass_is_tried_again_with_back_off(
        self, sender: Sender, receiver: Receiver, clock: FakeClock, status: int
    ) -> None:
        receiver.answer(responses(status, status, status, 200))
        delivered = await sender.send(receiver.url(), retries=3)
        assert delivered.reply is not None
        assert [attempt.status for attempt in delivered.attempts] == [status, status, status, 200]
        assert clock.slept == pytest.approx([0.11, 0.22, 0.44])
        assert len({received.headers["webhook-id"] for received in receiver.at()}) == 1

    @pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 403, 404, 409, 410, 422, 451])
    async def test_what_cannot_succeed_is_final(self, sender: Sender, receiver: Receiver, status: int) -> None:
        receiver.answer(responses(status, headers={"Location": receiver.url("/elsewhere")}))
        delivered = await sender.send(receiver.url())
        assert delivered.reply is None
        assert len(receiver.requests) == 1
        assert receiver.at("/elsewhere") == []

    async def test_it_ends_after_retries_plus_one(self, sender: Sender, receiver: Receiver) -> None:
        receiver.answer(responses(500))
        delivered = await sender.send(receiver.url(), retries=2)
        assert (len(delivered.attempts), len(receiver.at())) == (3, 3)
        assert delivered.failure == "HTTP 500: Internal Server Error"

    async def test_retry_after_is_respected(self, sender: Sender, receiver: Receiver, clock: FakeClock) -> None:
        receiver.answer(responses(429, 200, headers={"Retry-After": "7"}))
        assert (await sender.send(receiver.url())).reply is not None
        assert clock.slept == [7.0]

    async def test_a_wait_beyond_the_deadline_is_not_begun(
        self, sender: Sender, receiver: Receiver, clock: FakeClock
    ) -> None:
        receiver.answer(responses(503, 200, headers={"Retry-After": "7"}))
        assert (await sender.send(receiver.url(), deadline_secs=5.0)).reply is None
        assert (clock.slept, len(receiver.at())) == ([], 1)

    async def test_the_deadline_limits_the_last_attempt_too(self, sender: Sender, receiver: Receiver) -> None:
        async def slow(_: Received) -> Answer:
            await asyncio.sleep(5)
            return {}

        receiver.answer(slow)
        delivered = await sender.send(receiver.url(), deadline_secs=0.2, retries=0)
        assert delivered.failure == "timeout after 0.2 s"

    @given(
        attempt=st.integers(1, 200),
        retries=st.integers(0, 200),
        remaining=st.floats(0, 1e6),
        jitter=st.floats(0, 1),
        asked=st.none() | st.floats(0, 1e9),
    )
    def test_the_rule(self, attempt: int, retries: int, remaining: float, jitter: float, asked: float | None) -> None:
        wait = retry.next_wait(attempt, retries, remaining, jitter, asked)
        if attempt > retries:
            assert wait is None
        if wait is not None:
            least = min(0.1 * 2 ** (attempt - 1), retry.LONGEST_WAIT)
            assert wait < remaining
            assert wait >= max(least, asked or 0)
            assert wait <= max(least * 1.1 + 1e-9, asked or 0)


class TestWhatIsPrinted:
    """In the seed's form, safe to print, and nothing of it secret."""

    @pytest.mark.parametrize(
        ("content_type", "body", "line"),
        [
            ("text/html", b"<h1>Oops</h1>", "HTTP 500 at attempt 1: Internal Server Error"),
            ("text/plain", b"database is down\nsecond line", "HTTP 500 at attempt 1: database is down"),
            ("text/plain", b"a\x1b[31mred\x07" + b"x" * 500, "HTTP 500 at attempt 1: a [31mred " + "x" * 190),
            ("text/plain; charset=utf-8", "数据库".encode(), "HTTP 500 at attempt 1: 数据库"),
            ("text/plain; charset=gbk", "数据库".encode("gbk"), "HTTP 500 at attempt 1: 数据库"),
            ("text/plain; charset=no-such", "数据库".encode(), "HTTP 500 at attempt 1: 数据库"),
            ("text/plain; charset=hex", b"down", "HTTP 500 at attempt 1: down"),
            ("text/plain", b"", "HTTP 500 at attempt 1: Internal Server Error"),
            ("application/json", b'{"error": "x"}', "HTTP 500 at attempt 1: Internal Server Error"),
        ],
    )
    async def test_a_status(
        self, sender: Sender, receiver: Receiver, content_type: str, body: bytes, line: str
    ) -> None:
        receiver.answer(lambda _: web.Response(status=500, body=body, headers={"Content-Type": content_type}))
        await sender.send(receiver.url(), retries=0)
        assert sender.lines == [f"[Hook Warning] slack-notify: {line}"]

    async def test_every_attempt_has_its_line(self, sender: Sender, receiver: Receiver) -> None:
        receiver.answer(responses(500))
        await sender.send(receiver.url(), retries=1)
        assert sender.lines == [
            "[Hook Warning] slack-notify: HTTP 500 at attempt 1: Internal Server Error",
            "[Hook Warning] slack-notify: HTTP 500 at attempt 2: Internal Server Error",
        ]

    async def test_a_timeout_and_a_refused_connection(self, sender: Sender, receiver: Receiver) -> None:
        async def slow(_: Received) -> Answer:
            await asyncio.sleep(5)
            return {}

        receiver.answer(slow)
        await sender.send(receiver.url(), timeout_secs=0.1, retries=0)
        await sender.send("http://127.0.0.1:9/", retries=0)
        assert sender.lines == [
            "[Hook Warning] slack-notify: timeout after 0.1 s at attempt 1",
            "[Hook Warning] slack-notify: connection refused at attempt 1",
        ]

    async def test_a_receiver_that_echoes_a_secret(self, sender: Sender, receiver: Receiver) -> None:
        secret, key = "v3rysecret", "k3yinthepath"
        receiver.answer(
            lambda r: web.Response(status=500, text=f"bad {r.headers['Authorization']} for {r.path} {secret}"),
            f"/{key}",
        )
        headers = (("Authorization", "Bearer tok3n-value"),)
        delivered = await sender.send(
            receiver.url(f"/{key}?x=qu3ryvalue"), headers=headers, secrets=(secret,), retries=0
        )
        shown = str(sender.lines) + str(delivered.attempts) + delivered.failure
        for hidden in (secret, key, "tok3n-value", "qu3ryvalue"):
            assert hidden not in shown

    async def test_a_receiver_that_echoes_the_request(self, sender: Sender, receiver: Receiver) -> None:
        def echo(received: Received) -> Answer:
            return {"result": "ok", "headers": received.headers, "at": str(received.request.raw_path)}

        path = "/k%2Bey-in-path"
        receiver.answer(echo, "/k+ey-in-path")
        url = receiver.url(f"{path}?t=qu%2Bery+value&qu3ry-alone").replace("://", "://ada:s3cr%2Bet@")
        headers = (("X-Token", 'Bearer "tok3n\u5bc6'),)
        delivered = await sender.send(url, headers=headers, secrets=("v3rysecret",))
        assert delivered.reply is not None
        answer = delivered.attempts[0].answer
        assert '"X-Token": "***"' in answer
        assert '"Authorization": "Basic ***"' in answer
        for hidden in ("ey-in-path", "ery", "qu3ry", "tok3n"):
            assert hidden not in answer


@asynccontextmanager
async def raw_server(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that says on the socket what a test wants; gives its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    server.close()


async def read_request(reader: asyncio.StreamReader) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)


class TestReceiversAtTheirWorst:
    async def test_it_hangs_up(self, sender: Sender) -> None:
        calls = 0

        async def hang_up(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
            nonlocal calls
            calls += 1
            await read_request(reader)

        async with raw_server(hang_up) as url:
            await sender.send(url, retries=1)
        assert calls == 2
        assert sender.lines == [
            f"[Hook Warning] slack-notify: the receiver hung up at attempt {number}" for number in (1, 2)
        ]

    async def test_it_closes_idle_connections(self, sender: Sender) -> None:
        """A connection closed while idle is no failure of the webhook: it is opened again without a word."""

        async def answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{"result":"ok"}')
            await reader.readuntil(b"\r\n\r\n")  # the next request arrives, and is hung up on

        async with raw_server(answer_once) as url:
            for _ in range(4):
                assert (await sender.send(url, retries=0)).reply is not None
        assert sender.lines == []

    @pytest.mark.parametrize(
        ("answer", "text"),
        [
            (b"garbage\r\n\r\n", "the answer is not valid HTTP"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n", "the answer is larger than 1 MiB"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "the receiver hung up"),
            (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", "the answer is not valid HTTP"),
        ],
    )
    async def test_it_answers_garbage(self, sender: Sender, answer: bytes, text: str) -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(answer)
            await writer.drain()

        async with raw_server(talk) as url:
            assert (await sender.send(url, retries=0)).failure == text

    async def test_it_never_stops_talking(self, sender: Sender) -> None:
        sent = 0

        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                await writer.drain()
                sent += 0x10000

        async with raw_server(endless) as url:
            assert (await sender.send(url, retries=0)).failure == "the answer is larger than 1 MiB"
        assert sent < 16 * 1024 * 1024

    async def test_it_drips(self, sender: Sender) -> None:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"1\r\nx\r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

        async with raw_server(drip) as url:
            assert (await sender.send(url, retries=0, timeout_secs=0.2)).failure == "timeout after 0.2 s"

    async def test_a_compressed_bomb(self, sender: Sender) -> None:
        bomb = gzip.compress(b"\0" * (64 * 1024 * 1024))

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await read_request(reader)
            head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n"
            writer.write(head.encode() + bomb)
            await writer.drain()

        async with raw_server(talk) as url:
            assert (await sender.send(url, retries=0)).failure == "the answer is larger than 1 MiB"

    async def test_a_name_that_does_not_resolve(self, sender: Sender) -> None:
        assert "no-such-host.invalid" in (await sender.send("http://no-such-host.invalid/x", retries=0)).failure

    async def test_metadata_addresses_are_never_connected_to(self, sender: Sender) -> None:
        delivered = await sender.send("http://169.254.169.254/latest/meta-data", retries=3)
        assert "metadata address" in delivered.failure
        assert len(delivered.attempts) == 1

    async def test_the_server_refuses_private_addresses(self, receiver: Receiver, tmp_path: Path) -> None:
        from hookyard.hooks.hooks import Hooks, server_sender

        lines: list[str] = []
        entry = {"name": "a", "trigger": "pre_tool", "url": receiver.url()}
        sender = server_sender(tmp_path)
        await Hooks.for_server(tmp_path, sender, webhooks=[entry], environ={}, warn=lines.append).fire("pre_tool")
        await sender.aclose()
        assert receiver.requests == []
        assert "a loopback address" in lines[0]
