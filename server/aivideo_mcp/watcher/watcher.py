"""One watch over all tasks that somebody waits for: who waits for which, and when it is time to ask.

With nobody waiting nothing is asked. Who is in no hurry waits slowly: such tasks share one question a minute, or what
others ask anyway.
"""

from __future__ import annotations

import copy
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import TaskGroup

from aivideo_mcp.client import Upstream
from aivideo_mcp.errors import AivideoError, UnknownError
from aivideo_mcp.tasks import Task
from aivideo_mcp.watcher.pace import OFTEN, pause
from aivideo_mcp.watcher.rounds import Rounds
from aivideo_mcp.watcher.watch import Notice, Watch

logger = logging.getLogger(__name__)

_FIRST: Final = 1.0  # seconds from the first wait to the first question: more may come to share it
_SLOWLY: Final = 60.0  # seconds between two questions where nobody is in a hurry
_JITTER: Final = 0.2


class Watcher:
    """Asks for everybody.

    Args:
        upstream: Whom to ask.
        background: Where the asking runs, for as long as somebody waits.
        seen: Told of each change of a task's state.
    """

    def __init__(self, upstream: Upstream, background: TaskGroup, seen: Callable[[str, str], Awaitable[None]]) -> None:
        self._upstream = upstream
        self._rounds = Rounds(upstream, seen)
        self._background = background
        self._watches: dict[str, Watch] = {}
        self._asking = False
        self._due = 0.0
        self._asked = float("-inf")
        self._slow_due = float("-inf")
        self._woken = anyio.Event()

    async def until_ended(
        self,
        task_id: str,
        usual: tuple[float, float] | None,
        notice: Notice,
        age: float = 0.0,
        *,
        slow: bool = False,
    ) -> Task:
        """Wait for the end of a task; no time limit of its own, cancel it to leave.

        Args:
            task_id: The task.
            usual: Minutes that its model usually takes, for asking when an answer is likely.
            notice: Told after each question.
            age: Seconds since it was created.
            slow: Whether it is enough to learn of it a minute later.

        Raises:
            TaskNotFound: There is no such task for this key.
            AuthFailed: The key is not accepted.
        """
        watch = self._joined(task_id, usual, age, slow=slow)
        try:
            while watch.outcome is None:
                await watch.changed.wait()
                await notice(watch.news)
        finally:
            watch.waiters -= 1
            watch.hurried -= not slow
            if not watch.waiters:
                self._watches.pop(task_id, None)
                self._woken.set()
        if isinstance(watch.outcome, AivideoError):
            raise copy.copy(watch.outcome)  # each waiter adds its own advice
        return watch.outcome

    @property
    def _speed(self) -> float:
        return self._upstream.sandbox_speed or 1.0

    def _joined(self, task_id: str, usual: tuple[float, float] | None, age: float, *, slow: bool) -> Watch:
        now = anyio.current_time()
        watch = self._watches.get(task_id)
        if watch is None:
            watch = self._watches[task_id] = Watch(task_id, usual, now - age)
        others = any(w.waiters > w.hurried for w in self._watches.values())
        watch.waiters += 1
        watch.hurried += not slow
        soon = max(now + _FIRST / self._speed, self._asked + OFTEN / self._speed)
        if slow:  # a task that was just made need not be looked at yet, and keeps no other from its minute
            made = now if others else now - age + _SLOWLY / self._speed
            soon = self._slow_due = max(self._slow_due, made, soon)
        self._due = min(self._due, soon) if self._asking else soon
        if self._asking:
            self._woken.set()
        else:
            self._asking = True
            self._background.start_soon(self._ask_on)
        return watch

    async def _ask_on(self) -> None:
        """Ask, round after round, until nobody waits."""
        try:
            while self._watches:
                self._woken = anyio.Event()
                with anyio.CancelScope(deadline=self._due):
                    await self._woken.wait()
                    continue
                self._asked = anyio.current_time()
                try:
                    quiet = await self._ask()
                except Exception:  # a mistake of ours ends these waits, not the server
                    logger.exception("the watch broke")
                    quiet = 0.0
                    for watch in self._watches.values():
                        watch.end(UnknownError("This server made a mistake while waiting; the task runs on."))
                self._due = anyio.current_time() + max(quiet, self._pace())
        finally:
            self._asking = False

    def _pace(self) -> float:
        """Seconds to the next question."""
        now = anyio.current_time()
        hurried = [w for w in self._watches.values() if w.hurried]
        pace = min((pause((now - w.started) * self._speed, w.usual) for w in hurried), default=float("inf"))
        pace *= random.uniform(1 - _JITTER, 1 + _JITTER) / self._speed  # noqa: S311 - no secret
        slow = self._slow_due - now if len(hurried) < len(self._watches) else float("inf")
        return max(0.0, min(pace, slow)) if self._watches else 0.0

    async def _ask(self) -> float:
        """One round; seconds of quiet that the upstream asked for."""
        now = anyio.current_time()
        everybody = now >= self._slow_due
        if everybody:
            self._slow_due = now + _SLOWLY / self._speed
        open_ones = [watch for watch in self._watches.values() if watch.outcome is None]
        return await self._rounds.ask(open_ones, [watch for watch in open_ones if everybody or watch.hurried])
