"""One download across breaks: resumed where the host takes part, started again where the file became another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

import anyio

from aivideo_mcp.errors import DownloadFailed, NetworkError
from aivideo_mcp.ledger import InThread
from aivideo_mcp.media.expiry import Expiry
from aivideo_mcp.media.places import Partial

if TYPE_CHECKING:  # httpx comes with it
    from aivideo_mcp.client.downloads import Body
    from aivideo_mcp.client.exchange import Exchange

MAX_VIDEO: Final = 2 * 1024**3  # bytes; no model makes videos near this size
PAUSES: Final = (0.5, 1.0, 2.0, 4.0)  # seconds between the tries of one save
_BATCH: Final = 256 * 1024  # bytes that are written in one go
_PART: Final = 206
_NO_SUCH_PART: Final = 416
_GONE: Final = (403, 404, 410)
_PASSING: Final = (408, 425, 429)  # beside 5xx: the same request may be answered later


@dataclass(frozen=True, slots=True)
class Version:
    """Which file the bytes in a partial are from, as far as the host told."""

    total: int | None = None
    validator: str | None = None

    def differs(self, other: Version) -> bool:
        """Whether two answers are surely from two files."""
        if None not in (self.total, other.total) and self.total != other.total:
            return True
        one, two = self.validator, other.validator
        return bool(one and two and one != two and one.startswith('"') == two.startswith('"'))  # an ETag is no date

    def with_rest(self, rest: Version) -> Version:
        """What is known when the rest was answered with less than the beginning."""
        return Version(rest.total if self.total is None else self.total, rest.validator or self.validator)


class Fetch:
    """Brings a file into a partial.

    Args:
        exchange: The connection pool.
        url: Where the file is.
        partial: What is there of it.
        version: What was told of it when that came.
        expiry: When the host may delete it.
        heard: Called as bytes come, with how many there are and how many it will be.
        in_thread: Runs what blocks.
    """

    def __init__(
        self,
        exchange: Exchange,
        url: str,
        partial: Partial,
        version: Version,
        *,
        expiry: Expiry,
        heard: Callable[[int, int | None], Awaitable[None]],
        in_thread: InThread,
    ) -> None:
        self._exchange = exchange
        self._url = url
        self._partial = partial
        self.version = version
        self._expiry = expiry
        self._heard = heard
        self._run_sync = in_thread

    async def run(self) -> None:
        """Fetch what is missing, in a few tries.

        Raises:
            DownloadFailed: The host does not give it, or every try broke off.
            OSError: It cannot be written.
        """
        for pause in (*PAUSES, None):
            try:
                return await self._once()
            except NetworkError as broken:
                if pause is None:
                    raise DownloadFailed(broken.message, next_steps=_go_on(self._partial.size)) from None
                await anyio.sleep(pause)
        raise AssertionError("the last try ends it")

    async def _once(self) -> None:
        """One request.

        Raises:
            NetworkError: It did not bring everything; the next one may.
        """
        have = self._partial.size
        async with self._exchange.download(self._url, have, self.version.validator) as body:
            told = Version(body.total, body.validator)
            if body.status == _NO_SUCH_PART and have and body.total == have and not self.version.differs(told):
                return  # it was whole already
            if body.start is None and not (have and body.status in (_PART, _NO_SUCH_PART)):
                await self._refuse(body.status)
            elif body.start not in (0, have):
                await self._restart("The file host sent another part than it was asked for.")
            elif body.start == have != 0:
                if self.version.differs(told) or (body.total or have) < have:
                    await self._restart("The file changed at its host.")
                told = self.version.with_rest(told)
            elif have:  # a host that knows no parts
                await self._in_thread(self._partial.restart)
            self.version = told
            await self._take(body)

    async def _take(self, body: Body) -> None:
        total = self.version.total
        if (total or 0) > MAX_VIDEO:
            await self._too_large()
        batch = bytearray()
        try:
            async for chunk in body.chunks:
                batch += chunk
                if self._partial.size + len(batch) > min(MAX_VIDEO, total or MAX_VIDEO):
                    break
                if len(batch) >= _BATCH:
                    ready, batch = batch, bytearray()
                    await self._write(ready)
                await self._heard(self._partial.size + len(batch), total)
        except NetworkError:
            await self._write(batch)
            raise
        size = self._partial.size + len(batch)
        if size > MAX_VIDEO:
            await self._too_large()
        if total is not None and size > total:
            await self._restart("The file host sent more than it had announced.")
        await self._write(batch)
        if total is not None and size < total:
            raise NetworkError("The download broke off before the file was whole.")

    async def _write(self, batch: bytearray) -> None:
        await self._in_thread(lambda: self._partial.append(batch))

    async def _restart(self, why: str) -> NoReturn:
        await self._in_thread(self._partial.restart)
        raise NetworkError(why)

    async def _too_large(self) -> NoReturn:
        await self._in_thread(self._partial.discard)
        raise DownloadFailed(f"The file is larger than {MAX_VIDEO:,} bytes.")

    async def _refuse(self, status: int) -> NoReturn:
        if status in _PASSING or status >= 500:  # noqa: PLR2004 - as the standard has it
            raise NetworkError(f"The file host answered {status}.")
        if status in _GONE and self._expiry.passed():
            await self._in_thread(self._partial.discard)
            raise self._expiry.failure()
        raise DownloadFailed(f"The file host answered {status}.")

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await self._run_sync(work)


def _go_on(size: int) -> tuple[str, ...]:
    kept = f"; the {size:,} bytes that came are kept" if size else ""
    return (f"Call download_video with this taskId to go on with the download{kept}.", *DownloadFailed.advice)
