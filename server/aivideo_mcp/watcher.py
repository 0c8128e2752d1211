"""One watch over all tasks that somebody waits for: when to ask, whom to tell, when it is over.

One task is asked for by its state, several by one list, which costs no more than one. With nobody waiting nothing is
asked. Who is in no hurry waits slowly: such tasks share one question a minute, or what others ask anyway. Errors while
asking are weather: a 429, a 5xx or a broken answer says nothing about a task, so asking goes on.
A task that does not exist, or a key that is not accepted, is not weather and ends the watch.
"""

from __future__ import annotations

import copy
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import TaskGroup

from aivideo_mcp.client import LONGEST_QUIET, Upstream
from aivideo_mcp.errors import AivideoError, AuthFailed, PageNotFound, RateLimited, TaskNotFound, UnknownError
from aivideo_mcp.tasks import Status, Task

logger = logging.getLogger(__name__)

_OFTEN, _SELDOM = 4.0, 9.0  # seconds between two questions
_FIRST: Final = 1.0  # seconds from the first wait to the first question: more may come to share it
_SLOWLY: Final = 60.0  # seconds between two questions where nobody is in a hurry
_START: Final = 30.0  # seconds in which a wrong start would show
_FILE_TRIES: Final = 3  # questions after COMPLETED for a file address that is not there yet
_UNLISTED: Final = 3  # times longer between questions about a task that the list does not show
_IN_TURN: Final = 5  # tasks that one round asks for by id beside the list
_LIST_FAILURES: Final = 3  # failed lists in a row after which tasks are asked for by id
_JITTER: Final = 0.2


@dataclass(frozen=True, slots=True)
class News:
    """What one question brought: the task's state in the upstream's word, or the weather that hid it."""

    status: str | None
    weather: str | None = None


Notice = Callable[[News], Awaitable[None]]


