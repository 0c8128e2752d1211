"""How a call goes out to the upstream: with the key, through the gate, repeated as set, its answer judged."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio
import anyio.to_thread

from aivideo_mcp.errors import AuthFailed, RateLimited
from aivideo_mcp.settings import Settings
from aivideo_mcp.tasks import origin_of

if TYPE_CHECKING:  # httpx comes with these two; it is imported at the first call, in a thread
    import httpx

    from aivideo_mcp.client.exchange import Exchange

LONGEST_QUIET: Final = 120.0  # seconds of Retry-After that are kept at most before asking again
LARGE: Final = 256 * 1024  # bytes of JSON from which on it is written and read in a thread
_SANDBOX_HEADER: Final = "aivideo-sandbox"


class Gate(Protocol):
    """What queries pass on their way out: a budget that all servers on the machine share."""

    async def admit(self, speed: float, *, direct: bool) -> None:
        """Count a query; raises RateLimited when it may not be made now."""

    async def hush(self, seconds: float) -> None:
        """Keep queries back for so long."""


class _NoGate:
    async def admit(self, speed: float, *, direct: bool) -> None:
        """Every query may be made."""

    async def hush(self, seconds: float) -> None:
        """Nobody is kept back."""


class Connection:
    """The connection pool, opened at the first call; `aclose` it at the end.

    Args:
        settings: Key, base URL, time-out, retries.
        transport: Stands in for the network in tests.
        now: Wall clock, UTC, for a Retry-After that is a date in an answer that has none.
        gate: What queries pass; all of them where left out.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        gate: Gate | None = None,
    ) -> None:
        self._settings = settings
        self._home = origin_of(settings.base_url)
        self._transport = transport
        self._now = now
        self._gate = gate or _NoGate()
        self._opening = anyio.Lock()
        self._exchange: Exchange | None = None
        self.sandbox_speed: float | None = None
        """How much faster than real time the upstream runs, once it has said that it is a sandbox."""
        self.date: datetime | None = None
        """What time it was for the upstream when it last answered; None where it did not say."""

    async def exchange(self) -> Exchange:
        """The connection pool, for downloads, which need no key."""
        if self._exchange is None:
            async with self._opening:
                if self._exchange is None:
                    self._exchange = await anyio.to_thread.run_sync(self._open)
        return self._exchange

    async def aclose(self) -> None:
        """Close what was opened."""
        if self._exchange is not None:
            await self._exchange.aclose()

    def _open(self) -> Exchange:
        from aivideo_mcp.client.exchange import open_exchange  # noqa: PLC0415 - brings httpx, 0.1 s

        return open_exchange(self._settings, self._transport)

    async def _connected(self) -> Exchange:
        if self._settings.api_key is None:
            raise AuthFailed(
                "No API key is set (AIVIDEO_API_KEY is missing or an example's text), so nothing was sent."
            )
        return await self.exchange()

    @property
    def _tries(self) -> int:
        return self._settings.max_retries + 1

    async def _query(self, path: str, *, tries: int | None = None, state_alone: bool = False) -> dict[str, Any]:
        """A look at the upstream, each try counted by the gate; repeated as set, or up to `tries` times.

        A call without `tries` is a caller's own; the watcher names how often it tries.
        """
        exchange = await self._connected()

        async def attempt() -> dict[str, Any]:
            await self._gate.admit(self.sandbox_speed or 1.0, direct=tries is None)
            try:
                return await self._once(exchange, "GET", path, state_alone=state_alone)
            except RateLimited as limited:
                await self._gate.hush(min(limited.retry_after or 0.0, LONGEST_QUIET))
                raise

        return await exchange.repeat(attempt, self._tries if tries is None else tries)

    async def _once(
        self,
        exchange: Exchange,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        state_alone: bool = False,
    ) -> dict[str, Any]:
        from aivideo_mcp.client.exchange import MAX_ANSWER, SMALL_ANSWER  # noqa: PLC0415 - loaded by now
        from aivideo_mcp.client.judging import judge, read_date  # noqa: PLC0415 - the same

        assert self._settings.api_key is not None
        sent = {"key": self._settings.api_key, "Accept": "application/json", **(headers or {})}
        if content is not None:
            sent["Content-Type"] = "application/json"
        ceiling = MAX_ANSWER if path.startswith("/tasks") and not state_alone else SMALL_ANSWER
        reply = await exchange.send(method, "/api/v1" + path, sent, content, ceiling)
        self._notice_sandbox(reply.headers.get(_SANDBOX_HEADER))
        self.date = read_date(reply.headers.get("date", ""))
        verdict = functools.partial(
            judge, reply, now=self.date or self._now(), secret=self._settings.api_key, state_alone=state_alone
        )
        return await anyio.to_thread.run_sync(verdict) if len(reply.body) > LARGE else verdict()

    def _notice_sandbox(self, header: str | None) -> None:
        if header is not None and self._settings.local_upstream:
            try:
                speed = float(header.removeprefix("speed="))
            except ValueError:
                speed = 1.0
            self.sandbox_speed = min(max(speed, 0.001), 1e6) if math.isfinite(speed) else 1.0
