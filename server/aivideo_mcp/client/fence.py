"""The way to file hosts: a name is resolved here, and only what was found public is connected to.

Between the look at an address and the connection no name is resolved again, so a name that changes what it leads to
changes nothing. TLS and the Host header keep the name.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterable
from typing import Final

import anyio
import httpcore

from aivideo_mcp.errors import UnsafeAddress
from aivideo_mcp.tasks import is_public

_NEXT: Final = 3.0  # seconds after which another of a name's addresses is tried
_MOST: Final = 6  # of a name's addresses


class FencedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to public addresses, and to one place beside them.

    Args:
        home: Host and port that are connected to whatever they are.
        network: What connects.
    """

    def __init__(self, home: tuple[str, int], network: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._home = home
        self._network = network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the protocol's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection.

        Raises:
            UnsafeAddress: The name leads to no public address.
            httpcore.ConnectError, httpcore.ConnectTimeout: It could not be made.
        """
        if (host.lower(), port) == self._home:
            return await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        try:
            with anyio.fail_after(timeout):
                addresses = (await _public_addresses(host, port))[:_MOST]
                for address in addresses[:-1]:
                    try:
                        return await self._network.connect_tcp(address, port, _NEXT, local_address, socket_options)
                    except (httpcore.ConnectError, httpcore.ConnectTimeout):
                        continue
                return await self._network.connect_tcp(addresses[-1], port, None, local_address, socket_options)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await anyio.sleep(seconds)


def fenced_pool(home: tuple[str, int], context: ssl.SSLContext) -> httpcore.AsyncConnectionPool:
    """A connection pool that leaves the fence nowhere."""
    return httpcore.AsyncConnectionPool(
        ssl_context=context,
        max_connections=100,
        max_keepalive_connections=20,
        keepalive_expiry=5.0,
        network_backend=FencedNetwork(home),
    )


async def _public_addresses(host: str, port: int) -> list[str]:
    """The addresses that a name leads to, in the system's order, without those that are not public."""
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise httpcore.ConnectError("The name cannot be resolved.") from None
    addresses = list(dict.fromkeys(place[0] for *_, place in found))
    public = [address for address in addresses if is_public(ipaddress.ip_address(address))]
    if not public:
        raise UnsafeAddress("The file's address points to a private address, which is not fetched from.")
    return public
