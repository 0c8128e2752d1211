"""Finished videos on disk: saved inside one folder, whole or not at all, never over another file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from datetime import date
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread

from aivideo_mcp.client import Upstream
from aivideo_mcp.errors import DownloadFailed
from aivideo_mcp.tasks import Task

MAX_VIDEO: Final = 2 * 1024**3  # bytes; no model makes videos near this size
_LONGEST: Final = 60  # characters of a task id in a file name
_MP4: Final = b"ftyp"  # the box that every MP4 starts with, after its length


class VideoFolder:
    """The folder that `AIVIDEO_OUTPUT_DIR` names, the only place where videos are written."""

    def __init__(self, folder: Path, upstream: Upstream) -> None:
        self._folder = folder
        self._upstream = upstream

    async def save(self, task: Task) -> Path:
        """Download a finished task's video; the path of the whole file.

        A file that an earlier save left under the same name is kept and returned.

        Raises:
            DownloadFailed: The host, the content or the disk stood in the way; nothing is left behind.
        """
        if task.video_url is None:
            raise DownloadFailed("The upstream names no file.")
        target = self._folder / file_name(task)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
        try:
            await anyio.to_thread.run_sync(lambda: self._folder.mkdir(parents=True, exist_ok=True))
            if await anyio.Path(target).exists():
                return target
            await self._fetch(task.video_url, partial)
            await anyio.to_thread.run_sync(lambda: _place(partial, target))
        except OSError as fault:
            raise DownloadFailed(f"The video could not be written: {fault.strerror or 'disk error'}.") from None
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()
        return target

    async def _fetch(self, url: str, partial: Path) -> None:
        exchange = await self._upstream.exchange()
        size, start = 0, b""
        async with exchange.download(url) as chunks, await anyio.open_file(partial, "xb") as file:
            async for chunk in chunks:
                start += chunk[: 12 - len(start)]
                size += len(chunk)
                if size > MAX_VIDEO:
                    raise DownloadFailed(f"The file is larger than {MAX_VIDEO:,} bytes.")
                await file.write(chunk)
        if start[4:8] != _MP4:
            raise DownloadFailed("The file that came is not an MP4 video.")


def file_name(task: Task) -> str:
    """A name people can read and every platform takes: `2026-11-22_t2v_ck12ab.mp4`."""
    day = (task.created_at or task.completed_at or date.min.isoformat())[:10]
    parts = [re.sub(r"[^A-Za-z0-9-]+", "-", part)[:_LONGEST] for part in (day, task.model or "video", task.id)]
    if parts[-1] != task.id:  # ids that differ only in what was left out must not share a file
        parts.append(hashlib.sha256(task.id.encode("utf-8", "replace")).hexdigest()[:8])
    return "_".join(parts) + ".mp4"


def _place(partial: Path, target: Path) -> None:
    """Give a whole file its name, unless that name was taken meanwhile."""
    try:
        os.link(partial, target)
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        partial.rename(target)
