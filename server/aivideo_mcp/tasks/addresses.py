"""Addresses from outside: which may be shown to a caller and fetched.

What the upstream names is data like its words. An address must look the same to every reader of URLs, hold no
credentials, and lead to the public internet; the upstream's own origin, which the user chose, is excepted. Only the
form is judged here: what a name leads to is known at the moment of connecting.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import quote

MAX_URL: Final = 4096  # characters
_PARTS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?P<rest>[/?#].*)?",
    re.IGNORECASE | re.ASCII,
)
_MOST_PORT: Final = 65535
_USUAL_PORTS: Final = {"http": 80, "https": 443}
_AS_IT_IS: Final = "/?#[]@!$&'()*+,;=:%"  # besides letters, digits and -._~; everything else is percent-encoded
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE | re.ASCII)
_NEARBY: Final = frozenset({"localhost", "localdomain", "local", "internal", "lan", "arpa", "onion"})  # last labels

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_WORLD: Final = ipaddress.IPv6Network("2000::/3")  # all that was ever given out
_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")  # IPv4 behind NAT64, where that is all there is
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(net)
    for net in (
        "192.0.0.0/24",  # protocols' own, and a cloud's metadata; older Pythons take it for public
        "192.88.99.0/24",  # relays of 6to4
        "168.63.129.16/32",  # a cloud's platform service, on a public number
        "2001::/23",  # Teredo and other tunnels
        "2002::/16",  # 6to4: an IPv4 address inside, any one
        "2001:db8::/32",  # documentation, as is the next
        "3fff::/20",
    )
)


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, and hides none that does not."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _TRANSLATED:
            return is_public(ipaddress.IPv4Address(address.packed[12:]))
        if address not in _WORLD:  # loopback, link-local, unique local, multicast, IPv4 in disguise
            return False
    elif address.is_multicast or address.is_reserved:
        return False
    return address.is_global and not any(address in net for net in _NOT_PUBLIC)


def origin_of(url: str) -> str | None:
    """Scheme, host and port of an http(s) URL, written in one way; None where every reader may see another."""
    parts = _PARTS.fullmatch(url)
    if parts is None:
        return None
    scheme, port = parts["scheme"].lower(), int(parts["port"] or 0)
    if port > _MOST_PORT or parts["port"] == "0":
        return None
    return f"{scheme}://{parts['host'].lower()}:{port or _USUAL_PORTS[scheme]}"


def fault_of(url: str, home: str | None = None) -> str | None:
    """What speaks against fetching a URL, as far as its form tells; None where nothing does.

    Args:
        url: Absolute.
        home: The origin that is allowed whatever it is, as `origin_of` writes it.
    """
    parts = _PARTS.fullmatch(url) if len(url) <= MAX_URL else None
    origin = origin_of(url) if parts else None
    if parts is None or origin is None:
        return "holds credentials" if "@" in url.partition("//")[2].partition("/")[0] else "is no plain https address"
    if origin == home:
        return None
    if parts["scheme"].lower() != "https":
        return "is not https"
    return None if _is_public_host(parts["host"].lower()) else "points to a private address"


def read_url(value: object, home: str | None = None) -> str | None:
    """An address that may be shown and fetched, with all signs percent-encoded that have no place in one; or None.

    Args:
        value: What the upstream gave.
        home: The origin that is allowed whatever it is, as `origin_of` writes it.
    """
    if not (isinstance(value, str) and len(value) <= MAX_URL and value.isprintable() and " " not in value):
        return None
    return quote(value, safe=_AS_IT_IS) if fault_of(value, home) is None else None


def _is_public_host(host: str) -> bool:
    """Whether a host is a public address in the one form that all read alike, or a name that is no near one's."""
    if host.startswith("["):
        return is_public_literal(host[1:-1])
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):  # an IPv4 address to some readers: hex, octal, one number for all four
        return is_public_literal(host)
    return len(labels) > 1 and all(labels) and labels[-1] not in _NEARBY


def is_public_literal(text: str) -> bool:
    """Whether a text is a public address in its usual form."""
    try:
        return is_public(ipaddress.ip_address(text))
    except ValueError:
        return False
