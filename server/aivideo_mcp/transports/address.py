"""Where the network transports listen, and by which names they may be called."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final, Literal

from aivideo_mcp.errors import ConfigurationError
from aivideo_mcp.values import is_loopback

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_AUTHORITY: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?", re.ASCII)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.ASCII)
_PORTS: Final = {"http": 80, "https": 443}


def authority(text: str) -> tuple[str, int | None] | None:
    """Host and port of a `Host` header or of an origin's second half; None if it is neither."""
    found = _AUTHORITY.fullmatch(text.lower())
    if found is None:
        return None
    name = found[1].strip("[]")
    try:
        name = ipaddress.ip_address(name).compressed
    except ValueError:
        if found[1].startswith("["):
            return None
    return name, int(found[2]) if found[2] else None


def origin(text: str) -> tuple[str, str, int | None] | None:
    """Scheme, host and port of an origin, None where the port is the scheme's own; None if it is no origin."""
    scheme, mark, rest = text.lower().partition("://")
    place = authority(rest)
    if not mark or place is None or _SCHEME.fullmatch(scheme) is None:
        return None
    name, port = place
    return scheme, name, None if port == _PORTS.get(scheme) else port


def why_no_port(fault: OSError | OverflowError) -> str:
    """What keeps a port from being taken, and what to do."""
    match getattr(fault, "errno", None):
        case errno.EADDRINUSE:
            return "another program has it, perhaps another aivideo-mcp. Stop that one, or take any free one: --port 0"
        case errno.EACCES:
            return "ports below 1024 are for administrators. Take a higher one, such as --port 8000"
    reason, _, _ = (getattr(fault, "strerror", None) or str(fault)).partition(" (while")  # repeats the address
    return f"{reason}. Any free one: --port 0"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the network transports listen, and what they ask of clients.

    Attributes:
        transport: `sse` for /sse alone, `http` for /mcp with /sse beside it.
        host: Loopback, or any other together with a token.
        port: 0 takes any free one.
        token: Bearer token that every request must carry; None asks for none.
        allowed_hosts: Names beside the host's own by which clients may call, as through a proxy.
        allowed_origins: Origins of pages that may call from a browser, such as https://app.example.com.
    """

    transport: Literal["sse", "http"]
    host: str
    port: int
    token: str | None
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()

    def listen(self) -> socket.socket:
        """A listening socket.

        Raises:
            ConfigurationError: A name or an origin that is none, no token for what others can reach, or the address
                cannot be had.
        """
        for name in self.allowed_hosts:
            if (place := authority(name)) is None or place[1] is not None:
                raise ConfigurationError(
                    f"--allow-host {name!r} is not the name of a host. Example: --allow-host mcp.example.com"
                )
        for page in self.allowed_origins:
            if origin(page) is None:
                raise ConfigurationError(
                    f"--allow-origin {page!r} is not an origin. Example: --allow-origin https://app.example.com"
                )
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._check_host(family)
        for flag, name in (("--host", self.host), *(("--allow-host", name) for name in self.allowed_hosts)):
            if not is_loopback(name) and self.token is None:
                raise ConfigurationError(
                    f"{flag} {name} is reachable from other machines, so AIVIDEO_HTTP_TOKEN must be set. "
                    "Example: AIVIDEO_HTTP_TOKEN=a-long-random-text"
                )
        try:
            listener = socket.create_server((self.host, self.port), family=family)
        except (OSError, OverflowError) as fault:
            raise ConfigurationError(f"--port {self.port} cannot be listened on: {why_no_port(fault)}") from None
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else each small answer waits 40 ms for an ACK
        return listener

    def _check_host(self, family: socket.AddressFamily) -> None:
        """See that the host is this machine's, by taking any port of it; who may come there is asked after that.

        Raises:
            ConfigurationError: It is not.
        """
        try:
            with socket.socket(family) as probe:
                probe.bind((self.host, 0))
        except (OSError, UnicodeError):
            raise ConfigurationError(
                f"--host {self.host} is no address of this machine. Example: --host 127.0.0.1"
                " (0.0.0.0 for all of its addresses, which needs AIVIDEO_HTTP_TOKEN)"
            ) from None

    def url(self, listener: socket.socket) -> str:
        """What clients connect to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{listener.getsockname()[1]}{'/sse' if self.transport == 'sse' else '/mcp'}"

    @property
    def everywhere(self) -> bool:
        """Whether it listens on all of the machine's addresses, and so has no name of its own."""
        try:
            return not self.host or ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False

    @property
    def names(self) -> frozenset[str]:
        """The hosts by which clients may call, as `authority` gives them."""
        own = _LOOPBACK if self.everywhere or is_loopback(self.host) else frozenset[str]()
        given = (authority(f"[{name}]" if ":" in name else name) for name in (self.host, *self.allowed_hosts))
        return own | {place[0] for place in given if place and not (self.everywhere and place[0] == self.host)}
