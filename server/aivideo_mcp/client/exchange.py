"""One exchange with the upstream over HTTP: bounded in time and size, and repeated where that is safe.

The only module that imports httpx (and tenacity, which does the repeating); `upstream` imports it in a worker
thread at the first call, so that neither costs anything at start.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
import httpx
import tenacity

from aivideo_mcp.errors import (
    AivideoError,
    BrokenAnswer,
    BudgetSpent,
    DownloadFailed,
    NetworkError,
    NotSent,
    RateLimited,
    Redirected,
    UnknownError,
)
from aivideo_mcp.settings import Settings

T = TypeVar("T")

MAX_ANSWER: Final = 64 * 1024 * 1024  # bytes; a task may echo four 10 MB pictures in its input
SMALL_ANSWER: Final = 1024 * 1024  # bytes; no other answer is near that
_ANY_ZIP: Final = 47  # zlib's word for "gzip or zlib, whichever it is"
PATIENCE: Final = 10.0  # seconds of Retry-After that a direct call sits out; beyond it the caller is told
_LAST_START: Final = 25.0  # seconds after which no further try starts: most clients give up at 60
_UPLOAD_RATE: Final = 128 * 1024  # bytes a second that a slow line still manages
_LENGTH: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_PART: Final = re.compile(
    r"bytes +(?:(?P<start>[0-9]{1,18})-[0-9]{1,18}|\*)/(?P<total>[0-9]{1,18}|\*)", re.ASCII | re.IGNORECASE
)
_ETAG: Final = re.compile(r'"[\x21\x23-\x7e]*"')
_LONGEST_VALIDATOR: Final = 200  # characters
_CONNECT_SHARE: Final = 0.8  # of the time-out, so that "could not connect" is known before "no answer"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: status line, headers with lower-case names, the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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


class Exchange:
    """The connection pool. The key is a header of single requests to the base URL, never of the pool.

    Args:
        settings: Base URL, time-out, retries, user agent.
        transport: Stands in for the network in tests.
    """

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        self._http = httpx.AsyncClient(
            transport=transport,
            timeout=httpx.Timeout(settings.timeout, connect=settings.timeout * _CONNECT_SHARE),
            headers={"User-Agent": settings.user_agent, "Accept-Encoding": "identity"},
            follow_redirects=False,
            trust_env=not settings.local_upstream,  # a proxy is for the internet, not for a sandbox on this machine
        )

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | None = None,
        ceiling: int = MAX_ANSWER,
    ) -> Reply:
        """One request to the base URL's origin, one reply, inside the time-out (longer for large uploads).

        Raises:
            NotSent: No connection could be made.
            NetworkError: It was sent, or may have been, and no whole reply came.
            BrokenAnswer: The reply is larger than the ceiling, in bytes, or compressed in a way that we do not know.
        """
        deadline = self._settings.timeout + len(content or b"") / _UPLOAD_RATE
        request = self._http.build_request(
            method, self._settings.base_url + path, headers=dict(headers), content=content
        )
        try:
            with anyio.fail_after(deadline):
                response = await self._http.send(request, stream=True)
                try:
                    body = await _bounded(response, ceiling)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise NetworkError(f"The upstream gave no complete answer within {deadline:.0f} s.") from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as fault:
            raise NotSent(f"The upstream could not be reached: {_connecting(fault)}. Nothing was sent.") from None
        except httpx.HTTPError as fault:
            raise NetworkError(f"The connection broke before the answer was complete ({_named(fault)}).") from None
        return Reply(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)

    async def repeat(self, attempt: Callable[[], Awaitable[T]], tries: int) -> T:
        """Make an attempt up to `tries` times: capped, jittered exponential pauses; Retry-After where one came.

        Only for what may be repeated. Transport faults, 5xx, broken answers and short rate limits are tried
        again; all else, and the last failure, is raised as it is.
        """
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(tries) | tenacity.stop_before_delay(_LAST_START),
            wait=_pause,
            retry=tenacity.retry_if_exception(_may_pass),
            sleep=anyio.sleep,
            reraise=True,
        )
        async for trying in retrying:
            with trying:
                return await attempt()
        raise AssertionError("tenacity ends with a result or an exception")

    @asynccontextmanager
    async def download(self, url: str, start: int = 0, validator: str | None = None) -> AsyncIterator[Body]:
        """What is behind a public URL; redirects are followed, since the key is not sent along.

        Args:
            url: Where the file is.
            start: The first byte that is wanted.
            validator: Of the version whose rest is wanted; the host sends another version whole.

        Raises:
            NetworkError: The host could not be reached, or broke off.
            DownloadFailed: It cannot be asked at all, or packs what it sends.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        if start and validator is not None:
            headers["If-Range"] = validator
        try:
            async with self._http.stream("GET", url, headers=headers, follow_redirects=True) as response:
                first, total = _extent(response)
                packed = response.headers.get("content-encoding", "").strip().lower() not in ("", "identity")
                if packed and first is not None:
                    raise DownloadFailed("The file host compressed the video although it was asked not to.")
                async with aclosing(_pieces(response)) as chunks:
                    yield Body(response.status_code, first, total, _validator(response), chunks)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.TooManyRedirects) as fault:
            raise DownloadFailed(f"The file's address leads nowhere ({_named(fault)}).") from None
        except httpx.HTTPError as fault:
            raise NetworkError(f"The download broke off ({_named(fault)}).") from None

    async def aclose(self) -> None:
        """Close the pool."""
        await self._http.aclose()


async def _bounded(response: httpx.Response, ceiling: int) -> bytes:
    """The body, unpacked by us where the upstream packs it against our wish: httpx's own way knows no limit."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        raise BrokenAnswer("The upstream compressed its answer although it was asked not to.")
    unpack = zlib.decompressobj(_ANY_ZIP) if encoding in ("gzip", "deflate") else None
    body = bytearray()
    async for chunk in response.aiter_raw():
        try:
            body += chunk if unpack is None else unpack.decompress(chunk, ceiling + 1)
        except zlib.error:
            raise BrokenAnswer("The upstream's answer cannot be unpacked.") from None
        if len(body) > ceiling or (unpack is not None and unpack.unconsumed_tail):
            raise BrokenAnswer(f"The upstream's answer is larger than {ceiling // 2**20} MiB.")
    return bytes(body)


async def _pieces(response: httpx.Response) -> AsyncGenerator[bytes]:
    try:
        async for piece in response.aiter_raw():
            yield piece
    except httpx.HTTPError as fault:
        raise NetworkError(f"The download broke off ({_named(fault)}).") from None


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


def _may_pass(fault: BaseException) -> bool:
    if isinstance(fault, BudgetSpent):
        return False
    if isinstance(fault, RateLimited):
        return fault.retry_after is None or fault.retry_after <= PATIENCE
    return isinstance(fault, NetworkError | UnknownError) and not isinstance(fault, Redirected)


_backoff = tenacity.wait_random_exponential(multiplier=0.5, max=8)


def _pause(state: tenacity.RetryCallState) -> float:
    fault = state.outcome.exception() if state.outcome else None
    asked = fault.retry_after if isinstance(fault, AivideoError) else None
    return max(asked or 0.0, _backoff(state))


def _named(fault: Exception) -> str:
    """A transport fault by its kind alone: its text may repeat what the other side sent, our key included."""
    return type(fault).__name__


def _connecting(fault: Exception) -> str:
    """A fault before anything was sent or received; its text is the operating system's."""
    return f"{type(fault).__name__}{': ' if str(fault) else ''}{str(fault)[:200]}"
