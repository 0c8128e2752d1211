"""Files from public addresses: without the key, over connections of their own, not beyond the fence."""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx

from aivideo_mcp.client.cookies import NoCookies
from aivideo_mcp.client.fence import fenced_pool
from aivideo_mcp.errors import DownloadFailed, NetworkError, UnsafeAddress
from aivideo_mcp.settings import Settings
from aivideo_mcp.tasks import fault_of, origin_of

MOST_REDIRECTS: Final = 5
_LENGTH: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_PART: Final = re.compile(
    r"bytes +(?:(?P<start>[0-9]{1,18})-[0-9]{1,18}|\*)/(?P<total>[0-9]{1,18}|\*)", re.ASCII | re.IGNORECASE
)
_ETAG: Final = re.compile(r'"[\x21\x23-\x7e]*"')
_LONGEST_VALIDATOR: Final = 200  # characters


@dataclass(frozen=True, slots=True)
class Body:
    """A file, or a part of it, as its host sends it.

    Attributes:
        status: What the host answered.
        start: Where the first byte belongs in the file; None where no bytes of the file came.
        total: The whole file's length in bytes, where the host tells it.
        validator: What tells this version of the file from another (a strong ETag, else Last-Modified), where told.
        chunks: The bytes as they come. Raises NetworkError where they break off.
    """

    status: int
    start: int | None
    total: int | None
    validator: str | None
    chunks: AsyncIterator[bytes]


class Downloads:
    """The connections to file hosts. What goes through a proxy of the environment is resolved and connected there.

    Args:
        settings: Base URL, whose origin is allowed whatever it is, and user agent.
        verify: What certificates are checked by.
        timeout: Of each connect and each read.
        transport: Stands in for the network in tests.
    """

    def __init__(
        self,
        settings: Settings,
        verify: ssl.SSLContext,
        timeout: httpx.Timeout,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._home = origin_of(settings.base_url)
        self._http = httpx.AsyncClient(
            transport=transport,
            verify=verify,
            timeout=timeout,
            headers={"User-Agent": settings.user_agent, "Accept-Encoding": "identity"},
            follow_redirects=False,
            cookies=NoCookies(),
            trust_env=not settings.local_upstream,
        )
        if transport is None:  # set here, since a transport that is handed over puts the proxies off
            self._http._transport = _FencedTransport(_place(settings.base_url), verify)  # noqa: SLF001

    @asynccontextmanager
    async def open(self, url: str, start: int = 0, validator: str | None = None) -> AsyncIterator[Body]:
        """What is behind a public URL; a handful of redirects is followed, each judged like the URL itself.

        Args:
            url: Where the file is.
            start: The first byte that is wanted.
            validator: Of the version whose rest is wanted; the host sends another version whole.

        Raises:
            NetworkError: The host could not be reached, or broke off.
            UnsafeAddress: The URL, or one that it leads to, is not on the public internet.
            DownloadFailed: It cannot be asked at all, or packs what it sends.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and validator is not None:
            headers["If-Range"] = validator
        try:
            async with aclosing(await self._asked(url, headers)) as response:
                first, total = _extent(response)
                packed = response.headers.get("content-encoding", "").strip().lower() not in ("", "identity")
                if packed and first is not None:
                    raise DownloadFailed("The file host compressed the video although it was asked not to.")
                async with aclosing(_pieces(response)) as chunks:
                    yield Body(response.status_code, first, total, _validator(response), chunks)
        except httpx.HTTPError as fault:
            raise NetworkError(f"The download broke off ({named(fault)}).") from None

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _asked(self, url: str, headers: dict[str, str]) -> httpx.Response:
        """The answer that is no redirect. What a redirect says besides is not read: it knows no end."""
        try:
            request: httpx.Request | None = self._http.build_request("GET", self._vetted(url), headers=headers)
            for _ in range(MOST_REDIRECTS + 1):
                assert request is not None
                response = await self._http.send(request, stream=True)
                request = response.next_request
                if request is None:
                    return response
                await response.aclose()
                self._vetted(str(request.url))
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as fault:
            raise DownloadFailed(f"The file's address leads nowhere ({named(fault)}).") from None
        raise DownloadFailed(f"The file's address was redirected more than {MOST_REDIRECTS} times.")

    def _vetted(self, url: str) -> str:
        if fault := fault_of(url, self._home):
            raise UnsafeAddress(f"The file's address {fault}, so it is not fetched.")
        return url


class _FencedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport over a pool that connects to public addresses alone."""

    def __init__(self, home: tuple[str, int], verify: ssl.SSLContext) -> None:
        super().__init__(verify=verify)
        self._pool = fenced_pool(home, verify)


def named(fault: Exception) -> str:
    """A transport fault by its kind alone: its text may repeat what the other side sent, our key included."""
    return type(fault).__name__


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


async def _pieces(response: httpx.Response) -> AsyncGenerator[bytes]:
    try:
        async for piece in response.aiter_raw():
            yield piece
    except httpx.HTTPError as fault:
        raise NetworkError(f"The download broke off ({named(fault)}).") from None


def _extent(response: httpx.Response) -> tuple[int | None, int | None]:
    """Where a body starts in its file, and the file's length; None for what is not told or cannot be believed."""
    if response.status_code == httpx.codes.OK:
        length = response.headers.get("content-length", "")
        return 0, int(length) if _LENGTH.fullmatch(length) else None
    told = _PART.fullmatch(response.headers.get("content-range", "").strip())
    if told is None:
        return None, None
    total = None if told["total"] == "*" else int(told["total"])
    if response.status_code != httpx.codes.PARTIAL_CONTENT or told["start"] is None:
        return None, total
    return int(told["start"]), total


def _validator(response: httpx.Response) -> str | None:
    """What a part can be asked for with: a weak ETag is no use, nor what does not fit into a header."""
    etag = response.headers.get("etag", "")
    told = etag if _ETAG.fullmatch(etag) else response.headers.get("last-modified", "")
    return told if told.isascii() and told.isprintable() and 0 < len(told) <= _LONGEST_VALIDATOR else None
