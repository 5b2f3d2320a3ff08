"""Which proxy a request goes through.

Used by `egress`. On the command line the environment's proxies count; the server has one of its own or none. This
machine is never reached through a proxy.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hookyard.hooks.webhook import is_loopback


@dataclass(frozen=True, slots=True)
class Proxies:
    """The proxies of one client.

    Attributes:
        by_scheme: Proxy URL for `http`, `https`; may hold credentials, so it is never shown.
        none_for: `no_proxy`: hosts, domains and networks that are reached directly, separated by commas; `*` = all.
    """

    by_scheme: Mapping[str, str] = field(default_factory=dict, repr=False)
    none_for: str = ""

    @classmethod
    def of_environment(cls, environ: Mapping[str, str]) -> Proxies:
        """Return the proxies in `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`, in lower or upper case.

        A proxy without a scheme is spoken to as `http://`, as curl does.
        """

        def value(name: str) -> str:
            return environ.get(name) or environ.get(name.upper()) or ""

        found = {scheme: value(f"{scheme}_proxy") or value("all_proxy") for scheme in ("http", "https")}
        with_schemes = {
            scheme: proxy if "://" in proxy else f"http://{proxy}" for scheme, proxy in found.items() if proxy
        }
        return cls(with_schemes, value("no_proxy"))

    @classmethod
    def always(cls, proxy: str | None) -> Proxies:
        """Return one proxy for every URL, or none."""
        return cls({"http": proxy, "https": proxy} if proxy else {})

    def of(self, url: str) -> str | None:
        """Return the proxy for a URL, None when it is reached directly."""
        if not self.by_scheme or is_loopback(url):
            return None
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        if any(_covers(entry.strip().lower(), host, parts.port) for entry in self.none_for.split(",")):
            return None
        return self.by_scheme.get(parts.scheme)


def _covers(entry: str, host: str, port: int | None) -> bool:
    """Return whether an entry of `no_proxy` covers a host: itself, a domain or network above it, or everything."""
    if entry == "*":
        return True
    if "/" in entry:
        with contextlib.suppress(ValueError):  # the entry is no network, or the host no address
            return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
        return False
    name, colon, entry_port = entry.rpartition(":")
    if colon and entry_port.isdigit() and "]" not in entry_port and name.count(":") == 0:
        if port != int(entry_port):
            return False
        entry = name
    entry = entry.lstrip("*").lstrip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))
