"""The address guard: every case of the design page, for both modes, with a real connector on loopback."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from hookyard.hooks.delivery.guard import (
    Guard,
    GuardMode,
    RefusedAddressError,
    check_literal,
    judge,
    make_connector,
    system_lookup,
)

SERVER, USER = GuardMode.SERVER, GuardMode.COMMAND_LINE

# address, refused on the server, refused on the command line
CASES = [
    ("127.0.0.1", True, False),
    ("127.255.255.254", True, False),
    ("0.0.0.0", True, False),
    ("0.1.2.3", True, True),
    ("10.0.0.1", True, False),
    ("172.16.0.1", True, False),
    ("172.31.255.255", True, False),
    ("172.32.0.1", False, False),
    ("192.168.1.1", True, False),
    ("169.254.169.254", True, True),
    ("169.254.170.2", True, True),
    ("169.254.1.1", True, True),
    ("168.63.129.16", True, True),
    ("168.63.129.17", False, False),
    ("100.64.0.1", True, False),
    ("100.100.100.200", True, True),
    ("198.18.0.1", True, False),
    ("198.19.255.255", True, False),
    ("192.0.0.192", True, True),
    ("192.0.2.1", True, True),
    ("224.0.0.1", True, True),
    ("239.255.255.255", True, True),
    ("240.0.0.1", True, True),
    ("255.255.255.255", True, True),
    ("::", True, False),
    ("::1", True, False),
    ("::127.0.0.1", True, False),
    ("::169.254.169.254", True, True),
    ("::ffff:127.0.0.1", True, False),
    ("::ffff:10.1.2.3", True, False),
    ("::ffff:169.254.169.254", True, True),
    ("::ffff:93.184.216.34", False, False),
    ("::ffff:0:127.0.0.1", True, False),
    ("fc00::1", True, False),
    ("fd12:3456::1", True, False),
    ("fd00:ec2::254", True, True),
    ("fe80::1", True, True),
    ("fe80::1%eth0", True, True),
    ("febf::1", True, True),
    ("fec0::1", True, False),
    ("64:ff9b::7f00:1", True, False),
    ("64:ff9b::a9fe:a9fe", True, True),
    ("64:ff9b::808:808", True, False),
    ("64:ff9b:1::1", True, True),
    ("2002:7f00:1::1", True, False),
    ("2002:a9fe:a9fe::1", True, True),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", True, True),
    ("2001:db8::1", True, True),
    ("ff02::1", True, True),
    ("100::1", True, True),
    ("4000::1", True, True),
    ("1.1.1.1", False, False),
    ("93.184.216.34", False, False),
    ("2606:4700:4700::1111", False, False),
]


@pytest.mark.parametrize(("address", "server", "command_line"), CASES)
def test_every_case_in_both_modes(address: str, server: bool, command_line: bool) -> None:
    assert (judge(address, SERVER) is not None) is server
    assert (judge(address, USER) is not None) is command_line


@pytest.mark.parametrize(
    ("address", "network", "passes"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", True),  # public anyway
        ("192.168.0.1", "10.0.0.0/8", False),
        ("127.0.0.1", "127.0.0.1/32", True),
        ("127.0.0.2", "127.0.0.1/32", False),
        ("::1", "127.0.0.0/8", False),
        ("fd12::1", "fd12::/16", True),
        ("64:ff9b::808:808", "64:ff9b::/96", True),
        ("169.254.169.254", "169.254.169.254/32", True),
    ],
)
def test_an_administrator_can_allow_networks(address: str, network: str, passes: bool) -> None:
    assert (judge(address, SERVER, [ipaddress.ip_network(network)]) is None) is passes


@given(st.ip_addresses(v=4))
def test_mapping_into_ipv6_never_changes_the_verdict(address: ipaddress.IPv4Address) -> None:
    for mode in GuardMode:
        assert judge(f"::ffff:{address}", mode) == judge(address, mode)


@given(st.ip_addresses())
def test_the_server_never_passes_more_than_the_command_line_nor_what_is_not_global(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if judge(address, SERVER) is None:
        assert judge(address, USER) is None
        assert address.is_global


ODD = [
    ("0", "0.0.0.0"),
    ("127.1", "127.0.0.1"),
    ("127.0.1", "127.0.0.1"),
    ("2130706433", "127.0.0.1"),
    ("017700000001", "127.0.0.1"),
    ("0x7f000001", "127.0.0.1"),
    ("0x7f.1", "127.0.0.1"),
    ("0177.0.0.1", "127.0.0.1"),
    ("①②⑦.0.0.1", "127.0.0.1"),
    ("１２７.0.0.1", "127.0.0.1"),
    ("127。0。0。1", "127.0.0.1"),
    ("127.0.0.1.", "127.0.0.1"),
    ("127.0.0.1..", "127.0.0.1"),
    ("[::1]", "::1"),
    ("::ffff:7f00:1", "127.0.0.1"),
    ("fe80::1%eth0", "fe80::1"),
]


@pytest.mark.parametrize(("host", "address"), ODD)
def test_odd_forms_of_literals_are_seen_through(host: str, address: str) -> None:
    assert check_literal(host) == ipaddress.ip_address(address)
    with pytest.raises(RefusedAddressError):
        Guard.for_server().check_host(host)


@pytest.mark.parametrize(
    "host", ["example.com", "localhost", "a.1", "127.0.0.1.example.com", "", "127.0.0.1 x", "1.2.3.4.5"]
)
def test_names_are_no_literals(host: str) -> None:
    assert check_literal(host) is None
    Guard.for_server().check_host(host)


@pytest.mark.parametrize(
    "host", ["127.1", "0", "2130706433", "0x7f.1", "0177.0.0.1", "localhost", "①②⑦.0.0.1", "127。0。0。1"]
)
async def test_the_real_resolver_is_not_fooled(host: str) -> None:
    try:
        answers = await Guard.for_user().resolve(host, 80)
    except OSError:
        return  # this system's resolver does not take the form at all, which is as good
    assert {judge(answer, SERVER) is None for answer in answers} == {False}
    with pytest.raises(RefusedAddressError):
        await Guard.for_server().resolve(host, 80)


class FakeDns:
    """Answers with one list after another, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.mark.parametrize(
    "answers",
    [
        ["93.184.216.34", "127.0.0.1"],
        ["127.0.0.1", "93.184.216.34"],
        ["2606:4700:4700::1111", "::1"],
        ["93.184.216.34", "169.254.169.254"],
        ["not an address"],
    ],
)
async def test_one_bad_answer_is_enough(answers: list[str]) -> None:
    with pytest.raises(RefusedAddressError, match=r"name\.example is at"):
        await Guard.for_server().resolve("name.example", 443, FakeDns(answers))


