"""The seven calls of AIVideoMaker's API, and which of them may be repeated.

account, quote, tasks, task and status change nothing and are repeated until they succeed or the tries are spent.
create and cancel are sent once.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar
from urllib.parse import quote

import anyio
import anyio.to_thread

from aivideo_mcp.contracts import Contract
from aivideo_mcp.errors import (
    AuthFailed,
    BrokenAnswer,
    NetworkError,
    NotSent,
    RateLimited,
    Redirected,
    SubmissionUncertain,
)
from aivideo_mcp.settings import Settings
from aivideo_mcp.tasks import Account, Listed, Quote, Sighting, Status, Submission, Task, origin_of, read_word

if TYPE_CHECKING:  # httpx comes with these two; it is imported at the first call, in a thread
    import httpx

    from aivideo_mcp.client.exchange import Exchange

T = TypeVar("T")

LONGEST_QUIET: Final = 120.0  # seconds of Retry-After that are kept at most before asking again
_LARGE: Final = 256 * 1024  # bytes of JSON from which on it is written and read in a thread
_SANDBOX_HEADER: Final = "aivideo-sandbox"
_REPLAYED: Final = "minimax"  # the one model whose create declares the Idempotency-Key


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


class Upstream:
    """The upstream as an object; create it once, `aclose` it at the end.

    Args:
        settings: Key, base URL, time-out, retries.
        transport: Stands in for the network in tests.
        now: Wall clock, UTC.
        gate: What queries pass; all of them where left out.

    Every call raises AuthFailed without a key, and the AivideoError that a failed answer means.
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

    async def account(self, *, tries: int | None = None) -> Account:
        """Balance and models served. Free."""
        return Account.read(await self._query("/account", tries=tries))

    async def quote(self, request: Contract) -> Quote:
        """The upstream's own price of a request. Free.

        Raises:
            BrokenAnswer: When the answer names no price.
        """
        path, content = f"/quote/{_segment(request.model)}", await _encoded(request)
        exchange = await self._connected()
        body = await exchange.repeat(lambda: self._once(exchange, "POST", path, content), self._tries)
        return _present(Quote.read(body, request.model), "price")

    async def create(self, request: Contract, idempotency_key: str, max_credits: int | None = None) -> Submission:
        """Create a task. Charges at once; sent exactly once.

        Raises:
            NotSent: The request never left.
            SubmissionUncertain: It left, and no answer tells whether it was taken.
        """
        headers = {"Idempotency-Key": idempotency_key}
        if max_credits is not None:
            headers["X-Max-Credits"] = str(max_credits)
        path, content = f"/generate/{_segment(request.model)}", await _encoded(request)
        exchange = await self._connected()
        try:
            body = await self._once(exchange, "POST", path, content, headers)
            return _present(Submission.read(body, request.model, idempotency_key), "task id")
        except NotSent:
            raise
        except (NetworkError, BrokenAnswer, Redirected) as lost:
            raise _uncertain(idempotency_key, lost.message) from None

    @staticmethod
    def replays(model: str) -> bool:
        """Whether a model's create declares the Idempotency-Key, so that repeating it cannot charge again."""
        return model == _REPLAYED

    async def tasks(self, *, tries: int | None = None, whole: bool = False) -> list[Listed]:
        """This key's tasks, newest first; entries that are no tasks are left out.

        Raises:
            BrokenAnswer: There is no list, or, where the whole is asked for, an entry that cannot be read.
        """
        entries = (await self._query("/tasks", tries=tries)).get("tasks")
        if not isinstance(entries, list):
            raise BrokenAnswer("The upstream's answer holds no list of tasks.")
        read = [Listed.read(entry, self._home) if isinstance(entry, dict) else None for entry in entries]
        if whole and None in read:
            raise BrokenAnswer("The upstream's list of tasks cannot be read to its end.")
        return [listed for listed in read if listed]

    async def task(self, task_id: str, *, tries: int | None = None) -> Task:
        """One task with its output.

        Raises:
            BrokenAnswer: When the answer is no task, or another one.
        """
        body = await self._query(f"/tasks/{_segment(task_id)}", tries=tries)
        task = _present(Task.read(body, self._home), "task")
        if task.id != task_id:
            raise BrokenAnswer("The upstream answered with another task than the one that was asked for.")
        return task

    async def status(self, task_id: str, *, tries: int | None = None) -> Sighting:
        """One task's state, and nothing else."""
        body = await self._query(f"/tasks/{_segment(task_id)}/status", tries=tries, state_alone=True)
        return Sighting(id=task_id, status=_present(read_word(body.get("status")), "status"))

    async def cancel(self, task_id: str) -> Status:
        """Ask for a cancel, once; the state that the answer names (CANCEL when it worked)."""
        exchange = await self._connected()
        body = await self._once(exchange, "PUT", f"/tasks/{_segment(task_id)}/cancel")
        return Status.read(body.get("status"))

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
        from aivideo_mcp.client.judging import judge  # noqa: PLC0415 - the same

        assert self._settings.api_key is not None
        sent = {"key": self._settings.api_key, "Accept": "application/json", **(headers or {})}
        if content is not None:
            sent["Content-Type"] = "application/json"
        ceiling = MAX_ANSWER if path.startswith("/tasks") and not state_alone else SMALL_ANSWER
        reply = await exchange.send(method, "/api/v1" + path, sent, content, ceiling)
        self._notice_sandbox(reply.headers.get(_SANDBOX_HEADER))
        verdict = functools.partial(
            judge, reply, now=self._now(), secret=self._settings.api_key, state_alone=state_alone
        )
        return await anyio.to_thread.run_sync(verdict) if len(reply.body) > _LARGE else verdict()

    def _notice_sandbox(self, header: str | None) -> None:
        if header is not None and self._settings.local_upstream:
            try:
                speed = float(header.removeprefix("speed="))
            except ValueError:
                speed = 1.0
            self.sandbox_speed = min(max(speed, 0.001), 1e6) if math.isfinite(speed) else 1.0


def _segment(text: str) -> str:
    """A text as one path segment; dots alone would be taken for a way through the path."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")


async def _encoded(request: Contract) -> bytes:
    """The request's wire body as JSON; large ones, which hold pictures, in a thread."""
    wire = request.wire()
    if sum(len(str(value)) for value in wire.values()) < _LARGE:
        return json.dumps(wire).encode()
    return await anyio.to_thread.run_sync(lambda: json.dumps(wire).encode())


def _present(value: T | None, what: str) -> T:
    if value is None:
        raise BrokenAnswer(f"The upstream's answer holds no {what}.")
    return value


def _uncertain(key: str, why: str) -> SubmissionUncertain:
    return SubmissionUncertain(
        f"The create was sent, but its answer was lost: {why} The task may exist and may have been charged"
        f' (idempotency key "{key}").'
    )
