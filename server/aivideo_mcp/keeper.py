"""Saves finished videos when nobody waits for them any more: the upstream deletes files after a day.

With an output folder the server itself waits for its unfinished tasks, slowly, and for those that earlier processes
left in the ledger. It is no caller: what it saves has been delivered to nobody.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Final

import anyio
from anyio.abc import TaskGroup

from aivideo_mcp.contracts import MODELS
from aivideo_mcp.errors import AivideoError, DownloadFailed, UnknownError
from aivideo_mcp.history import Histories
from aivideo_mcp.ledger import DAY, Ledger, recalled
from aivideo_mcp.media import Shelf
from aivideo_mcp.tasks import Status, Task, read_time
from aivideo_mcp.watcher import News, Watcher

logger = logging.getLogger(__name__)

MOST: Final = 50  # tasks that are waited for at once
_LOOK: Final = 60.0  # seconds between two looks into the ledger, for tasks whose callers left before they had an id
_PAUSES: Final = (60.0, 300.0, 900.0, 3600.0)  # seconds between the tries of a save that fails; the last one again
_AFTER_YOU: Final = 2.0  # seconds by which a caller who waits for the same video goes first, and is told how far it is
_END: Final = 1.0  # seconds that its end may take


class Keeper:
    """Waits and saves in the background.

    Args:
        ledger: Which tasks have no file yet.
        watcher: Where to wait.
        shelf: Where to save.
        histories: Takes down what became of a task.
        start: Begins what runs until the server ends.
    """

    def __init__(
        self,
        ledger: Ledger,
        watcher: Watcher,
        shelf: Shelf,
        histories: Histories,
        start: Callable[[Callable[[], Coroutine[None, None, None]]], object],
    ) -> None:
        self._ledger = ledger
        self._watcher = watcher
        self._shelf = shelf
        self._histories = histories
        self._start = start
        self._waiting: dict[str, tuple[float, str | None]] = {}  # since when, and of which model
        self._at_work: set[str] = set()
        self._settled: set[str] = set()  # nothing more can be done for these
        self._group: TaskGroup | None = None
        self._ended: anyio.Event | None = None

    def begin(self) -> None:
        """Begin with what the ledger holds; harmless when it has begun."""
        if self._ended is None:
            self._ended = anyio.Event()
            self._start(self._run)

    def follow(self, task_id: str, model: str | None, age: float) -> None:
        """See to it that a task's video is saved, so many seconds after it was created."""
        self._settled.discard(task_id)
        self._add(task_id, model, self._ledger.now() - age)
        self._fill()
        self.begin()

    async def aclose(self) -> None:
        """Leave off."""
        if self._group is not None:
            self._group.cancel_scope.cancel()
        if self._ended is None:  # and do not begin any more
            self._ended = anyio.Event()
        elif not self._ended.is_set():
            with anyio.move_on_after(_END, shield=True):
                await self._ended.wait()

    def _add(self, task_id: str, model: str | None, since: float) -> None:
        if task_id not in self._at_work and task_id not in self._settled:
            self._waiting.setdefault(task_id, (since, model))

    def _fill(self) -> None:
        """Take up as many tasks as may be, those first whose files expire first."""
        while self._group and self._waiting and len(self._at_work) < MOST:
            task_id = min(self._waiting, key=lambda waiting: self._waiting[waiting][0])
            since, model = self._waiting.pop(task_id)
            self._at_work.add(task_id)
            self._group.start_soon(self._see_to, task_id, model, since)

    async def _run(self) -> None:
        assert self._ended is not None
        try:
            async with anyio.create_task_group() as self._group:
                while True:
                    await self._look()
                    self._fill()
                    await anyio.sleep(_LOOK)
        finally:
            self._ended.set()

    async def _look(self) -> None:
        try:
            known = await recalled(self._ledger.known()) or {}
        except Exception:  # nobody waits for this, and the server must not end by it
            logger.exception("looking for unsaved videos broke")
            return
        begun = self._ledger.now() - DAY
        for task_id, its in known.items():
            over = its.file or its.gone_at or its.status in (Status.FAILED, Status.CANCEL)
            if not over and (its.sent_at or 0.0) > begun:
                self._add(task_id, its.model, its.sent_at or 0.0)

    async def _see_to(self, task_id: str, model: str | None, since: float) -> None:
        """Bring one task to its file, or to where none can be had."""
        try:
            left = since + DAY - self._ledger.now()
            with anyio.move_on_after(max(0.0, left)) as day:
                await self._bring(task_id, model, since)
            if not day.cancelled_caught:  # else the next look tells whether its day is over, or a clock was set
                self._settled.add(task_id)
        except UnknownError as failure:  # our own mistake: the next look tries again
            logger.info("task %s is left for now: %s", task_id, failure.message)
        except AivideoError as failure:  # no such task, or the key is refused
            logger.info("the video of task %s is not waited for: %s", task_id, failure.message)
            self._settled.add(task_id)
        except Exception:  # nobody waits for this, and the server must not end by it
            logger.exception("keeping the video of task %s broke", task_id)
            self._settled.add(task_id)
        finally:
            self._at_work.discard(task_id)
        self._fill()

    async def _bring(self, task_id: str, model: str | None, since: float) -> None:
        contract = MODELS.get(model or "")
        pauses = iter(_PAUSES)
        while True:
            known = await self._histories.known(task_id)
            if known and known.file:
                return
            age = max(0.0, self._ledger.now() - since)
            usual = contract.usual if contract else None
            task = await self._watcher.until_ended(task_id, usual, _unheard, age, slow=True)
            await self._histories.learned(task)
            if task.state is not Status.COMPLETED or task.video_url is None:
                return
            await anyio.sleep(_AFTER_YOU)
            try:
                told = await self._shelf.keep(task)
            except DownloadFailed as failure:
                logger.info("the video of task %s is not saved yet: %s", task_id, failure.message)
                if self._has_expired(task):
                    return
            else:
                logger.info("the video of task %s is saved as %s", task_id, told.file)
                return
            await anyio.sleep(next(pauses, _PAUSES[-1]))

    def _has_expired(self, task: Task) -> bool:
        at = read_time(task.expires_at)
        return at is not None and at.timestamp() <= self._ledger.now()


async def _unheard(_news: News) -> None:
    """Nobody hears of it."""
