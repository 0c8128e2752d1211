"""Why no connection could be made, in words that say what to do.

Causes are told by exception type and by what the operating system said, since texts differ by platform.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from aivideo_mcp.errors import NotSent
from aivideo_mcp.settings import Settings

ONLINE: Final = "Check that this machine is online, and AIVIDEO_BASE_URL."
_PROXY: Final = "Check HTTPS_PROXY, ALL_PROXY and NO_PROXY."


def not_connected(fault: BaseException, settings: Settings, *, proxied: bool) -> NotSent:
    """The failure of a request that never left.

    Args:
        fault: What httpx raised.
        settings: Base URL and time-out.
        proxied: Whether it was to go through a proxy of the environment.
    """
    finding, advice = _unconnected(fault, settings, proxied=proxied)
    told = f"The upstream could not be reached: {finding}. Nothing was sent."
    return NotSent(told, next_steps=(advice, *NotSent.advice))


def not_set_up(fault: Exception) -> NotSent:
    """The failure of a connection pool that the environment's proxies or certificates keep from being made."""
    if isinstance(fault, ImportError):
        finding, advice = "the environment names a SOCKS proxy, and only HTTP proxies are spoken to", _PROXY
    elif isinstance(fault, OSError):
        finding = f"the certificates of the environment cannot be read ({fault.strerror or type(fault).__name__})"
        advice = "Check SSL_CERT_FILE and SSL_CERT_DIR."
    else:
        finding, advice = "what the environment names as a proxy is no proxy's address", _PROXY
    return NotSent(f"No connection can be made: {finding}. Nothing was sent.", next_steps=(advice, *NotSent.advice))


def _unconnected(fault: BaseException, settings: Settings, *, proxied: bool) -> tuple[str, str]:
    """What kept a connection from being made, and what to do."""
    address = urlsplit(settings.base_url)
    found = list(causes(fault))
    secure = next((cause for cause in found if isinstance(cause, ssl.SSLError)), None)
    if any(type(cause).__name__ == "ProxyError" for cause in found):
        return f"the proxy does not let us through ({_named(fault)})", _PROXY
    if isinstance(secure, ssl.SSLCertVerificationError):
        finding = f"the certificate of {address.hostname} is not trusted (TLS): {secure.verify_message.rstrip('.')}"
        return finding, "Check this machine's clock and, behind a proxy that reads along, SSL_CERT_FILE."
    if secure is not None:
        finding = f"no secure connection to {address.netloc} (TLS): {secure.reason or 'the handshake failed'}"
        return finding, "Check the port and the https in AIVIDEO_BASE_URL, and any proxy in between."
    where, advice = address.netloc, ONLINE
    if proxied:
        where, advice = "the proxy that the environment names", _PROXY
    if any(isinstance(cause, socket.gaierror) for cause in found):
        name = where if proxied else f"the name {address.hostname}"
        return f"{name} cannot be resolved (DNS)", advice
    if any(isinstance(cause, ConnectionRefusedError) for cause in found):
        advice = "Start it, or mend AIVIDEO_BASE_URL." if settings.local_upstream else advice
        return f"{where} refuses connections: nothing listens there", advice
    if any(isinstance(cause, TimeoutError) for cause in found):
        finding = f"no connection to {where} within {settings.timeout:g} s (time-out)"
        return finding, f"{advice} A firewall may be in the way."
    why = next((cause.strerror for cause in found if isinstance(cause, OSError) and cause.strerror), None)
    return f"no connection to {where} ({why or _named(fault)})", advice


def _named(fault: BaseException) -> str:
    """A fault before anything was sent or received; its text is the operating system's, or a proxy's answer."""
    return f"{type(fault).__name__}{': ' if str(fault) else ''}{str(fault)[:200]}"


def causes(fault: BaseException) -> Iterator[BaseException]:
    """A fault and all that led to it."""
    seen: list[BaseException] = []
    pending: list[BaseException | None] = [fault]
    while pending:
        it = pending.pop()
        if it is None or it in seen:
            continue
        seen.append(it)
        yield it
        pending += [it.__cause__, it.__context__]
        pending += it.exceptions if isinstance(it, BaseExceptionGroup) else ()