@dataclass(eq=False)
class _Watch:
    """One task, and those who wait for it."""

    task_id: str
    usual: tuple[float, float] | None
    started: float
    waiters: int = 0
    hurried: int = 0  # of the waiters
    news: News = News(None)
    status: str | None = None
    changed: anyio.Event = field(default_factory=anyio.Event)
    outcome: Task | AivideoError | None = None
    whole: bool = False  # whether to ask for the whole task: its state stands there beyond doubt
    files_missed: int = 0
    asked: float = float("-inf")  # when it was last asked for by its id

    def tell(self, news: News) -> None:
        self.news = news
        self._wake()

    def end(self, outcome: Task | AivideoError) -> None:
        self.outcome = outcome
        self._wake()

    def settles(self, task: Task) -> bool:
        """Whether a task as it was read is the end, its file's address included if that comes in time."""
        if not task.state.terminal:
            return False
        if task.state is not Status.COMPLETED or task.video_url is not None:
            return True
        self.files_missed += 1
        return self.files_missed >= _FILE_TRIES

    def _wake(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


class Watcher:
    """Asks for everybody.

    Args:
        upstream: Whom to ask.
        background: Where the asking runs, for as long as somebody waits.
        seen: Told of each change of a task's state.
    """

    def __init__(self, upstream: Upstream, background: TaskGroup, seen: Callable[[str, str], Awaitable[None]]) -> None:
        self._upstream = upstream
        self._background = background
        self._seen = seen
        self._watches: dict[str, _Watch] = {}
        self._asking = False
        self._due = 0.0
        self._asked = float("-inf")
        self._slow_due = float("-inf")
        self._woken = anyio.Event()
        self._lists_failed = 0

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

    def _joined(self, task_id: str, usual: tuple[float, float] | None, age: float, *, slow: bool) -> _Watch:
        now = anyio.current_time()
        watch = self._watches.get(task_id)
        if watch is None:
            watch = self._watches[task_id] = _Watch(task_id, usual, now - age)
        others = any(w.waiters > w.hurried for w in self._watches.values())
        watch.waiters += 1
        watch.hurried += not slow
        soon = max(now + _FIRST / self._speed, self._asked + _OFTEN / self._speed)
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
        watches = [watch for watch in open_ones if everybody or watch.hurried]
        if len(watches) <= 1:
            return await self._ask_for(watches[0]) if watches else 0.0
        try:
            listed = {entry.task.id: entry.task for entry in await self._upstream.tasks(tries=1)}
        except AivideoError as fault:
            return await self._without_list(watches, fault)
        self._lists_failed = 0
        unclear = []
        for watch in open_ones:
            if watch not in watches and watch.task_id not in listed:
                continue  # its time has not come
            task = listed.get(watch.task_id)
            if task is not None:
                await self._tell(watch, task.status)
            if task is None or (task.state.terminal and not _shows_outcome(task)):
                watch.whole = watch.whole or task is not None
                unclear.append(watch)
            elif task.state.terminal:
                watch.end(task)
        return await self._ask_in_turn(unclear)

    async def _without_list(self, watches: list[_Watch], fault: AivideoError) -> float:
        """Go on where the list fails: with weather, and by id when it goes on failing."""
        # A list that is not there says nothing of any task.
        told = UnknownError(fault.message) if isinstance(fault, TaskNotFound) else fault
        quiet = max(self._weather(watch, told) for watch in watches)
        self._lists_failed += 1
        if quiet or self._lists_failed < _LIST_FAILURES:
            return quiet
        return await self._ask_in_turn(watches)

    async def _ask_in_turn(self, watches: list[_Watch]) -> float:
        """Ask by id for the few that have waited longest for it."""
        due = anyio.current_time() - _UNLISTED * _OFTEN / self._speed
        waiting = [w for w in watches if w.waiters and w.outcome is None and w.asked <= due]
        for watch in sorted(waiting, key=lambda w: w.asked)[:_IN_TURN]:
            quiet = await self._ask_for(watch)
            if quiet:
                return quiet
        return 0.0

    async def _ask_for(self, watch: _Watch) -> float:
        """Ask for one task by its id. Its state is told before the whole is fetched, well before any result."""
        watch.asked = anyio.current_time()
        try:
            if not watch.whole:
                sighting = await self._upstream.status(watch.task_id, tries=1)
                await self._tell(watch, sighting.status)
                if not Status.read(sighting.status).terminal or not watch.waiters:
                    return 0.0
            task = await self._upstream.task(watch.task_id, tries=1)
        except AivideoError as fault:
            return self._weather(watch, fault)
        await self._tell(watch, task.status)
        if watch.settles(task):
            watch.end(task)
        return 0.0

    async def _tell(self, watch: _Watch, status: str) -> None:
        if status != watch.status:
            watch.status = status
            await self._seen(watch.task_id, status)
        watch.tell(News(status))

    def _weather(self, watch: _Watch, fault: AivideoError) -> float:
        """Tell a waiter of a failed question, or end the watch where it was no weather; seconds of quiet to keep."""
        if isinstance(fault, TaskNotFound | AuthFailed) and not isinstance(fault, PageNotFound):
            watch.end(fault)
            return 0.0
        watch.tell(News(None, fault.message))
        watch.whole = watch.whole or isinstance(fault, UnknownError)
        asked = fault.retry_after if isinstance(fault, RateLimited) else None
        return min(asked or 0.0, LONGEST_QUIET)


def pause(elapsed: float, usual: tuple[float, float] | None) -> float:
    """Seconds to the next question: short at the start and around the usual time, longer in between.

    Args:
        elapsed: Seconds since the task was created.
        usual: Minutes that the model usually takes.
    """
    if elapsed < _START:
        return _OFTEN
    if usual is None:
        return _SELDOM
    earliest, latest = (minutes * 60 for minutes in usual)
    return _OFTEN if 0.9 * earliest <= elapsed <= 1.2 * latest else _SELDOM


def _shows_outcome(task: Task) -> bool:
    """Whether a listed task that has ended says all there is to know."""
    if task.state is Status.COMPLETED:
        return task.video_url is not None
    return task.state is Status.CANCEL or task.output is not None
