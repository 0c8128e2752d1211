"""What a waiting caller is told: each change at once, and something every ten seconds in any case."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio

from aivideo_mcp.client import Upstream
from aivideo_mcp.contracts import MODELS
from aivideo_mcp.errors import AivideoError
from aivideo_mcp.tasks import Task
from aivideo_mcp.watcher import News

HEARTBEAT: Final = 10.0  # seconds between two messages at most

Tell = Callable[[str], Awaitable[None]]
T = TypeVar("T")
logger = logging.getLogger(__name__)


class Report:
    """Keeps the caller informed about one task, which is so many seconds old."""

    def __init__(self, task: Task, tell: Tell, upstream: Upstream, age: float) -> None:
        self.status: str = task.status
        self._task = task
        self._tell = tell
        self._upstream = upstream
        self._weather: str | None = None
        self._told_at = anyio.current_time()
        self._started = self._told_at - age

    async def notice(self, news: News) -> None:
        """Take what the watcher saw; a change is told at once."""
        changed = news.status not in (None, self.status) or (news.weather is None) != (self._weather is None)
        self.status = news.status or self.status
        self._weather = news.weather
        if changed:
            await self._say()

    async def beat(self) -> None:
        """Say something every HEARTBEAT seconds, for as long as nothing else is said."""
        while True:
            due = self._told_at + HEARTBEAT
            await anyio.sleep_until(due)
            if self._told_at + HEARTBEAT <= due:
                await self._say()

    async def _say(self) -> None:
        self._told_at = anyio.current_time()
        contract = MODELS.get(self._task.model or "")
        usual = contract.usual if contract else None
        parts = [f"{self.status}: {_spoken(self._told_at - self._started)} so far"]
        if contract and usual:
            parts.append(f"{self._task.model} usually takes {usual[0]:g} to {usual[1]:g} min")
        if self._upstream.sandbox_speed:
            parts.append(f"sandbox, {self._upstream.sandbox_speed:g} times faster")
        if self._weather:
            parts.append(f"the last look failed and is repeated ({self._weather})")
        parts.append(f"task {self._task.id}")
        await self._tell("; ".join(parts))


def harmless(tell: Tell) -> Tell:
    """A teller whose failure costs no video: stderr may be full, a client may have gone."""

    async def told(message: str) -> None:
        try:
            await tell(message)
        except Exception:
            logger.exception("a progress message could not be delivered")

    return told


async def told_meanwhile(work: Awaitable[T], tell: Tell, words: str) -> T:
    """The result of work that may be slow, with a message every HEARTBEAT seconds until it is there.

    Raises:
        AivideoError: The one that the work raises.
    """
    started = anyio.current_time()
    result: T | AivideoError

    async def beat() -> None:
        while True:
            await anyio.sleep(HEARTBEAT)
            await tell(f"{words}; {_spoken(anyio.current_time() - started)} so far")

    async with anyio.create_task_group() as group:
        group.start_soon(beat)
        try:
            result = await work
        except AivideoError as failure:  # not as one of a group
            result = failure
        group.cancel_scope.cancel()
    if isinstance(result, AivideoError):
        raise result
    return result


def _spoken(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
