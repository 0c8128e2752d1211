"""One round of questions: what is asked about which tasks, and what an answer or a failure means for them.

One task is asked for by its state, several by one list, which costs no more than one. Errors while asking are weather:
a 429, a 5xx or a broken answer says nothing about a task, so asking goes on. A task that does not exist, or a key that
is not accepted, is not weather and ends the watch.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from aivideo_mcp.client import LONGEST_QUIET, Upstream
from aivideo_mcp.errors import AivideoError, AuthFailed, PageNotFound, RateLimited, TaskNotFound, UnknownError
from aivideo_mcp.tasks import Status, Task
from aivideo_mcp.watcher.pace import OFTEN
from aivideo_mcp.watcher.watch import News, Watch

_UNLISTED: Final = 3  # times longer between questions about a task that the list does not show
_IN_TURN: Final = 5  # tasks that one round asks for by id beside the list
_LIST_FAILURES: Final = 3  # failed lists in a row after which tasks are asked for by id


class Rounds:
    """Asks the upstream.

    Args:
        upstream: Whom to ask.
        seen: Told of each change of a task's state.
    """

    def __init__(self, upstream: Upstream, seen: Callable[[str, str], Awaitable[None]]) -> None:
        self._upstream = upstream
        self._seen = seen
        self._lists_failed = 0

    async def ask(self, watches: list[Watch], due: list[Watch]) -> float:
        """One round; seconds of quiet that the upstream asked for.

        Args:
            watches: All that have not ended; they are told what a list shows of them.
            due: Those that it is time to ask about.
        """
        if len(due) <= 1:
            return await self._ask_for(due[0]) if due else 0.0
        try:
            listed = {entry.task.id: entry.task for entry in await self._upstream.tasks(tries=1)}
        except AivideoError as fault:
            return await self._without_list(due, fault)
        self._lists_failed = 0
        unclear = []
        for watch in watches:
            if watch not in due and watch.task_id not in listed:
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

    async def _without_list(self, watches: list[Watch], fault: AivideoError) -> float:
        """Go on where the list fails: with weather, and by id when it goes on failing."""
        # A list that is not there says nothing of any task.
        told = UnknownError(fault.message) if isinstance(fault, TaskNotFound) else fault
        quiet = max(self._weather(watch, told) for watch in watches)
        self._lists_failed += 1
        if quiet or self._lists_failed < _LIST_FAILURES:
            return quiet
        return await self._ask_in_turn(watches)

    async def _ask_in_turn(self, watches: list[Watch]) -> float:
        """Ask by id for the few that have waited longest for it."""
        due = anyio.current_time() - _UNLISTED * OFTEN / (self._upstream.sandbox_speed or 1.0)
        waiting = [w for w in watches if w.waiters and w.outcome is None and w.asked <= due]
        for watch in sorted(waiting, key=lambda w: w.asked)[:_IN_TURN]:
            quiet = await self._ask_for(watch)
            if quiet:
                return quiet
        return 0.0

    async def _ask_for(self, watch: Watch) -> float:
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

    async def _tell(self, watch: Watch, status: str) -> None:
        if status != watch.status:
            watch.status = status
            await self._seen(watch.task_id, status)
        watch.tell(News(status))

    def _weather(self, watch: Watch, fault: AivideoError) -> float:
        """Tell a waiter of a failed question, or end the watch where it was no weather; seconds of quiet to keep."""
        if isinstance(fault, TaskNotFound | AuthFailed) and not isinstance(fault, PageNotFound):
            watch.end(fault)
            return 0.0
        watch.tell(News(None, fault.message))
        watch.whole = watch.whole or isinstance(fault, UnknownError)
        asked = fault.retry_after if isinstance(fault, RateLimited) else None
        return min(asked or 0.0, LONGEST_QUIET)


def _shows_outcome(task: Task) -> bool:
    """Whether a listed task that has ended says all there is to know."""
    if task.state is Status.COMPLETED:
        return task.video_url is not None
    return task.state is Status.CANCEL or task.output is not None