async def test_metadata_is_refused_on_the_command_line_too() -> None:
    with pytest.raises(RefusedAddressError, match="a metadata address"):
        await Guard.for_user().resolve("name.example", 80, FakeDns(["10.0.0.1", "169.254.169.254"]))


async def test_no_answer_is_a_failure_of_the_lookup() -> None:
    with pytest.raises(OSError, match="no address"):
        await Guard.for_user().resolve("name.example", 80, FakeDns([]))


async def answer(request: web.Request) -> web.Response:
    return web.Response(text=f"{request.host} {request.path}")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_get("/redirect", redirect)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield int(runner.addresses[0][1])
    await runner.cleanup()


async def redirect(request: web.Request) -> web.Response:
    raise web.HTTPFound("http://169.254.169.254/latest/meta-data")


async def fetch(guard: Guard, url: str, dns: FakeDns | None = None, redirects: bool = False) -> str:
    async with (
        aiohttp.ClientSession(connector=make_connector(guard, lookup=dns)) as session,
        session.get(url, allow_redirects=redirects) as response,
    ):
        return await response.text()


async def test_the_checked_address_is_the_one_connected_to_and_the_host_stays(port: int) -> None:
    dns = FakeDns(["127.0.0.1"])
    assert await fetch(Guard.for_user(), f"http://name.example:{port}/x", dns) == f"name.example:{port} /x"
    assert dns.asked == 1


async def test_a_name_that_changes_its_answer_is_refused_when_it_does(port: int) -> None:
    allowed = Guard.for_server([ipaddress.ip_network("127.0.0.1/32")])
    dns = FakeDns(["127.0.0.1"], ["127.0.0.2"])
    connector = make_connector(allowed, lookup=dns, use_dns_cache=False, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get(f"http://name.example:{port}/") as response:
            assert response.status == 200
        with pytest.raises(RefusedAddressError):
            await session.get(f"http://name.example:{port}/")


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "user:pw@127.0.0.1", "localhost"])
async def test_the_server_does_not_connect_to_itself(host: str, port: int) -> None:
    with pytest.raises(RefusedAddressError):
        await fetch(Guard.for_server(), f"http://{host}:{port}/")


@pytest.mark.parametrize(
    "host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "127.0.0.1.", "0"]
)
async def test_the_server_does_not_connect_to_itself_by_another_spelling(host: str, port: int) -> None:
    with pytest.raises((RefusedAddressError, aiohttp.ClientError, ValueError)):
        await fetch(Guard.for_server(), f"http://{host}:{port}/")


async def test_userinfo_does_not_hide_the_host(port: int) -> None:
    with pytest.raises(RefusedAddressError):
        await fetch(Guard.for_server(), f"http://example.com@127.0.0.1:{port}/")


async def test_a_redirect_is_judged_like_any_address(port: int) -> None:
    with pytest.raises(RefusedAddressError, match=r"169\.254\.169\.254"):
        await fetch(Guard.for_user(), f"http://127.0.0.1:{port}/redirect", redirects=True)


async def test_the_command_line_reaches_loopback(port: int) -> None:
    assert await fetch(Guard.for_user(), f"http://127.0.0.1:{port}/y") == f"127.0.0.1:{port} /y"


async def test_a_connected_socket_has_the_last_word(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    Guard.for_user().check_peer(writer.transport)
    with pytest.raises(RefusedAddressError, match="a loopback address"):
        Guard.for_server().check_peer(writer.transport)
    with pytest.raises(RefusedAddressError):
        Guard.for_user().check_peer(None)
    writer.close()
    await writer.wait_closed()
    reader.feed_eof()


def test_the_refusal_says_what_where_and_the_mend() -> None:
    with pytest.raises(RefusedAddressError) as caught:
        Guard.for_server().check("10.0.0.7", "intranet.example")
    assert str(caught.value) == (
        "not connected: intranet.example is at 10.0.0.7, a private address "
        "(an administrator can allow its network with HOOKYARD_ALLOW_PRIVATE_HOSTS)"
    )


async def test_the_system_lookup_gives_each_address_once() -> None:
    answers = await system_lookup("localhost", 80)
    assert "127.0.0.1" in answers or "::1" in answers
    assert len(answers) == len(set(answers))
    assert socket.has_ipv6 or "::1" not in answers
