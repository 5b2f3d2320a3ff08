"""The HTTP client at its edges: certificates, a bundle of the user's own, proxies, and a wall clock that jumps."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web

from hookyard.hooks.decision import Result
from hookyard.hooks.delivery import signing
from hookyard.hooks.delivery.egress import Egress, Reply, SendError
from hookyard.hooks.delivery.guard import Guard
from hookyard.hooks.delivery.proxies import Proxies
from tests.hooks.certificates import Authority
from tests.hooks.receiver import FakeClock, Home, Received, Receiver, entry


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A receiver that says ok; its port."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"result": "ok", "host": request.host})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    yield int(runner.addresses[0][1])
    await runner.cleanup()


async def sent(egress: Egress, url: str) -> Reply:
    try:
        return await egress.send("POST", url, {"Content-Type": "application/json"}, b"{}", 10.0)
    finally:
        await egress.aclose()


async def test_a_private_authority_is_trusted_when_its_bundle_is_given(authority: Authority) -> None:
    async with serving(authority.server("localhost")) as port:
        reply = await sent(Egress(ca_bundle=authority.bundle), f"https://localhost:{port}/")
    assert reply.status == 200


@pytest.mark.parametrize(
    ("host", "how", "bundle", "reason"),
    [
        ("localhost", {}, False, "unable to get local issuer certificate"),
        ("localhost", {"expired": True}, True, "certificate has expired"),
        ("localhost", {"self_signed": True}, True, "self-signed certificate"),
        ("other.example", {}, True, "Hostname mismatch"),
    ],
)
async def test_a_bad_certificate_is_refused_for_good(
    authority: Authority, host: str, how: dict[str, bool], bundle: bool, reason: str
) -> None:
    async with serving(authority.server(host, **how)) as port:
        with pytest.raises(SendError, match=f"certificate of localhost: .*{reason}") as caught:
            await sent(Egress(ca_bundle=authority.bundle if bundle else None), f"https://localhost:{port}/key-in-path")
    assert not caught.value.retryable
    assert "key-in-path" not in str(caught.value)


async def test_a_bundle_is_on_top_of_the_machine_s_own(authority: Authority) -> None:
    egress = Egress(ca_bundle=authority.bundle)
    context = egress._tls()
    assert isinstance(context, ssl.SSLContext)
    own = ssl.create_default_context().cert_store_stats()["x509"]
    assert context.cert_store_stats()["x509"] == own + 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


@pytest.mark.parametrize("content", [None, "", "no certificates in here"])
async def test_a_bundle_without_certificates_is_a_clear_error(tmp_path: Path, content: str | None) -> None:
    bundle = tmp_path / "empty.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(SendError, match=r"HOOKYARD_CA_BUNDLE: .*empty\.pem holds no certificates"):
        await sent(Egress(ca_bundle=bundle), "https://localhost:1/")


async def test_an_https_url_of_a_plain_server_fails_without_a_trace_of_the_url() -> None:
    async with serving() as port:
        with pytest.raises(SendError, match="TLS handshake failed with localhost") as caught:
            await sent(Egress(), f"https://user:s3cret@localhost:{port}/t0ken?k=v")
    assert "s3cret" not in str(caught.value)


@dataclass
class Proxy:
    """A real HTTP proxy on loopback: absolute addresses and CONNECT; every name is this machine."""

    target: int = 0
    port: int = 0
    seen: list[str] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.seen.append(head)
        method, address, _ = head.split("\r\n", 1)[0].split(" ")
        upstream, downstream = await asyncio.open_connection("127.0.0.1", self.target)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = "/" + address.split("/", 3)[3]
            downstream.write(head.replace(address, path, 1).encode())
        for source, sink in ((reader, downstream), (upstream, writer)):
            task = asyncio.create_task(_pump(source, sink))
            self.tasks.add(task)

    @property
    def url(self) -> str:
        return f"http://user:pr0xy@127.0.0.1:{self.port}"


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65_536):
            sink.write(data)
            await sink.drain()
    sink.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    made = Proxy()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


async def test_plain_requests_go_through_the_proxy_of_the_environment(proxy: Proxy) -> None:
    async with serving() as proxy.target:
        egress = Egress(proxies=Proxies.of_environment({"http_proxy": proxy.url}))
        reply = await sent(egress, "http://receiver.example/hook")
    assert reply.status == 200
    assert b"receiver.example" in reply.body
    assert proxy.seen[0].startswith("POST http://receiver.example/hook ")
    assert "Proxy-Authorization: Basic" in proxy.seen[0]


async def test_tls_goes_through_the_proxy_and_is_verified_to_the_end(proxy: Proxy, authority: Authority) -> None:
    proxies = Proxies.of_environment({"HTTPS_PROXY": proxy.url})
    async with serving(authority.server("receiver.example")) as proxy.target:
        reply = await sent(Egress(proxies=proxies, ca_bundle=authority.bundle), "https://receiver.example/hook")
        assert reply.status == 200
        assert proxy.seen[0].startswith("CONNECT receiver.example:443 ")
    async with serving(authority.server("other.example")) as proxy.target:
        with pytest.raises(SendError, match="Hostname mismatch"):
            await sent(Egress(proxies=proxies, ca_bundle=authority.bundle), "https://receiver.example/hook")


async def test_this_machine_and_no_proxy_are_reached_directly(proxy: Proxy) -> None:
    proxies = Proxies.of_environment(
        {"all_proxy": proxy.url, "no_proxy": "internal.example, .corp.example,10.0.0.1:8080,10.2.0.0/16,fd00::/8,x/y"}
    )
    async with serving() as port:
        assert (await sent(Egress(proxies=proxies), f"http://127.0.0.1:{port}/")).status == 200
        assert (await sent(Egress(proxies=proxies), f"http://localhost:{port}/")).status == 200
    assert proxy.seen == []
    for url, through in (
        ("https://internal.example/x", False),
        ("https://a.corp.example/x", False),
        ("https://corp.example.evil.example/x", True),
        ("http://10.0.0.1:8080/x", False),
        ("http://10.0.0.1:8081/x", True),
        ("http://10.2.3.4/x", False),
        ("http://10.3.3.4/x", True),
        ("http://[fd00::1]/x", False),
        ("https://example.com/x", True),
    ):
        assert (proxies.of(url) is not None) is through, url
    assert Proxies.of_environment({"http_proxy": proxy.url, "no_proxy": "*"}).of("http://example.com/") is None
    assert "pr0xy" not in repr(proxies)


async def test_a_proxy_without_a_scheme_is_spoken_to_as_http(proxy: Proxy) -> None:
    async with serving() as proxy.target:
        egress = Egress(proxies=Proxies.of_environment({"http_proxy": proxy.url.removeprefix("http://")}))
        assert (await sent(egress, "http://receiver.example/hook")).status == 200
    assert proxy.seen


@pytest.mark.parametrize(
    "unusable", ["socks5://user:pr0xy@127.0.0.1:1080", "::::", "http://127.0.0.1:pr0xy", "http://"]
)
async def test_a_proxy_that_cannot_be_used_is_said_plainly(unusable: str) -> None:
    with pytest.raises(SendError, match=r"the proxy .* cannot be used: give http://host:port") as caught:
        await sent(Egress(proxies=Proxies.of_environment({"http_proxy": unusable})), "http://receiver.example/hook")
    assert not caught.value.retryable
    assert "pr0xy" not in str(caught.value)


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200"])
async def test_metadata_is_not_reached_through_a_proxy_either(proxy: Proxy, host: str) -> None:
    egress = Egress(proxies=Proxies.of_environment({"http_proxy": proxy.url}))
    with pytest.raises(SendError, match="metadata"):
        await sent(egress, f"http://{host}/latest")
    assert proxy.seen == []


async def test_the_server_uses_its_own_proxy_for_names_and_refuses_private_literals(proxy: Proxy) -> None:
    async with serving() as proxy.target:
        egress = Egress(Guard.for_server(), proxies=Proxies.always(proxy.url))
        assert (await sent(egress, "http://receiver.example/hook")).status == 200
    for url in ("http://10.0.0.1/", "http://0x7f.1/", "http://192.168.1.1/", "http://[fc00::1]/"):
        with pytest.raises(SendError, match=r"not connected|invalid URL"):
            await sent(Egress(Guard.for_server(), proxies=Proxies.always(proxy.url)), url)
    assert len(proxy.seen) == 1


async def test_the_server_does_not_reach_itself_past_its_proxy(proxy: Proxy) -> None:
    async with serving() as port:
        egress = Egress(Guard.for_server(), proxies=Proxies.always(proxy.url))
        with pytest.raises(SendError, match="a loopback address"):
            await sent(egress, f"http://127.0.0.1:{port}/")
        allowed = Guard.for_server([ipaddress.ip_network("127.0.0.0/8")])
        assert (
            await sent(Egress(allowed, proxies=Proxies.always(proxy.url)), f"http://127.0.0.1:{port}/")
        ).status == 200


async def test_a_proxy_that_is_down_is_a_failure_that_may_pass(proxy: Proxy) -> None:
    egress = Egress(proxies=Proxies.always("http://user:pr0xy@127.0.0.1:1"))
    with pytest.raises(SendError) as caught:
        await sent(egress, "http://receiver.example/")
    assert caught.value.retryable
    assert "pr0xy" not in str(caught.value)


class JumpingClock(FakeClock):
    """The wall clock jumps when told; the monotonic one goes on."""

    def jump(self, seconds: float) -> None:
        self.at += seconds


@pytest.mark.parametrize("years", [-30, 30])
async def test_a_wall_clock_that_jumps_between_attempts_changes_nothing_but_the_date(
    home: Home, receiver: Receiver, years: int
) -> None:
    clock = JumpingClock()

    def fail_once(received: Received) -> web.Response | dict[str, str]:
        if len(receiver.at()) == 1:
            clock.jump(years * 365 * 86_400)
            return web.Response(status=503)
        return {"result": "deny", "message": "still heard"}

    receiver.answer(fail_once)
    home.write(entry("gate", "pre_tool", receiver.url(), secret="s", on_failure="deny", timeout_secs=5))
    decision = await home.hooks(clock=clock).fire("pre_tool", tool_name="bash", tool_args={"command": "ls"})
    assert decision.result is Result.DENY
    assert decision.message == "still heard"
    assert decision.verdicts[0].attempts == 2
    first, second = receiver.at()
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert signing.verify(["s"], second.headers, second.raw, clock.now()) is None
    assert decision.verdicts[0].duration_ms < 60_000
