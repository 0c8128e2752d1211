"""Who is let in: by the Host they call, the page that calls, the token they carry."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Final

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from aivideo_mcp.transports.address import Address, authority, origin

Refusal = Callable[[Scope], Response | None]

_FORWARDED: Final = frozenset({b"forwarded", b"x-forwarded-for", b"x-forwarded-host"})
_ELSEWHERE: Final = frozenset({b"cross-site", b"same-site"})


class Gate:
    """Passes on the requests for which there is no refusal."""

    def __init__(self, app: ASGIApp, refusal: Refusal) -> None:
        self._app = app
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        await (refusal or self._app)(scope, receive, send)


def bearer(token: str) -> Refusal:
    """Refuses requests that do not carry the token, in a time that tells nothing of it."""
    expected = hashlib.sha256(token.encode()).digest()

    def refusal(scope: Scope) -> Response | None:
        given = [_bearer(value) for value in _values(scope, b"authorization")]
        digest = hashlib.sha256(given[0] if given else b"").digest()
        if len(given) == 1 and hmac.compare_digest(digest, expected):
            return None
        asked = 'Bearer realm="aivideo-mcp"' + (', error="invalid_token"' if given else "")
        return JSONResponse({"error": "a bearer token is required"}, 401, {"WWW-Authenticate": asked})

    return refusal


def _bearer(header: bytes) -> bytes:
    scheme, _, token = header.partition(b" ")
    return token.strip(b" ") if scheme.lower() == b"bearer" else b""


def local(scope: Scope) -> Response | None:
    """Refuses requests that a proxy brings: without a token this server is for its own machine."""
    if _FORWARDED.isdisjoint(name for name, _ in scope["headers"]):
        return None
    return PlainTextResponse("Behind a proxy this server needs AIVIDEO_HTTP_TOKEN.", 403)


def site(address: Address) -> Refusal:
    """Refuses names that are not ours, by which a page could reach us through its own domain, and other pages.

    A page may call if it comes from the host that it calls, or from an allowed host, or is allowed itself.
    """
    names = address.names
    pages = {origin(text) for text in address.allowed_origins}
    hosts = {place[0] for text in address.allowed_hosts if (place := authority(text))}

    def refusal(scope: Scope) -> Response | None:
        places = [authority(value.decode("latin-1")) for value in _values(scope, b"host")]
        place = places[0] if len(places) == 1 else None
        here = {scope["server"][0]} if address.everywhere and scope.get("server") else set()
        if place is None or place[0] not in names | here:
            return PlainTextResponse("This is not a host of this server.", 421)
        origins = [origin(value.decode("latin-1")) for value in _values(scope, b"origin")]
        if not origins:
            if _ELSEWHERE.isdisjoint(_values(scope, b"sec-fetch-site")):
                return None
        elif len(origins) == 1 and (page := origins[0]):
            scheme, name, port = page
            same = scheme in ("http", "https") and (page == origin(f"{scheme}://{_text(place)}"))
            if page in pages or same or (name in hosts and scheme in ("http", "https") and port is None):
                return None
        return PlainTextResponse("Pages from elsewhere are not let in.", 403)

    return refusal


def _text(place: tuple[str, int | None]) -> str:
    name, port = place
    return (f"[{name}]" if ":" in name else name) + (f":{port}" if port is not None else "")


def _values(scope: Scope, name: bytes) -> list[bytes]:
    return [value for key, value in scope["headers"] if key == name]
