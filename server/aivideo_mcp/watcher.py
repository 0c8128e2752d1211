"""When to ask how a task is doing, and when it has ended.

Errors while asking are weather: a 429, a 5xx or a broken answer says nothing about the task, so asking goes on.
A task that does not exist, or a key that is not accepted, is not weather and ends the watch.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio

from aivideo_mcp.client import Upstream
from aivideo_mcp.errors import AivideoError, AuthFailed, TaskNotFound, UnknownError
from aivideo_mcp.tasks import Status, Task

LONGEST_QUIET: Final = 120.0  # seconds of Retry-After that are sat out at most before asking again
_OFTEN, _SELDOM = 4.0, 9.0  # seconds between two questions
_START: Final = 30.0  # seconds in which a wrong start would show
_FILE_TRIES: Final = 3  # questions after COMPLETED for a file address that is not there yet
_JITTER: Final = 0.2


@dataclass(frozen=True, slots=True)
class News:
    """What one question brought: the task's state in the upstream's word, or the weather that hid it."""

    status: str | None
    weather: str | None = None


Notice = Callable[[News], Awaitable[None]]


class Watcher:
    """Asks until a task has ended."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def until_ended(self, task_id: str, usual: tuple[float, float] | None, notice: Notice) -> Task:
        """Wait for the end of a task; no time limit of its own, cancel it to leave.

        Args:
            task_id: The task.
            usual: Minutes that its model usually takes, for asking when an answer is likely.
            notice: Told after each question.

        Raises:
            TaskNotFound: There is no such task for this key.
            AuthFailed: The key is not accepted.
        """
        started = anyio.current_time()
        whole = False  # whether to ask for the whole task: its state stands there beyond doubt
        looks_for_file = 0
        while True:
            try:
                task = await self._ask(task_id, notice, whole=whole)
            except (TaskNotFound, AuthFailed):
                raise
            except AivideoError as weather:
                await notice(News(None, weather.message))
                whole = whole or isinstance(weather, UnknownError)
                quiet = _quiet(weather)
            else:
                if task and task.state.terminal:
                    whole_answer = task.state is not Status.COMPLETED or task.video_url is not None
                    looks_for_file += 1
                    if whole_answer or looks_for_file == _FILE_TRIES:
                        return task
                quiet = 0.0
            speed = self._upstream.sandbox_speed or 1.0
            pace = pause((anyio.current_time() - started) * speed, usual) / speed
            await anyio.sleep(max(quiet, pace * random.uniform(1 - _JITTER, 1 + _JITTER)))  # noqa: S311 - no secret

    async def _ask(self, task_id: str, notice: Notice, *, whole: bool) -> Task | None:
        """One look; the task where it was fetched. The state is told before the fetch, well before any result."""
        if not whole:
            sighting = await self._upstream.status(task_id, tries=1)
            await notice(News(sighting.status))
            if not Status.read(sighting.status).terminal:
                return None
        task = await self._upstream.task(task_id, tries=1)
        await notice(News(task.status))
        return task


def pause(elapsed: float, usual: tuple[float, float] | None) -> float:
    """Seconds to the next question: short at the start and around the usual time, longer in between.

    Args:
        elapsed: Seconds since the watch began.
        usual: Minutes that the model usually takes.
    """
    if elapsed < _START:
        return _OFTEN
    if usual is None:
        return _SELDOM
    earliest, latest = (minutes * 60 for minutes in usual)
    return _OFTEN if 0.9 * earliest <= elapsed <= 1.2 * latest else _SELDOM


def _quiet(weather: AivideoError) -> float:
    return min(weather.retry_after or 0.0, LONGEST_QUIET)
