"""The folder and the ledger together: what is saved of a task, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aivideo_mcp.errors import DownloadFailed
from aivideo_mcp.ledger import Ledger, noted, recalled
from aivideo_mcp.media.folder import Tell, VideoFolder, nobody
from aivideo_mcp.tasks import Task

MOST_READ: Final = 64 * 1024**2  # bytes of a video that a client is given in one answer


class Shelf:
    """The saved videos.

    Args:
        videos: Where they are.
        ledger: Which task each is of.
    """

    def __init__(self, videos: VideoFolder, ledger: Ledger) -> None:
        self._videos = videos
        self._ledger = ledger

    async def check(self) -> None:
        """See that a video could be saved.

        Raises:
            FolderUnusable: It could not.
        """
        await self._videos.check()

    async def keep(self, task: Task, tell: Tell = nobody) -> Task:
        """Save a finished task's video unless it is saved; the task with its file.

        Raises:
            DownloadFailed: It could not be saved; what came of it can be gone on with.
        """
        if (there := await self.told(task)).file:
            return there
        file = await self._videos.save(task, tell)
        await noted(self._ledger.saved(task.id, file))
        return await self._on(task, str(file))

    async def told(self, task: Task) -> Task:
        """The task, with the file that the ledger knows of it if that is still there."""
        file = await self._file(task.id)
        return await self._on(task, file) if file else task

    async def there(self, files: Mapping[str, str]) -> dict[str, str]:
        """Of files by their tasks' ids those that are still there."""
        sizes = await self._videos.sizes(files.values())
        return {task_id: file for task_id, file in files.items() if file in sizes}

    async def read(self, task_id: str) -> bytes:
        """The saved video of a task.

        Raises:
            DownloadFailed: None is saved, or it is larger than MOST_READ, or cannot be read.
        """
        file = await self._file(task_id)
        content = await self._videos.read(file, MOST_READ) if file else None
        if content is None:
            raise DownloadFailed(
                "No file of this task is saved here.",
                next_steps=("Call download_video with this taskId: it saves the video.",),
                task_id=task_id,
            )
        return content

    async def _file(self, task_id: str) -> str | None:
        known = await recalled(self._ledger.about(task_id))
        return known.file if known else None

    async def _on(self, task: Task, file: str) -> Task:
        size = (await self._videos.sizes([file])).get(file)
        return task if size is None else task.model_copy(update={"file": file, "file_size": size})
