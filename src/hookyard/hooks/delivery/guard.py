"""The address guard: which addresses hookyard may connect to, and the connector that holds to it.

Addresses are judged, never texts: after resolution, again when the socket is made, and once more on the connected peer.
The connector is made by `egress`; `check_literal` serves requests through a proxy, where the proxy resolves names.
What it must not do: trust a host name, or connect to an address that it has not judged.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from hookyard.core.errors import PermanentError

if TYPE_CHECKING:
    import aiohttp

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Resolves a host and port to addresses; raises OSError."""


class GuardMode(StrEnum):
    """Whose configuration names the address."""

    SERVER = "server"  # other people's: only public addresses
    COMMAND_LINE = "command line"  # the user's own: loopback and private ones too


class AddressKind(StrEnum):
    """What an address is when it is not simply public."""

    METADATA = "a metadata address"
    LINK_LOCAL = "a link-local address"
    LOOPBACK = "a loopback address"
    PRIVATE = "a private address"
    TRANSLATED = "an IPv6 address that stands for an IPv4 address"
    MULTICAST = "a multicast address"
    RESERVED = "a reserved address"


# The first network that holds an address decides. IANA's special-purpose registries, plus the metadata services of AWS,
# Google, Azure, Alibaba, Oracle, Tencent and OpenStack. `ipaddress.is_global` calls several of these global.
_KINDS: tuple[tuple[Network, AddressKind], ...] = tuple(
    (ipaddress.ip_network(text), kind)
    for kind, texts in (
        (
            AddressKind.METADATA,
            "169.254.169.254 169.254.170.2 169.254.170.23 169.254.0.23 168.63.129.16 100.100.100.200",
        ),
        (AddressKind.METADATA, "192.0.0.192 fd00:ec2::/32 fd20:ce::254 fe80::a9fe:a9fe"),
        (AddressKind.LINK_LOCAL, "169.254.0.0/16 fe80::/10"),
        (AddressKind.LOOPBACK, "127.0.0.0/8 0.0.0.0/32 ::1 ::"),
        (AddressKind.RESERVED, "0.0.0.0/8 192.0.0.0/24 192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 192.88.99.0/24"),
        (AddressKind.PRIVATE, "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10 198.18.0.0/15 fc00::/7 fec0::/10"),
        (AddressKind.MULTICAST, "224.0.0.0/4 ff00::/8"),
        (AddressKind.RESERVED, "240.0.0.0/4"),
        (AddressKind.TRANSLATED, "::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 2002::/16 2001::/32"),
        (AddressKind.RESERVED, "2001::/23 2001:db8::/32 3fff::/20 5f00::/16"),
    )
    for text in texts.split()
)
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
_ON_THE_COMMAND_LINE = frozenset({AddressKind.LOOPBACK, AddressKind.PRIVATE})


class RefusedAddressError(PermanentError):
    """The address guard refused to connect."""


def judge(address: Address | str, mode: GuardMode, allowed: Sequence[Network] = ()) -> str | None:
    """Return why this address must not be connected to, None when it may be.

    Args:
        address: An IPv4 or IPv6 address; IPv4 in mapped form (`::ffff:…`) is judged as IPv4, a zone is ignored.
        mode: Whose configuration names it.
        allowed: Networks that the administrator allows, whatever they hold.

    Raises:
        ValueError: The text is not an address.
    """
    return _judged(str(address), mode, tuple(allowed))


@lru_cache(maxsize=4096)  # the peer of every request is judged, most of them on a few addresses
def _judged(text: str, mode: GuardMode, allowed: tuple[Network, ...]) -> str | None:
    ip = _plain(ipaddress.ip_address(text))
    if any(ip.version == network.version and ip in network for network in allowed):
        return None
    kind = _kind(ip)
    if kind is None:
        return None
    if mode is GuardMode.COMMAND_LINE:
        if kind in _ON_THE_COMMAND_LINE:
            return None
        inner = _embedded(ip)
        if kind is AddressKind.TRANSLATED and inner is not None:
            return _judged(str(inner), mode, ())
    return str(kind)


