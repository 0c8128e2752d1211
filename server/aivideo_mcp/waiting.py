"""Waiting for one task: watched, told, saved at its end."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import anyio

from aivideo_mcp.client import Upstream
from aivideo_mcp.contracts import MODELS
from aivideo_mcp.errors import AivideoError, DownloadFailed, TaskNotFound, UnknownError
from aivideo_mcp.history import Histories
from aivideo_mcp.media import Shelf
from aivideo_mcp.reporting import Report, Tell
from aivideo_mcp.tasks import Status, Task
from aivideo_mcp.watcher import Watcher

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Waited:
    """How a wait ended.

    Attributes:
        task: The task, ended or not.
        joined: Whether an earlier call had created it.
        fetched: Whether the whole of the ended task was fetched.
        unsaved: What kept its file from disk, and what can be done about it.
    """

    task: Task
    joined: bool = False
    fetched: bool = False
    unsaved: DownloadFailed | None = None


class Waits:
    """The waits of callers.

    Args:
        upstream: Whom the watcher asks.
        watcher: Where to wait.
        history: Takes down what became of a task.
        shelf: Where its video is saved, if it is.
    """

    def __init__(self, upstream: Upstream, watcher: Watcher, history: Histories, shelf: Shelf | None) -> None:
        self._upstream = upstream
        self._watcher = watcher
        self._history = history
        self._shelf = shelf

    async def wait(self, task: Task, deadline: float, tell: Tell, *, age: float, joined: bool = False) -> Waited:
        """Watch until the task has ended and is saved, or the deadline has come.

        Args:
            task: As it is known so far.
            deadline: On the event loop's clock.
            tell: Gets a message at each change, and every 10 s at least.
            age: Seconds since the task was created.
            joined: Whether an earlier call created it.

        Raises:
            AivideoError: With the task's id and what to do about it.
        """
        report = Report(task, tell, self._upstream, age)
        contract = MODELS.get(task.model or "")
        waited = Waited(task, joined)
        failure: AivideoError | None = None

        async def watch() -> None:
            nonlocal waited, failure
            try:
                with anyio.CancelScope(deadline=deadline):
                    usual = contract.usual if contract else None
                    ended = await self._watcher.until_ended(task.id, usual, report.notice, age)
                    waited = Waited(ended, joined, fetched=True, unsaved=self._not_yet(ended))
                    await self._history.learned(ended)
                    waited = await self._saved(waited, tell)
            except AivideoError as fault:
                failure = fault
                if isinstance(fault, TaskNotFound):
                    await self._history.gone(task.id)
            except Exception:  # the id was paid for, so it must reach the caller even through our own mistake
                logger.exception("waiting for task %s broke", task.id)
                failure = UnknownError("This server made a mistake while waiting; the task runs on.")
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(report.beat)
            await watch()
        if failure:
            failure.task_id = task.id
            if not (isinstance(failure, TaskNotFound) and task.state is Status.UNKNOWN):  # an id that was never seen
                failure.next_steps = (f'Call get_task with taskId "{task.id}" later; do not create it again.',)
            raise failure
        if not waited.task.state.terminal:
            waited = Waited(task.model_copy(update={"status": report.status}), joined)
        return waited

    def _not_yet(self, task: Task) -> DownloadFailed | None:
        if self._shelf is None or task.video_url is None:
            return None
        steps = (f'Call download_video with taskId "{task.id}" to save it: what came is kept.',)
        return DownloadFailed("The wait ended first.", next_steps=steps)

    async def _saved(self, waited: Waited, tell: Tell) -> Waited:
        if self._shelf is None or waited.task.video_url is None:
            return waited
        try:
            return replace(waited, task=await self._shelf.keep(waited.task, tell), unsaved=None)
        except DownloadFailed as failure:
            return replace(waited, unsaved=failure)
