"""One exchange with the upstream over HTTP: bounded in time and size, and repeated where that is safe.

One of the two modules that import httpx (and the one for tenacity, which does the repeating); `connection` imports it
in a worker thread at the first call, so that neither costs anything at start.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio
import httpx
import tenacity

from aivideo_mcp.client.connecting import not_connected, not_set_up
from aivideo_mcp.client.cookies import NoCookies
from aivideo_mcp.client.downloads import Downloads, named
from aivideo_mcp.errors import (
    AivideoError,
    BrokenAnswer,
    BudgetSpent,
    NetworkError,
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
_CONNECT_SHARE: Final = 0.8  # of the time-out, so that "could not connect" is known before "no answer"


def open_exchange(settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> Exchange:
    """The connection pool.

    Raises:
        NotSent: What the environment says of proxies or certificates cannot be used.
    """
    try:
        return Exchange(settings, transport)
    except (httpx.InvalidURL, ValueError, ImportError, OSError) as fault:
        raise not_set_up(fault) from None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: status line, headers with lower-case names, the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Exchange:
    """The connection pool. The key is a header of single requests to the base URL, never of the pool.

    Args:
        settings: Base URL, time-out, retries, user agent.
        transport: Stands in for the network in tests.
    """

    def __init__(self, settings: Settings, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._settings = settings
        trusting = not settings.local_upstream  # a proxy is for the internet, not for a sandbox on this machine
        verify = ssl.SSLContext(
            ssl.PROTOCOL_TLS_CLIENT
        )  # believes no certificate, which a test's transport needs none of
        if transport is None:
            verify = httpx.create_ssl_context(trust_env=trusting)
        timeout = httpx.Timeout(settings.timeout, connect=settings.timeout * _CONNECT_SHARE)
        self._http = httpx.AsyncClient(
            transport=transport,
            verify=verify,
            timeout=timeout,
            headers={"User-Agent": settings.user_agent, "Accept-Encoding": "identity"},
            follow_redirects=False,
            cookies=NoCookies(),
            trust_env=trusting,
        )
        self._downloads = Downloads(settings, verify, timeout, transport)
        self.download = self._downloads.open

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
            raise not_connected(fault, self._settings, proxied=self._proxied) from None
        except httpx.HTTPError as fault:
            raise NetworkError(f"The connection broke before the answer was complete ({named(fault)}).") from None
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

    @property
    def _proxied(self) -> bool:
        """Whether requests go through a proxy that the environment names."""
        its = self._http._transport_for_url(httpx.URL(self._settings.base_url))  # noqa: SLF001 - it knows the rules
        return its is not self._http._transport  # noqa: SLF001

    async def aclose(self) -> None:
        """Close the pools."""
        await self._http.aclose()
        await self._downloads.aclose()


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
