"""One save from start to end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from aivideo_mcp.client import Upstream
from aivideo_mcp.errors import DownloadFailed, FolderUnusable
from aivideo_mcp.ledger import InThread
from aivideo_mcp.media.expiry import Expiry
from aivideo_mcp.media.fetching import Fetch, Version
from aivideo_mcp.media.names import file_name
from aivideo_mcp.media.places import Partial, choose, open_folder, partial_of, read_video
from aivideo_mcp.media.room import fault_of_folder
from aivideo_mcp.media.turns import turn
from aivideo_mcp.tasks import Task

Tell = Callable[[str], Awaitable[None]]

LONGEST: Final = 3600.0  # seconds for one save, so that a host which drips does not hold a turn for ever
TOLD_EVERY: Final = 2.0  # seconds between two messages at least
_SURELY_GONE: Final = 3600.0  # seconds after its expiry from which on a file is not asked for; clocks differ
_MEGA: Final = 1e6
_ONCE_MENDED: Final = ("Once the folder (AIVIDEO_OUTPUT_DIR) can be written to, download_video saves it.",)


async def nobody(_message: str) -> None:
    """Tell nobody."""


class VideoFolder:
    """The folder that `AIVIDEO_OUTPUT_DIR` names, the only place where videos are written.

    Args:
        folder: Where; made at the first save. It may be a link; nothing inside is followed.
        upstream: Whose connection pool downloads, without the key.
        state_folder: Where the locks are, asked for at the first save.
        wall: Unix seconds.
        in_thread: Runs what blocks off the event loop.
    """

    def __init__(
        self,
        folder: Path,
        upstream: Upstream,
        state_folder: Callable[[], Path],
        wall: Callable[[], float] = time.time,
        in_thread: InThread = anyio.to_thread.run_sync,
    ) -> None:
        self._folder = folder
        self._upstream = upstream
        self._state_folder = state_folder
        self._wall = wall
        self._in_thread = in_thread
        self._versions: dict[Path, Version] = {}

    async def check(self) -> None:
        """See that a video could be saved, before one is paid for; what breaks later costs no video.

        Raises:
            FolderUnusable: It could not.
        """
        if fault := await self._in_thread(lambda: fault_of_folder(self._folder)):
            raise FolderUnusable(
                f"Nothing was sent or charged, as the video could not be saved: AIVIDEO_OUTPUT_DIR {fault}."
            )

    async def save(self, task: Task, tell: Tell = nobody) -> Path:
        """Download a finished task's video; the path of the whole file.

        A whole file that an earlier save left is returned without a request. A download that broke off is gone on
        with, also in a later save or another process.

        Args:
            task: The task as it was fetched; its prompt becomes a part of the name.
            tell: Told at the start, and then every 2 s at most, how much is there.

        Raises:
            DownloadFailed: The host, the content or the disk stood in the way; what is left can be gone on with.
        """
        try:
            with anyio.move_on_after(LONGEST):
                return await self._save(task, tell)
        except DownloadFailed as failure:
            failure.task_id = task.id
            raise
        except OSError as fault:
            raise DownloadFailed(
                f"The video could not be written into {self._folder}: {fault.strerror or 'disk error'}.",
                next_steps=(*DownloadFailed.advice, *_ONCE_MENDED),
                task_id=task.id,
            ) from None
        raise DownloadFailed(f"The download was not done after {LONGEST / 60:.0f} minutes.", task_id=task.id)

    async def sizes(self, files: Iterable[str]) -> dict[str, int]:
        """Bytes of each of these files that is a whole video in the folder itself; others are left out."""

        def look() -> dict[str, int]:
            found = {}
            for file in files:
                with contextlib.suppress(OSError, ValueError):
                    found[file] = read_video(self._folder, Path(file), -1)[0]
            return found

        return await self._in_thread(look)

    async def read(self, file: str, most: int) -> bytes | None:
        """A whole video that is in the folder itself; None where there is none.

        Raises:
            DownloadFailed: It is larger than so many bytes, or cannot be read.
        """
        try:
            size, content = await self._in_thread(lambda: read_video(self._folder, Path(file), most))
        except (FileNotFoundError, ValueError):
            return None
        except OSError as fault:
            why = fault.strerror or "disk error"
            raise DownloadFailed(f"The saved video could not be read: {why}.", next_steps=_by_path(file)) from None
        if size > most:
            raise DownloadFailed(
                f"The video has {size:,} bytes, and at most {most:,} can be read this way.", next_steps=_by_path(file)
            )
        return content

    async def _save(self, task: Task, tell: Tell) -> Path:
        name, url = file_name(task), task.video_url
        expiry = Expiry(task.expires_at, self._wall)
        progress = _Progress(task.id, tell)
        now = self._wall()
        root = await self._in_thread(lambda: open_folder(self._folder, now))
        target, whole = await self._in_thread(lambda: choose(root, name))
        if whole:
            return target
        if url is None:
            raise DownloadFailed("The upstream names no file.")
        folder = await self._in_thread(root.stat)  # one folder may have many paths
        what = f"{folder.st_dev}:{folder.st_ino}/{name.lower()}"
        async with turn(self._state_folder, what, progress.waiting, self._in_thread):
            target, whole = await self._in_thread(lambda: choose(root, name))
            if whole:
                return target
            partial = await self._in_thread(lambda: Partial(partial_of(target)))
            try:
                if expiry.passed(_SURELY_GONE):
                    await self._in_thread(partial.discard)
                    raise expiry.failure()
                await self._fetch(url, partial, expiry, progress)
                placed = await self._in_thread(lambda: partial.place(name))
            finally:
                partial.close()
            self._versions.pop(partial.path, None)
            return placed

    async def _fetch(self, url: str, partial: Partial, expiry: Expiry, progress: _Progress) -> None:
        """Fetch until the partial is a whole video; one that began with another process's bytes may begin anew."""
        exchange = await self._upstream.exchange()
        version = self._versions.get(partial.path, Version())
        doubtful = partial.size > 0 and version.validator is None
        fetch = Fetch(
            exchange, url, partial, version, expiry=expiry, heard=progress.bytes_came, in_thread=self._in_thread
        )
        await progress.bytes_came(partial.size, version.total)
        try:
            await fetch.run()
            fault = await self._in_thread(partial.fault)
            if fault and doubtful:
                await self._in_thread(partial.restart)
                await fetch.run()
                fault = await self._in_thread(partial.fault)
        finally:
            self._versions[partial.path] = fetch.version
        if fault:
            await self._in_thread(partial.discard)
            raise DownloadFailed(f"The file that came cannot be used: {fault}.")


def _by_path(file: str) -> tuple[str, ...]:
    return (f"Open the file itself: {file}",)


class _Progress:
    """Says how far a save is, never more often than every TOLD_EVERY seconds."""

    def __init__(self, task_id: str, tell: Tell) -> None:
        self._task_id = task_id
        self._tell = tell
        self._due = float("-inf")

    async def bytes_came(self, done: int, total: int | None) -> None:
        """Bytes came."""
        of = f"{done / _MEGA:.1f} MB" if total is None else f"{done / _MEGA:.1f} of {total / _MEGA:.1f} MB"
        await self._say(f"Saving the video: {of}")

    async def waiting(self) -> None:
        """Somebody else is saving the same video."""
        await self._say("Another call is saving this video; waiting for it")

    async def _say(self, text: str) -> None:
        now = anyio.current_time()
        if now >= self._due:
            self._due = now + TOLD_EVERY
            await self._tell(f"{text}; task {self._task_id}")