def check_literal(host: str) -> Address | None:
    """Return the address that a host text stands for by itself, in any form that systems accept; None for a name.

    Covers what `inet_aton` takes (`127.1`, `2130706433`, `0x7f.1`, `0177.0.0.1`) and full-width or circled digits.
    """
    text = unicodedata.normalize("NFKC", host).replace("\u3002", ".").strip("[]").rstrip(".")
    try:
        return _plain(ipaddress.ip_address(text))
    except ValueError:
        pass
    # inet_aton stops at a blank and is content with what stands before it.
    if not text or any(c.isspace() for c in text) or not text.isascii():
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(text))
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class Guard:
    """Judges the addresses of one client.

    Attributes:
        mode: Whose configuration names the addresses.
        allowed: Networks allowed on top.
    """

    mode: GuardMode
    allowed: tuple[Network, ...] = ()

    @classmethod
    def for_server(cls, allowed: Sequence[Network] = ()) -> Guard:
        """Return a guard that allows public addresses and the administrator's networks."""
        return cls(GuardMode.SERVER, tuple(allowed))

    @classmethod
    def for_user(cls) -> Guard:
        """Return a guard that allows public, private and loopback addresses, never metadata addresses."""
        return cls(GuardMode.COMMAND_LINE)

    def refusal(self, address: Address | str, host: str) -> RefusedAddressError | None:
        """Return the error for connecting to an address of a host, or None."""
        try:
            reason = judge(address, self.mode, self.allowed)
        except ValueError:
            reason = "not an address"
        if reason is None:
            return None
        hint = (
            "an administrator can allow its network with HOOKYARD_ALLOW_PRIVATE_HOSTS"
            if self.mode is GuardMode.SERVER
            else "give a public, private or loopback address"
        )
        shown = f"{address} is {reason}" if str(address) == host else f"{host} is at {address}, {reason}"
        return RefusedAddressError(f"not connected: {shown}", hint=hint)

    def check(self, address: Address | str, host: str | None = None) -> None:
        """Refuse an address.

        Raises:
            RefusedAddressError: It must not be connected to.
        """
        error = self.refusal(address, host or str(address))
        if error is not None:
            raise error

    def check_host(self, host: str) -> None:
        """Refuse a host that is itself a bad address; names pass, since only their addresses can be judged.

        Raises:
            RefusedAddressError: It must not be connected to.
        """
        address = check_literal(host)
        if address is not None:
            self.check(address, host)

    async def resolve(self, host: str, port: int, lookup: Lookup | None = None) -> list[str]:
        """Return every address of a host, after judging all of them.

        Args:
            host: A name or a literal address.
            port: For the lookup.
            lookup: Resolves names; the system's resolver when None.

        Raises:
            RefusedAddressError: One of the answers is bad; the good ones are not used either, since a name that answers
                with both is an attack or a mistake.
            OSError: The name cannot be resolved.
        """
        answers = list(await (lookup or system_lookup)(host, port))
        if not answers:
            raise OSError(f"{host} has no address")
        for answer in answers:
            self.check(answer, host)
        return answers

    def open_socket(self, info: tuple[Any, ...]) -> socket.socket:
        """Return the socket for one address about to be connected to: aiohttp's `socket_factory`.

        The last check before connecting, and the only one for literal addresses, which aiohttp does not resolve.

        Raises:
            RefusedAddressError: It must not be connected to.
        """
        family, kind, protocol, _, address = info
        self.check(address[0])
        return socket.socket(family=family, type=kind, proto=protocol)

    def check_peer(self, transport: asyncio.BaseTransport | None) -> None:
        """Refuse a connection whose peer is bad or unknown: the socket has the last word.

        Raises:
            RefusedAddressError: It must not be used.
        """
        peer = transport.get_extra_info("peername") if transport is not None else None
        self.check(str(peer[0]) if peer else "unknown peer")


async def system_lookup(host: str, port: int) -> list[str]:
    """Return the system's addresses of a name: each once, in the system's order."""
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


def make_connector(guard: Guard, *, lookup: Lookup | None = None, **options: Any) -> aiohttp.TCPConnector:
    """Return an aiohttp connector that connects only where the guard allows it.

    Args:
        guard: Judges every address.
        lookup: Resolves names; the system's resolver when None.
        options: Passed on to `aiohttp.TCPConnector`.
    """
    import aiohttp
    from aiohttp.abc import AbstractResolver, ResolveResult

    class GuardedResolver(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            return [
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                    proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
                for address in await guard.resolve(host, port, lookup)
            ]

        async def close(self) -> None:
            """Do nothing: the resolver holds no resources."""

    class GuardedConnector(aiohttp.TCPConnector):
        async def connect(self, *args: Any, **kwargs: Any) -> Any:
            connection = await super().connect(*args, **kwargs)
            try:
                guard.check_peer(connection.transport)
            except RefusedAddressError:
                connection.close()
                raise
            return connection

    return GuardedConnector(resolver=GuardedResolver(), socket_factory=guard.open_socket, **options)


def _plain(ip: Address) -> Address:
    """Return the address without IPv4 mapping and zone."""
    if isinstance(ip, ipaddress.IPv6Address):
        return ip.ipv4_mapped or ipaddress.IPv6Address(int(ip))
    return ip


def _kind(ip: Address) -> AddressKind | None:
    for network, kind in _KINDS:
        if ip.version == network.version and ip in network:
            return kind
    if ip.version == 6 and ip not in _GLOBAL_IPV6:
        return AddressKind.RESERVED  # IANA gives out public addresses only from 2000::/3
    return None


def _embedded(ip: Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address inside a translated IPv6 address with a fixed layout, else None."""
    if not isinstance(ip, ipaddress.IPv6Address):
        return None
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in _LOCAL_NAT64:
        return None  # each network chooses where in it the IPv4 address stands
    return ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
